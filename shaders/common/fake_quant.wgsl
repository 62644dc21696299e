// round_ties_even(x · inv_scale) + zero_point before it is clamped to the range; NaN gives the zero point.
// QParams::unclamped is its twin, but for |x · inv_scale| > 2^20, far outside of every range: stopping
// there keeps the addition from wrapping.
fn unclamped(x: f32, inv_scale: f32, zero_point: i32) -> i32 {
    let rounded = i32(clamp(round(x * inv_scale), -1048576.0, 1048576.0));
    let is_nan = (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u;
    return select(rounded, 0, is_nan) + zero_point;
}
