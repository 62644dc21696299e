// Rows of a convolution as a matrix product: output pixels.
struct Row { first: u32, iy: i32, ix: i32 }     // first Word of the pixel under tap (0, 0), and where that pixel is

fn row_of(p: u32) -> Row {
    let line = p / params.out_width;
    let image = line / params.out_height;
    let iy = i32((line - image * params.out_height) * params.stride_h) - i32(params.pad_top);
    let ix = i32((p - line * params.out_width) * params.stride_w) - i32(params.pad_left);
    let first = (i32(image * params.height) + iy) * i32(params.width) + ix;
    return Row(u32(first) * params.pixel, iy, ix);
}
