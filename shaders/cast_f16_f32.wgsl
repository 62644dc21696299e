// y[i] = f32(x[i]), exact
//# include common/index.wgsl
const WORKGROUP: u32 = 64u;

struct Params { words: u32, row_words: u32, row: u32 }
@group(0) @binding(0) var<storage, read> x: array<u32>;        // f16 [rows, row]
@group(0) @binding(1) var<storage, read_write> y: array<f32>;  // [rows, row]
@group(1) @binding(0) var<uniform> params: Params;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32,
        @builtin(num_workgroups) groups: vec3<u32>) {
    let i = linear_id(group, local, groups, WORKGROUP);
    if i >= params.words { return; }
    let column = i % params.row_words * 2u;
    let at = i / params.row_words * params.row + column;
    let v = unpack2x16float(x[i]);
    y[at] = v.x;
    if column + 1u < params.row { y[at + 1u] = v.y; }
}
