// dx[i] = y[i] > 0 ? dy[i] : 0
//# include common/index.wgsl
const WORKGROUP: u32 = 64u;
const EACH: u32 = 4u;  // elements of one invocation, WORKGROUP apart

struct Params { len: u32 }
@group(0) @binding(0) var<storage, read> y: array<f32>;  // [len]
@group(0) @binding(1) var<storage, read> dy: array<f32>;  // [len]
@group(0) @binding(2) var<storage, read_write> dx: array<f32>;  // [len]
@group(1) @binding(0) var<uniform> params: Params;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32,
        @builtin(num_workgroups) groups: vec3<u32>) {
    let first = linear_id(group, 0u, groups, WORKGROUP * EACH) + local;
    for (var k = 0u; k < EACH; k++) {
        let i = first + k * WORKGROUP;
        if i >= params.len { break; }
        dx[i] = select(0.0, dy[i], y[i] > 0.0);
    }
}
