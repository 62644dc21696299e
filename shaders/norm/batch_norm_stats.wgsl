// mean[c] = 1 / rows · Σ x[r, c];  variance = 1 / rows · Σ (x[r, c] − mean[c])²
// inv_std[c] = 1 / sqrt(variance + eps)
// running_mean[c]     = (1 − momentum) · running_mean[c]     + momentum · mean[c]
// running_variance[c] = (1 − momentum) · running_variance[c] + momentum · variance · rows / (rows − 1)
struct Params { rows: u32, channels: u32, inv_rows: f32, inv_rows_less_one: f32, keep: f32, momentum: f32, eps: f32 }
@group(0) @binding(0) var<storage, read> x: array<f32>;  // [rows, channels]
@group(0) @binding(1) var<storage, read_write> running_mean: array<f32>;  // [channels]
@group(0) @binding(2) var<storage, read_write> running_variance: array<f32>;  // [channels]
@group(0) @binding(3) var<storage, read_write> mean: array<f32>;  // [channels]
@group(0) @binding(4) var<storage, read_write> inv_std: array<f32>;  // [channels]
@group(1) @binding(0) var<uniform> params: Params;
//# include common/channel_sums.wgsl

fn run(c: u32, rows: u32, local: vec3<u32>) {
    var sum = 0.0;
    for (var row = local.y; row < rows; row += LANES) { sum += x[row * params.channels + c]; }
    let center = over_lanes(vec2(sum, 0.0), local).x * params.inv_rows;
    var square = 0.0;
    for (var row = local.y; row < rows; row += LANES) {
        let distance = x[row * params.channels + c] - center;
        square += distance * distance;
    }
    square = over_lanes(vec2(square, 0.0), local).x;
    if local.y != 0u || rows == 0u { return; }
    mean[c] = center;
    inv_std[c] = inverseSqrt(square * params.inv_rows + params.eps);
    running_mean[c] = params.keep * running_mean[c] + params.momentum * center;
    running_variance[c] = params.keep * running_variance[c]
        + params.momentum * (square * params.inv_rows_less_one);
}
