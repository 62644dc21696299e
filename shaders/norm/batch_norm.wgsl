// y[r, c] = gamma[c] · (x[r, c] − mean[c]) · inv_std + beta[c], inv_std = spread[c], or 1 / sqrt(spread[c] + eps) (VARIANCE)
const VARIANCE: bool = true;

struct Params { rows: u32, channels: u32, eps: f32 }
@group(0) @binding(0) var<storage, read> x: array<f32>;  // [rows, channels]
@group(0) @binding(1) var<storage, read> gamma: array<f32>;  // [channels]
@group(0) @binding(2) var<storage, read> beta: array<f32>;  // [channels]
@group(0) @binding(3) var<storage, read> mean: array<f32>;  // [channels]
@group(0) @binding(4) var<storage, read> spread: array<f32>;  // [channels]
@group(0) @binding(5) var<storage, read_write> y: array<f32>;  // [rows, channels]
@group(1) @binding(0) var<uniform> params: Params;
//# include common/channel_rows.wgsl

fn run(c: u32, first: u32, end: u32) {
    let center = mean[c];
    var inv_std = spread[c];
    if VARIANCE { inv_std = inverseSqrt(inv_std + params.eps); }
    let factor = gamma[c] * inv_std;
    let shift = beta[c];
    for (var i = first; i < end; i += params.channels) {
        y[i] = (x[i] - center) * factor + shift;
    }
}
