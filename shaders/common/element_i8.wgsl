// Four int8 to a word; what is stored lies within 0 and 1, in steps of 1 / 256 from −128 on.
//# include common/i8.wgsl
const PER_WORD: u32 = 4u;

fn element(word: u32, k: u32) -> f32 {
    return f32(lane_i8(word, k));
}

fn stored(p: f32, k: u32) -> u32 {
    return (u32(i32(min(round(p * 256.0), 255.0)) - 128) & 255u) << (8u * k);
}
