// Rows of a convolution as a matrix product: output pixels. A row lies elsewhere under every tap.
struct Row { first: u32, iy: i32, ix: i32 }  // first word of the image; the pixel under tap (0, 0)

const OUTSIDE: u32 = 0xffffffffu;

fn row_of(p: u32) -> Row {
    let line = p / params.out_width;
    let image = line / params.out_height;
    let iy = i32((line - image * params.out_height) * params.stride) - i32(params.padding);
    let ix = i32((p - line * params.out_width) * params.stride) - i32(params.padding);
    return Row(image * params.height * params.width * params.steps, iy, ix);
}

// First word of the pixel that lies under the tap, or OUTSIDE.
fn place(row: Row, ky: u32, kx: u32) -> u32 {
    let iy = u32(row.iy + i32(ky * params.dilation));
    let ix = u32(row.ix + i32(kx * params.dilation));
    let at = row.first + (iy * params.width + ix) * params.steps;
    return select(OUTSIDE, at, iy < params.height && ix < params.width);
}

fn x_at(place: u32, step: u32) -> Word {
    let inside = place != OUTSIDE;
    return select(outside(), x[select(0u, place + step, inside)], inside);
}
