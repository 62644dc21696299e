// Rows of a plain matrix product: one line, known by its first Word.
alias Row = u32;
alias Line = u32;

fn row_of(i: u32) -> Row {
    return i * params.steps;
}

fn line_of(row: Row, line: u32) -> Line {
    return row;
}

fn x_at(line: Line, step: u32) -> Word {
    return x[line + step];
}
