// dx[r, c] = gamma[c] · inv_std[c] · (dy[r, c] − dbeta[c] / rows − x̂[r, c] · dgamma[c] / rows)
// with x̂[r, c] = (x[r, c] − mean[c]) · inv_std[c]
struct Params { rows: u32, channels: u32, inv_rows: f32 }
@group(0) @binding(0) var<storage, read> x: array<f32>;  // [rows, channels]
@group(0) @binding(1) var<storage, read> dy: array<f32>;  // [rows, channels]
@group(0) @binding(2) var<storage, read> gamma: array<f32>;  // [channels]
@group(0) @binding(3) var<storage, read> mean: array<f32>;  // [channels]
@group(0) @binding(4) var<storage, read> inv_std: array<f32>;  // [channels]
@group(0) @binding(5) var<storage, read> dgamma: array<f32>;  // [channels]
@group(0) @binding(6) var<storage, read> dbeta: array<f32>;  // [channels]
@group(0) @binding(7) var<storage, read_write> dx: array<f32>;  // [rows, channels]
@group(1) @binding(0) var<uniform> params: Params;
//# include common/channel_rows.wgsl

fn run(c: u32, first: u32, end: u32) {
    let center = mean[c];
    let factor = gamma[c] * inv_std[c];
    let offset = dbeta[c] * params.inv_rows;
    let slope = dgamma[c] * params.inv_rows * inv_std[c];
    for (var i = first; i < end; i += params.channels) {
        dx[i] = factor * (dy[i] - offset - (x[i] - center) * slope);
    }
}
