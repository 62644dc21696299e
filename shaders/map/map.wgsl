// y[i] = activation(x[i]), in f32; with HALF two elements to a word
//# include common/index.wgsl
//# part activation common/activation.wgsl
const WORKGROUP: u32 = 64u;
const EACH: u32 = 4u;  // words of one invocation, WORKGROUP apart
const HALF: bool = false;

struct Params { words: u32, row_words: u32, row: u32 }         // words in all; words and elements of a row
@group(0) @binding(0) var<storage, read> x: array<u32>;        // f32 or f16 x 2 [rows, row_words]
@group(0) @binding(1) var<storage, read_write> y: array<u32>;  // f32 or f16 x 2 [rows, row_words]
@group(1) @binding(0) var<uniform> params: Params;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32,
        @builtin(num_workgroups) groups: vec3<u32>) {
    let first = linear_id(group, 0u, groups, WORKGROUP * EACH) + local;
    for (var k = 0u; k < EACH; k++) {
        let i = first + k * WORKGROUP;
        if i >= params.words { break; }
        if HALF {
            let v = unpack2x16float(x[i]);
            let padding = i % params.row_words * 2u + 1u >= params.row;
            y[i] = pack2x16float(vec2(activation(v.x), select(activation(v.y), 0.0, padding)));
        } else {
            y[i] = bitcast<u32>(activation(bitcast<f32>(x[i])));
        }
    }
}
