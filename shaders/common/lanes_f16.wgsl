// A word is two f16, neighbours.
alias Word = u32;

fn lanes(word: Word) -> vec2<f32> {
    return unpack2x16float(word);
}

fn packed(value: vec2<f32>) -> Word {
    return pack2x16float(value);
}
