// Four signed bytes to a word, lowest lane in the lowest bits.
fn lane_i8(word: u32, lane: u32) -> i32 {
    return extractBits(i32(word), lane * 8u, 8u);
}

fn lanes_i8(word: u32) -> vec4<i32> {
    return vec4<i32>(vec4(word << 24u, word << 16u, word << 8u, word)) >> vec4(24u);
}

fn pack_i8(v: vec4<i32>) -> u32 {
    let b = vec4<u32>(v) & vec4<u32>(255u);
    return b.x | (b.y << 8u) | (b.z << 16u) | (b.w << 24u);
}

// The word with all lanes from `lanes` on set to zero: row padding.
fn keep_lanes(word: u32, lanes: u32) -> u32 {
    return select(word & ((1u << (8u * lanes)) - 1u), word, lanes >= 4u);
}
