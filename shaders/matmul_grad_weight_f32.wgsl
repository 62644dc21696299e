// dw[n, k] = Σ_m dy[m, n]·x[m, k]
//# include common/index.wgsl
const WORKGROUP: u32 = 64u;

struct Params { m: u32, n: u32, k: u32, tiles: u32 }
@group(0) @binding(0) var<storage, read> dy: array<f32>;  // [m, n]
@group(0) @binding(1) var<storage, read> x: array<f32>;  // [m, k]
@group(0) @binding(2) var<storage, read_write> dw: array<f32>;  // [n, k]
@group(1) @binding(0) var<uniform> params: Params;

// Four rows by four columns per invocation; neighbouring invocations take neighbouring columns.
@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32,
        @builtin(num_workgroups) groups: vec3<u32>) {
    let id = linear_id(group, local, groups, WORKGROUP);
    let row = id / params.tiles * 4u;
    let col = id % params.tiles * 4u;
    if row >= params.n { return; }
    // Past the end the last row or column is read again, and not written.
    let rows = min(vec4(row) + vec4(0u, 1u, 2u, 3u), vec4(params.n - 1u));
    let cols = min(vec4(col) + vec4(0u, 1u, 2u, 3u), vec4(params.k - 1u));
    let start = vec4<f32>();
    var acc0 = start;
    var acc1 = start;
    var acc2 = start;
    var acc3 = start;
    for (var t = 0u; t < params.m; t++) {
        let b = vec4(x[t * params.k + cols.x], x[t * params.k + cols.y], x[t * params.k + cols.z], x[t * params.k + cols.w]);
        acc0 += dy[t * params.n + rows.x] * b;
        acc1 += dy[t * params.n + rows.y] * b;
        acc2 += dy[t * params.n + rows.z] * b;
        acc3 += dy[t * params.n + rows.w] * b;
    }
    store(row, col, acc0);
    store(row + 1u, col, acc1);
    store(row + 2u, col, acc2);
    store(row + 3u, col, acc3);
}

fn store(row: u32, col: u32, acc: vec4<f32>) {
    if row >= params.n { return; }
    for (var j = 0u; j < 4u; j++) {
        if col + j < params.k {
            dw[row * params.k + col + j] = acc[j];
        }
    }
}
