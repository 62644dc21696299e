// The derivative of what is applied to a result: that of nothing.
fn slope(x: f32) -> f32 { return 1.0; }
