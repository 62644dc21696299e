// y[j] = Σ_r x[kept(j) + summed(r)]
//
// A workgroup owns COLUMNS outputs; its invocations share the terms, then a tree adds their sums.
//# include common/index.wgsl
const WORKGROUP: u32 = 64u;
const COLUMNS: u32 = 1u;

struct Params {
    axes: array<vec4<u32>, 3>,  // innermost first: size and step in x of those kept, then of those summed
    outputs: u32, terms: u32,
}
@group(0) @binding(0) var<storage, read> x: array<f32>;        // [.., .., ..]
@group(0) @binding(1) var<storage, read_write> y: array<f32>;  // [outputs]
@group(1) @binding(0) var<uniform> params: Params;

var<workgroup> partial: array<f32, WORKGROUP>;

fn kept(j: u32) -> u32 {
    let outer = j / params.axes[0].x;
    let last = outer / params.axes[1].x;
    return (j - outer * params.axes[0].x) * params.axes[0].y
        + (outer - last * params.axes[1].x) * params.axes[1].y + last * params.axes[2].y;
}

fn summed(r: u32) -> u32 {
    let outer = r / params.axes[0].z;
    let last = outer / params.axes[1].z;
    return (r - outer * params.axes[0].z) * params.axes[0].w
        + (outer - last * params.axes[1].z) * params.axes[1].w + last * params.axes[2].w;
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32,
        @builtin(num_workgroups) groups: vec3<u32>) {
    let column = linear_id(group, 0u, groups, 1u) * COLUMNS + local % COLUMNS;
    let first = kept(min(column, params.outputs - 1u));
    var sum = 0.0;
    for (var r = local / COLUMNS; r < params.terms; r += WORKGROUP / COLUMNS) {
        sum += x[first + summed(r)];
    }
    partial[local] = sum;
    workgroupBarrier();
    for (var half = WORKGROUP / 2u; half >= COLUMNS; half /= 2u) {
        if local < half { partial[local] += partial[local + half]; }
        workgroupBarrier();
    }
    if local < COLUMNS && column < params.outputs { y[column] = partial[local]; }
}
