// dx[r, c] = dy[r, c] · gamma[c] / sqrt(variance[c] + eps)
//# include common/index.wgsl
const WORKGROUP: u32 = 64u;
const ROWS: u32 = 8u;  // rows of one invocation: consecutive, in one channel

struct Params { rows: u32, channels: u32, eps: f32 }
@group(0) @binding(0) var<storage, read> dy: array<f32>;  // [rows, channels]
@group(0) @binding(1) var<storage, read> gamma: array<f32>;  // [channels]
@group(0) @binding(2) var<storage, read> variance: array<f32>;  // [channels]
@group(0) @binding(3) var<storage, read_write> dx: array<f32>;  // [rows, channels]
@group(1) @binding(0) var<uniform> params: Params;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32,
        @builtin(num_workgroups) groups: vec3<u32>) {
    let id = linear_id(group, local, groups, WORKGROUP);
    let row = id / params.channels * ROWS;
    if row >= params.rows { return; }
    let c = id % params.channels;
    let factor = gamma[c] * inverseSqrt(variance[c] + params.eps);
    let end = min(row + ROWS, params.rows) * params.channels;
    for (var i = row * params.channels + c; i < end; i += params.channels) {
        dx[i] = dy[i] * factor;
    }
}
