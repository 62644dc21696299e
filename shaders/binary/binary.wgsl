// y[i] = activation(combine(a[·], b[·])), in f32; with HALF two elements to a word
//# include common/index.wgsl
//# include common/broadcast.wgsl
//# part combine common/combine.wgsl
//# part activation common/activation.wgsl
const WORKGROUP: u32 = 64u;
const EACH: u32 = 4u;  // words of one invocation, WORKGROUP apart
const HALF: bool = false;

struct Params {
    axes: array<vec4<u32>, 6>, rank: u32,
    words: u32, row_words: u32, row: u32,  // words of y in all; words and elements of a row
    splat_a: u32, splat_b: u32,            // 1: the operand's row is one element
}
@group(0) @binding(0) var<storage, read> a: array<u32>;        // f32 or f16 x 2 [rows of a, its row_words]
@group(0) @binding(1) var<storage, read> b: array<u32>;        // f32 or f16 x 2 [rows of b, its row_words]
@group(0) @binding(2) var<storage, read_write> y: array<u32>;  // f32 or f16 x 2 [rows, row_words]
@group(1) @binding(0) var<uniform> params: Params;

fn result(a: f32, b: f32) -> f32 { return activation(combine(a, b)); }

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32,
        @builtin(num_workgroups) groups: vec3<u32>) {
    let first = linear_id(group, 0u, groups, WORKGROUP * EACH) + local;
    for (var k = 0u; k < EACH; k++) {
        let i = first + k * WORKGROUP;
        if i >= params.words { break; }
        let at = operands_of(i);
        if HALF {
            var va = unpack2x16float(a[at.x]);
            var vb = unpack2x16float(b[at.y]);
            va.y = select(va.y, va.x, params.splat_a == 1u);
            vb.y = select(vb.y, vb.x, params.splat_b == 1u);
            let padding = i % params.row_words * 2u + 1u >= params.row;
            y[i] = pack2x16float(vec2(result(va.x, vb.x), select(result(va.y, vb.y), 0.0, padding)));
        } else {
            y[i] = bitcast<u32>(result(bitcast<f32>(a[at.x]), bitcast<f32>(b[at.y])));
        }
    }
}
