// ((r − zero_point)·multiplier[o] + ⌊2^shift / 2⌋) >> shift, added to the accumulators of one word of y.
@group(0) @binding(5) var<storage, read> residual: array<u32>;             // [n, oh, ow, o / 4]
@group(0) @binding(6) var<storage, read> residual_multiplier: array<i32>;  // [o]

// For four columns with these multipliers.
fn residual_word_i8(at: u32, m: vec4<i32>) -> vec4<i32> {
    let product = (lanes_i8(residual[at]) - params.residual_zero_point) * m;
    return (product + ((1i << params.residual_shift) >> 1u)) >> vec4(params.residual_shift);
}

fn residual_multiplier_of(column: u32) -> i32 {
    return residual_multiplier[column];
}

// The same for one column with this multiplier, whose word is `at`.
fn residual_lane_i8(at: u32, column: u32, m: i32) -> i32 {
    let r = extractBits(bitcast<i32>(residual[at]), 8u * (column & 3u), 8u);
    let product = (r - params.residual_zero_point) * m;
    return (product + ((1i << params.residual_shift) >> 1u)) >> params.residual_shift;
}
