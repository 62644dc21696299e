// y[c] = Σ_r x[r, c]
//
// A workgroup owns COLUMNS columns; its invocations share the rows, then a tree adds their sums.
//# include common/index.wgsl
const WORKGROUP: u32 = 64u;
const COLUMNS: u32 = 1u;

struct Params { rows: u32, cols: u32 }
@group(0) @binding(0) var<storage, read> x: array<f32>;        // [rows, cols]
@group(0) @binding(1) var<storage, read_write> y: array<f32>;  // [cols]
@group(1) @binding(0) var<uniform> params: Params;

var<workgroup> partial: array<f32, WORKGROUP>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32,
        @builtin(num_workgroups) groups: vec3<u32>) {
    let column = linear_id(group, 0u, groups, 1u) * COLUMNS + local % COLUMNS;
    let at = min(column, params.cols - 1u);
    const APART: u32 = WORKGROUP / COLUMNS;
    var row = local / COLUMNS;
    var sum = vec4<f32>(0.0);
    for (; row + 3u * APART < params.rows; row += 4u * APART) {
        sum += vec4<f32>(x[row * params.cols + at], x[(row + APART) * params.cols + at],
                         x[(row + 2u * APART) * params.cols + at], x[(row + 3u * APART) * params.cols + at]);
    }
    for (; row < params.rows; row += APART) {
        sum.x += x[row * params.cols + at];
    }
    partial[local] = (sum.x + sum.y) + (sum.z + sum.w);
    workgroupBarrier();
    for (var half = WORKGROUP / 2u; half >= COLUMNS; half /= 2u) {
        if local < half { partial[local] += partial[local + half]; }
        workgroupBarrier();
    }
    if local < COLUMNS && column < params.cols { y[column] = partial[local]; }
}
