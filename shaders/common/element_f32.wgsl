// One f32 to a word.
const PER_WORD: u32 = 1u;

fn element(word: u32, k: u32) -> f32 {
    return bitcast<f32>(word);
}

fn stored(p: f32, k: u32) -> u32 {
    return bitcast<u32>(p);
}
