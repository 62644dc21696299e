// Added before the last step of a convolution; `at` counts elements of y.
@group(0) @binding(4) var<storage, read> residual: array<f32>;  // [n, oh, ow, o]

fn residual_f32(at: u32) -> f32 { return residual[at]; }
