// The two rules that bring an int32 accumulator back to a few bits; src/base/requant.rs is their twin.

// false: the float rule; true: the fixed rule.
const FIXED: bool = false;

// clamp(requant(acc) + zero_point, qmin, qmax); clamped before the zero point is added, so nothing wraps.
// `words` is [bits of M, 0] under the float rule, [multiplier, shift] under the fixed rule.
fn out_i8(acc: i32, words: vec2<u32>, zero_point: i32, qmin: i32, qmax: i32) -> i32 {
    let low = qmin - zero_point;
    let high = qmax - zero_point;
    if FIXED {
        return clamp(requant_fixed(acc, words.x, words.y), low, high) + zero_point;
    }
    return requant_float(acc, words.x, low, high) + zero_point;
}

// clamp(round_ties_even(f32(acc) · M), low, high), M given by its bits.
fn requant_float(acc: i32, m_bits: u32, low: i32, high: i32) -> i32 {
    return i32(clamp(round(f32(acc) * bitcast<f32>(m_bits)), f32(low), f32(high)));
}

// sign(acc) · ((|acc| · multiplier + 2^(shift−1)) >> shift), saturated: 64-bit arithmetic in 16-bit pieces.
fn requant_fixed(acc: i32, multiplier: u32, shift: u32) -> i32 {
    let a = select(u32(acc), 0u - u32(acc), acc < 0);
    let a_lo = a & 0xffffu;
    let a_hi = a >> 16u;
    let m_lo = multiplier & 0xffffu;
    let m_hi = multiplier >> 16u;
    let low = a_lo * m_lo;
    let mid1 = a_hi * m_lo + (low >> 16u);
    let mid2 = a_lo * m_hi + (mid1 & 0xffffu);
    var hi = a_hi * m_hi + (mid1 >> 16u) + (mid2 >> 16u);
    var lo = (mid2 << 16u) | (low & 0xffffu);
    // + 2^(shift − 1)
    let bit = shift - 1u;
    if bit < 32u {
        let sum = lo + (1u << bit);
        hi += select(0u, 1u, sum < lo);
        lo = sum;
    } else {
        hi += 1u << (bit - 32u);
    }
    var magnitude: u32;
    if shift >= 32u {
        magnitude = hi >> (shift - 32u);
    } else {
        magnitude = (lo >> shift) | (hi << (32u - shift));
        magnitude = select(magnitude, 0x7fffffffu, (hi >> (shift - 1u)) != 0u);
    }
    magnitude = min(magnitude, 0x7fffffffu);
    return select(i32(magnitude), -i32(magnitude), acc < 0);
}
