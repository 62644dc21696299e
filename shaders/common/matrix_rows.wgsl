// Rows of a plain matrix product: a row is its first word.
alias Row = u32;

fn row_of(i: u32) -> Row {
    return i * params.steps;
}

fn place(row: Row, ky: u32, kx: u32) -> u32 {
    return row;
}

fn x_at(place: u32, step: u32) -> Word {
    return x[place + step];
}
