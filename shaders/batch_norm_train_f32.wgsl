// y[r, c] = gamma[c] · (x[r, c] − mean[c]) · inv_std[c] + beta[c]
//# include common/index.wgsl
const WORKGROUP: u32 = 64u;
const ROWS: u32 = 8u;  // rows of one invocation: consecutive, in one channel

struct Params { rows: u32, channels: u32 }
@group(0) @binding(0) var<storage, read> x: array<f32>;  // [rows, channels]
@group(0) @binding(1) var<storage, read> gamma: array<f32>;  // [channels]
@group(0) @binding(2) var<storage, read> beta: array<f32>;  // [channels]
@group(0) @binding(3) var<storage, read> mean: array<f32>;  // [channels]
@group(0) @binding(4) var<storage, read> inv_std: array<f32>;  // [channels]
@group(0) @binding(5) var<storage, read_write> y: array<f32>;  // [rows, channels]
@group(1) @binding(0) var<uniform> params: Params;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32,
        @builtin(num_workgroups) groups: vec3<u32>) {
    let id = linear_id(group, local, groups, WORKGROUP);
    let row = id / params.channels * ROWS;
    if row >= params.rows { return; }
    let c = id % params.channels;
    let center = mean[c];
    let factor = gamma[c] * inv_std[c];
    let shift = beta[c];
    let end = min(row + ROWS, params.rows) * params.channels;
    for (var i = row * params.channels + c; i < end; i += params.channels) {
        y[i] = (x[i] - center) * factor + shift;
    }
}
