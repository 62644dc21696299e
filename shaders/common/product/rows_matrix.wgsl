// Rows of a plain matrix product, known by their first Word, and where a Word lies in them: at its own number.
struct Params {
    m: u32, n: u32, steps: u32,                     // rows and columns of y; Words of a row of x and w
    n_words: u32,                                   // of a row of y
    x_zero_points: u32, zero_point: i32, qmin: i32, qmax: i32,  // int8; the first is four of them
    residual_zero_point: i32, residual_shift: u32,
}
alias Row = u32;
alias Place = u32;

fn row_of(i: u32) -> Row {
    return i * params.steps;
}

fn place_of(t: u32) -> Place {
    return t;
}

fn next_place(place: Place, words: u32) -> Place {
    return place + words;
}

fn x_word(row: Row, place: Place, inside: bool) -> Word {
    return select(Word(), x[select(0u, row + place, inside)], inside);
}
