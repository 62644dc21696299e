// dx[m, k] = Σ_n dy[m, n]·w[n, k]
//# include common/index.wgsl
const WORKGROUP: u32 = 64u;

struct Params { m: u32, n: u32, k: u32, tiles: u32 }
@group(0) @binding(0) var<storage, read> dy: array<f32>;  // [m, n]
@group(0) @binding(1) var<storage, read> w: array<f32>;  // [n, k]
@group(0) @binding(2) var<storage, read_write> dx: array<f32>;  // [m, k]
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
    let cols = min(vec4(col) + vec4(0u, 1u, 2u, 3u), vec4(params.k - 1u));
    let start = vec4<f32>();
    var acc0 = start;
    var acc1 = start;
    var acc2 = start;
    var acc3 = start;
    for (var t = 0u; t < params.n; t++) {
        let b = vec4(w[t * params.k + cols.x], w[t * params.k + cols.y], w[t * params.k + cols.z], w[t * params.k + cols.w]);
        acc0 += dy[rows.x * params.n + t] * b;
        acc1 += dy[rows.y * params.n + t] * b;
        acc2 += dy[rows.z * params.n + t] * b;
        acc3 += dy[rows.w * params.n + t] * b;
    }
    store(row, col, acc0);
    store(row + 1u, col, acc1);
    store(row + 2u, col, acc2);
    store(row + 3u, col, acc3);
}

fn store(row: u32, col: u32, acc: vec4<f32>) {
    if row >= params.m { return; }
    for (var j = 0u; j < 4u; j++) {
        if col + j < params.k {
            dx[row * params.k + col + j] = acc[j];
        }
    }
}
