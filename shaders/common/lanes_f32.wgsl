// A word is one f32.
alias Word = u32;

fn lanes(word: Word) -> f32 {
    return bitcast<f32>(word);
}

fn packed(value: f32) -> Word {
    return bitcast<u32>(value);
}
