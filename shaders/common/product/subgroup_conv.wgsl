// Rows of a convolution as a matrix product: runs of RUN pixels in ROWS / RUN neighbouring lines of the output.
// A group is a tap, or a line of taps side by side; params.groups_x of them make a line of the filter.
struct Params {
    m: u32, n: u32,                                 // n·oh·ow rows, o columns
    tiles: u32, groups: u32, steps: u32,            // tiles of rows; groups of taps; Words of a pixel of x
    height: u32, width: u32, out_height: u32, out_width: u32,
    lines: u32, runs: u32,                          // n·oh lines of y, of so many runs each
    groups_x: u32,                                  // groups of a line of the filter
    pixel_step: u32,                                // pixels of x from one of a SPAN to the next
    stride_h: u32, stride_w: u32, pad_top: u32, pad_left: u32, dilation_h: u32, dilation_w: u32,
    n_words: u32,                                   // of a row of y
    x_zero_points: u32, zero_point: i32, qmin: i32, qmax: i32,  // int8; the first is four of them
    residual_zero_point: i32, residual_shift: u32,
}
struct Pixel { first: u32, iy: i32, ix: i32 }   // first Word of a pixel of x under the first tap, and where it is
struct Place { first: u32, inside: bool }       // the same under a tap, if it is inside the image

fn pixel_of(tile: u32, p: u32) -> Pixel {
    let line = min(tile / params.runs * (ROWS / RUN) + p / SPAN, params.lines - 1u);
    let image = line / params.out_height;
    let iy = i32((line - image * params.out_height) * params.stride_h) - i32(params.pad_top);
    let ix = i32(tile % params.runs * RUN * params.stride_w + p % SPAN * params.pixel_step) - i32(params.pad_left);
    let first = (i32(image * params.height) + iy) * i32(params.width) + ix;
    return Pixel(u32(first) * params.steps, iy, ix);
}

fn place_of(pixel: Pixel, group: u32) -> Place {
    let dy = group / params.groups_x * params.dilation_h;
    let dx = group % params.groups_x * params.dilation_w;
    let inside = (u32(pixel.iy) + dy < params.height) & (u32(pixel.ix) + dx < params.width);
    return Place(select(0u, pixel.first + (dy * params.width + dx) * params.steps, inside), inside);
}

fn outside() -> Word {
    let word = Word(outside_word());
    return word | (word << (32u * (HALVES - 1u)));
}

fn x_at(place: Place, step: u32) -> Word {
    return select(outside(), x[place.first + step], place.inside);
}

// The pixel of y; past the end of a line, or of all of them, one that is none.
fn row_of(tile: u32, p: u32) -> u32 {
    let line = tile / params.runs * (ROWS / RUN) + p / RUN;
    let ox = tile % params.runs * RUN + p % RUN;
    return select(params.m, line * params.out_width + ox, ox < params.out_width);
}
