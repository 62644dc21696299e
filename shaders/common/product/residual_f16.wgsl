// Added before the last step of a convolution; `at` counts words of y.
@group(0) @binding(4) var<storage, read> residual: array<u32>;  // [n, oh, ow, o / 2]

fn residual_f16(at: u32) -> vec2<f32> { return unpack2x16float(residual[at]); }
