// x[i] = activation(x[i])
//# include common/index.wgsl
//# part activation common/activation.wgsl
const WORKGROUP: u32 = 64u;
const EACH: u32 = 4u;  // elements of one invocation, WORKGROUP apart

struct Params { len: u32 }
@group(0) @binding(0) var<storage, read_write> x: array<f32>;  // [len]
@group(1) @binding(0) var<uniform> params: Params;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32,
        @builtin(num_workgroups) groups: vec3<u32>) {
    let first = linear_id(group, 0u, groups, WORKGROUP * EACH) + local;
    for (var k = 0u; k < EACH; k++) {
        let i = first + k * WORKGROUP;
        if i >= params.len { break; }
        x[i] = activation(x[i]);
    }
}
