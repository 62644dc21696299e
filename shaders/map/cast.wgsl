// y[i] = x[i], from f16 to f32 exactly, with TO_HALF from f32 to f16 as pack2x16float rounds
//# include common/index.wgsl
const WORKGROUP: u32 = 64u;
const TO_HALF: bool = false;

struct Params { words: u32, row_words: u32, row: u32 }         // words of f16 in all; words and elements of a row
@group(0) @binding(0) var<storage, read> x: array<u32>;        // [rows, row_words], or f32 [rows, row]
@group(0) @binding(1) var<storage, read_write> y: array<u32>;  // f32 [rows, row], or [rows, row_words]
@group(1) @binding(0) var<uniform> params: Params;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32,
        @builtin(num_workgroups) groups: vec3<u32>) {
    let i = linear_id(group, local, groups, WORKGROUP);
    if i >= params.words { return; }
    let column = i % params.row_words * 2u;
    let at = i / params.row_words * params.row + column;
    let both = column + 1u < params.row;
    if TO_HALF {
        var v = vec2<f32>(bitcast<f32>(x[at]), 0.0);
        if both { v.y = bitcast<f32>(x[at + 1u]); }
        y[i] = pack2x16float(v);
    } else {
        let v = unpack2x16float(x[i]);
        y[at] = bitcast<u32>(v.x);
        if both { y[at + 1u] = bitcast<u32>(v.y); }
    }
}
