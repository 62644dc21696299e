// y[i] = f16(x[i]), rounded to nearest even as pack2x16float does; two to a word, rows padded with 0
//# include common/index.wgsl
const WORKGROUP: u32 = 64u;

struct Params { words: u32, row_words: u32, row: u32 }
@group(0) @binding(0) var<storage, read> x: array<f32>;        // [rows, row]
@group(0) @binding(1) var<storage, read_write> y: array<u32>;  // f16 [rows, row]
@group(1) @binding(0) var<uniform> params: Params;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32,
        @builtin(num_workgroups) groups: vec3<u32>) {
    let i = linear_id(group, local, groups, WORKGROUP);
    if i >= params.words { return; }
    let column = i % params.row_words * 2u;
    let at = i / params.row_words * params.row + column;
    var v = vec2<f32>(x[at], 0.0);
    if column + 1u < params.row { v.y = x[at + 1u]; }
    y[i] = pack2x16float(v);
}
