// Magnitudes of elements i and i + 1 of w, i even, as bits: neither subnormals nor NaNs may change on the way. Past the
// end that of the last.
fn magnitudes(i: u32) -> vec2<u32> {
    let first = w[min(i, params.len - 1u) / HALVES];
    let second = w[min(i + 2u - HALVES, params.len - 1u) / HALVES];
    return vec2(bits_of_half(first, 0u), bits_of_half(second, HALVES - 1u)) & vec2(0x7fffffffu);
}
