// Rows of a plain matrix product: one line of one tap.
struct Params {
    m: u32, n: u32, tiles: u32, groups: u32, steps: u32,    // rows, columns, tiles of rows; 1; Words of a row of x and w
    n_words: u32,                                   // of a row of y
    x_zero_points: u32, zero_point: i32, qmin: i32, qmax: i32,  // int8; the first is four of them
    residual_zero_point: i32, residual_shift: u32,
}
alias Pixel = u32;  // first Word of a row of x
alias Place = u32;

fn pixel_of(tile: u32, p: u32) -> Pixel {
    return min(tile * ROWS + p, params.m - 1u) * params.steps;
}

fn place_of(pixel: Pixel, group: u32) -> Place {
    return pixel;
}

fn x_at(place: Place, step: u32) -> Word {
    return x[place + step];
}

fn row_of(tile: u32, p: u32) -> u32 {
    return tile * ROWS + p;
}
