// Rows of a convolution (dilation 1) as a matrix product: output pixels. The taps of a line of the filter lie
// side by side in x.
struct Row { first: u32, iy: i32, ix: i32 }     // first Word of the pixel under tap (0, 0), and where that pixel is
struct Line { first: u32, low: u32, count: u32 }  // `count` Words from `low` on are inside the image

fn row_of(p: u32) -> Row {
    let line = p / params.out_width;
    let image = line / params.out_height;
    let iy = i32((line - image * params.out_height) * params.stride) - i32(params.padding);
    let ix = i32((p - line * params.out_width) * params.stride) - i32(params.padding);
    let first = (i32(image * params.height) + iy) * i32(params.width) + ix;
    return Row(u32(first) * params.pixel, iy, ix);
}

fn line_of(row: Row, line: u32) -> Line {
    let low = clamp(-row.ix, 0, i32(params.kernel_w));
    let end = clamp(i32(params.width) - row.ix, low, i32(params.kernel_w));
    let inside = u32(row.iy) + line < params.height;
    let first = row.first + line * params.width * params.pixel;
    return Line(first, u32(low) * params.pixel, select(0u, u32(end - low) * params.pixel, inside));
}

fn x_at(line: Line, step: u32) -> Word {
    let inside = step - line.low < line.count;
    return select(outside(), x[select(0u, line.first + step, inside)], inside);
}
