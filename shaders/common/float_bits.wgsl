// Floats as integers: exact on every device, whatever it does to subnormals, NaN and infinities.
// src/kernels/float_bits.rs is the twin.

// Grows with the float; -0 lies below +0.
fn key_of(bits: u32) -> u32 {
    return bits ^ (u32(i32(bits) >> 31u) | 0x80000000u);
}

fn bits_of_key(key: u32) -> u32 {
    return key ^ select(0xffffffffu, 0x80000000u, key >= 0x80000000u);
}

fn is_finite(bits: u32) -> bool {
    return (bits & 0x7f800000u) != 0x7f800000u;
}

// floor(x · 2^-exponent) for a finite x, where |x · 2^-exponent| < 2^31.
fn bin_of(bits: u32, exponent: i32) -> i32 {
    let biased = (bits >> 23u) & 255u;
    let mantissa = i32((bits & 0x7fffffu) | select(0u, 0x800000u, biased != 0u));
    let integer = select(mantissa, -mantissa, (bits >> 31u) != 0u);
    let shift = i32(max(biased, 1u)) - 150 - exponent;
    return (integer << u32(clamp(shift, 0, 31))) >> u32(clamp(-shift, 0, 31));
}
