// Rows of a plain matrix product, known by their first Word.
alias Row = u32;

fn row_of(i: u32) -> Row {
    return i * params.steps;
}
