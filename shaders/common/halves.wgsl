// A word of memory holds one f32, or two neighbours where Word is u64 and HALVES is 2.
alias Word = u32;
const HALVES: u32 = 1u;

fn half_of(word: Word, half: u32) -> f32 {
    return bitcast<f32>(bits_of_half(word, half));
}

// As bits: neither subnormals nor NaNs change on the way.
fn bits_of_half(word: Word, half: u32) -> u32 {
    return u32(word >> (32u * half));
}

fn as_half(value: f32, half: u32) -> Word {
    return Word(bitcast<u32>(value)) << (32u * half);
}
