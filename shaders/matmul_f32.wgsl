// y[m, n] = relu?(Σ_k x[m, k]·w[n, k] + bias[n])
//# include common/index.wgsl
const WORKGROUP: u32 = 64u;
const RELU: bool = false;  // fuse max(0, ·)

struct Params { m: u32, n: u32, k: u32, tiles: u32 }
@group(0) @binding(0) var<storage, read> x: array<f32>;  // [m, k]
@group(0) @binding(1) var<storage, read> w: array<f32>;  // [n, k]
@group(0) @binding(2) var<storage, read> bias: array<f32>;  // [n]
@group(0) @binding(3) var<storage, read_write> y: array<f32>;  // [m, n]
@group(1) @binding(0) var<uniform> params: Params;

// Four rows by four columns per invocation; neighbouring invocations take neighbouring columns.
@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32,
        @builtin(num_workgroups) groups: vec3<u32>) {
    let id = linear_id(group, local, groups, WORKGROUP);
    let row = id / params.tiles * 4u;
    let col = id % params.tiles * 4u;
    if row >= params.m { return; }
    // Past the end the last row or column is read again, and not written.
    let rows = min(vec4(row) + vec4(0u, 1u, 2u, 3u), vec4(params.m - 1u));
    let cols = min(vec4(col) + vec4(0u, 1u, 2u, 3u), vec4(params.n - 1u));
    let start = vec4(bias[cols.x], bias[cols.y], bias[cols.z], bias[cols.w]);
    var acc0 = start;
    var acc1 = start;
    var acc2 = start;
    var acc3 = start;
    for (var t = 0u; t < params.k; t++) {
        let b = vec4(w[cols.x * params.k + t], w[cols.y * params.k + t], w[cols.z * params.k + t], w[cols.w * params.k + t]);
        acc0 += x[rows.x * params.k + t] * b;
        acc1 += x[rows.y * params.k + t] * b;
        acc2 += x[rows.z * params.k + t] * b;
        acc3 += x[rows.w * params.k + t] * b;
    }
    store(row, col, acc0);
    store(row + 1u, col, acc1);
    store(row + 2u, col, acc2);
    store(row + 3u, col, acc3);
}

fn store(row: u32, col: u32, acc: vec4<f32>) {
    if row >= params.m { return; }
    for (var j = 0u; j < 4u; j++) {
        if col + j < params.n {
            y[row * params.n + col + j] = select(acc[j], max(0.0, acc[j]), RELU);
        }
    }
}
