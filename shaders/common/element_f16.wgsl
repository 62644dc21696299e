// Two f16 to a word.
const PER_WORD: u32 = 2u;

fn element(word: u32, k: u32) -> f32 {
    return unpack2x16float(word)[k];
}

fn stored(p: f32, k: u32) -> u32 {
    return pack2x16float(vec2(p, 0.0)) << (16u * k);
}
