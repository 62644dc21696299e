// What f32 sums end with: activation(sum + residual).
//# part residual common/product/residual_none.wgsl
//# part activation common/activation.wgsl
@group(0) @binding(2) var<storage, read> bias: array<f32>;     // [n]
@group(0) @binding(3) var<storage, read_write> y: array<f32>;  // [m, n]

fn finish(at: u32, v: f32) {
    y[at] = activation(v + residual_f32(at));
}
