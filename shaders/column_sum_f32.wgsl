// y[c] = Σ_r x[r, c]
//# include common/index.wgsl
const WORKGROUP: u32 = 64u;

struct Params { rows: u32, cols: u32 }
@group(0) @binding(0) var<storage, read> x: array<f32>;        // [rows, cols]
@group(0) @binding(1) var<storage, read_write> y: array<f32>;  // [cols]
@group(1) @binding(0) var<uniform> params: Params;

var<workgroup> partial: array<f32, WORKGROUP>;

// One column per workgroup, a fixed tree: the same order of additions on every run.
@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32,
        @builtin(num_workgroups) groups: vec3<u32>) {
    let col = linear_id(group, 0u, groups, 1u);
    var sum = 0.0;
    let rows = select(0u, params.rows, col < params.cols);
    for (var r = local; r < rows; r += WORKGROUP) {
        sum += x[r * params.cols + col];
    }
    partial[local] = sum;
    workgroupBarrier();
    for (var half = WORKGROUP / 2u; half > 0u; half /= 2u) {
        if local < half { partial[local] += partial[local + half]; }
        workgroupBarrier();
    }
    if local == 0u && col < params.cols { y[col] = partial[0]; }
}
