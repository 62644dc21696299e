// y[i] = a[i] + b[i], then max(0, ·) if RELU; two elements to a word, added as f32.
// The padding of a and b is zero, so that of y is.
//# include common/index.wgsl
const WORKGROUP: u32 = 64u;
const EACH: u32 = 4u;  // elements of one invocation, WORKGROUP apart
const RELU: bool = false;

struct Params { words: u32 }
@group(0) @binding(0) var<storage, read> a: array<u32>;  // f16 x 2 [words]
@group(0) @binding(1) var<storage, read> b: array<u32>;  // f16 x 2 [words]
@group(0) @binding(2) var<storage, read_write> y: array<u32>;  // f16 x 2 [words]
@group(1) @binding(0) var<uniform> params: Params;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32,
        @builtin(num_workgroups) groups: vec3<u32>) {
    let first = linear_id(group, 0u, groups, WORKGROUP * EACH) + local;
    for (var k = 0u; k < EACH; k++) {
        let i = first + k * WORKGROUP;
        if i >= params.words { break; }
        let sum = unpack2x16float(a[i]) + unpack2x16float(b[i]);
        y[i] = pack2x16float(select(sum, max(sum, vec2<f32>()), RELU));
    }
}
