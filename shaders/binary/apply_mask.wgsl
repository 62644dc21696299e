// y[i] = bit i of mask ? x[i] : 0
//# include common/index.wgsl
const WORKGROUP: u32 = 64u;
const EACH: u32 = 4u;  // elements of one invocation, WORKGROUP apart

struct Params { len: u32 }
@group(0) @binding(0) var<storage, read> x: array<f32>;  // [len]
@group(0) @binding(1) var<storage, read> mask: array<u32>;  // [ceil(len / 32)], bit i % 32 of word i / 32
@group(0) @binding(2) var<storage, read_write> y: array<f32>;  // [len]
@group(1) @binding(0) var<uniform> params: Params;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32,
        @builtin(num_workgroups) groups: vec3<u32>) {
    let first = linear_id(group, 0u, groups, WORKGROUP * EACH) + local;
    for (var k = 0u; k < EACH; k++) {
        let i = first + k * WORKGROUP;
        if i >= params.len { break; }
        let keep = (mask[i / 32u] >> (i % 32u)) & 1u;
        y[i] = select(0.0, x[i], keep == 1u);
    }
}
