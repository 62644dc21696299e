// Rows of a plain matrix product: one line of one tap.
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
