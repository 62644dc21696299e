// What sums that are stored as f16 end with, two to a word: activation(sum + residual).
//# part residual common/product/residual_none.wgsl
//# part activation common/activation.wgsl
@group(0) @binding(2) var<storage, read> bias: array<f32>;     // [n]
@group(0) @binding(3) var<storage, read_write> y: array<u32>;  // f16 [m, n_words]

// Past the end of a row there is nothing, whatever the activation makes of nothing.
fn finish(at: u32, v: vec2<f32>, second: bool) {
    let sum = v + residual_f16(at);
    y[at] = pack2x16float(vec2(activation(sum.x), select(0.0, activation(sum.y), second)));
}
