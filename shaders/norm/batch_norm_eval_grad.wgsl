// dx[r, c] = dy[r, c] · gamma[c] / sqrt(variance[c] + eps)
struct Params { rows: u32, channels: u32, eps: f32 }
@group(0) @binding(0) var<storage, read> dy: array<f32>;  // [rows, channels]
@group(0) @binding(1) var<storage, read> gamma: array<f32>;  // [channels]
@group(0) @binding(2) var<storage, read> variance: array<f32>;  // [channels]
@group(0) @binding(3) var<storage, read_write> dx: array<f32>;  // [rows, channels]
@group(1) @binding(0) var<uniform> params: Params;
//# include common/channel_rows.wgsl

fn run(c: u32, first: u32, end: u32) {
    let factor = gamma[c] * inverseSqrt(variance[c] + params.eps);
    for (var i = first; i < end; i += params.channels) {
        dx[i] = dy[i] * factor;
    }
}
