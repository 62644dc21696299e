// y[i] = max(0, x[i]); two elements to a word. The padding of x is zero, so that of y is.
//# include common/index.wgsl
const WORKGROUP: u32 = 64u;
const EACH: u32 = 4u;  // elements of one invocation, WORKGROUP apart

struct Params { words: u32 }
@group(0) @binding(0) var<storage, read> x: array<u32>;  // f16 x 2 [words]
@group(0) @binding(1) var<storage, read_write> y: array<u32>;  // f16 x 2 [words]
@group(1) @binding(0) var<uniform> params: Params;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32,
        @builtin(num_workgroups) groups: vec3<u32>) {
    let first = linear_id(group, 0u, groups, WORKGROUP * EACH) + local;
    for (var k = 0u; k < EACH; k++) {
        let i = first + k * WORKGROUP;
        if i >= params.words { break; }
        y[i] = pack2x16float(max(unpack2x16float(x[i]), vec2<f32>()));
    }
}
