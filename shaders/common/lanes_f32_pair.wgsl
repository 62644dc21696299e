// A word is two f32, neighbours.
alias Word = u64;

fn lanes(word: Word) -> vec2<f32> {
    return vec2(bitcast<f32>(u32(word)), bitcast<f32>(u32(word >> 32u)));
}

fn packed(value: vec2<f32>) -> Word {
    return Word(bitcast<u32>(value.x)) | (Word(bitcast<u32>(value.y)) << 32u);
}
