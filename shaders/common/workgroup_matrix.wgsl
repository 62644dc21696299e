// Where a word lies in a row of x: in a plain matrix at its own number.
alias Place = u32;

fn place_of(t: u32) -> Place {
    return t;
}

fn next_place(place: Place, words: u32) -> Place {
    return place + words;
}

fn x_word(row: Row, place: Place, inside: bool) -> Word {
    return select(Word(), x[select(0u, row + place, inside)], inside);
}
