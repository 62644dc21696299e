// g' = g + weight_decay · w
// v = momentum · v + g';  d = g' + momentum · v (NESTEROV) or v or g' (no MOMENTUM)
// w -= lr · d
//# include common/index.wgsl
const WORKGROUP: u32 = 64u;
const EACH: u32 = 4u;  // elements of one invocation, WORKGROUP apart
const MOMENTUM: bool = true;
const NESTEROV: bool = false;

struct Params { len: u32, momentum: f32, weight_decay: f32 }
@group(0) @binding(0) var<storage, read_write> w: array<f32>;  // [len]
@group(0) @binding(1) var<storage, read> g: array<f32>;  // [len]
@group(0) @binding(2) var<storage, read_write> v: array<f32>;  // [len]
@group(0) @binding(3) var<storage, read> lr: array<f32>;  // [1]
@group(1) @binding(0) var<uniform> params: Params;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32,
        @builtin(num_workgroups) groups: vec3<u32>) {
    let first = linear_id(group, 0u, groups, WORKGROUP * EACH) + local;
    let rate = lr[0];
    for (var k = 0u; k < EACH; k++) {
        let i = first + k * WORKGROUP;
        if i >= params.len { break; }
        let weight = w[i];
        let gradient = g[i] + params.weight_decay * weight;
        var direction = gradient;
        if MOMENTUM {
            let velocity = params.momentum * v[i] + gradient;
            v[i] = velocity;
            direction = select(velocity, gradient + params.momentum * velocity, NESTEROV);
        }
        w[i] = weight - rate * direction;
    }
}
