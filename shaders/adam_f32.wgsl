// m = beta1 · m + (1 − beta1) · g;  v = beta2 · v + (1 − beta2) · g²
// w -= lr / (1 − beta1^t) · m / (sqrt(v) / sqrt(1 − beta2^t) + eps)
// DECOUPLED: w *= 1 − lr · weight_decay before; else g += weight_decay · w before.
//# include common/index.wgsl
const WORKGROUP: u32 = 64u;
const EACH: u32 = 4u;  // elements of one invocation, WORKGROUP apart
const DECOUPLED: bool = false;

struct Params {
    len: u32,
    beta1: f32,
    rest1: f32,  // 1 − beta1
    beta2: f32,
    rest2: f32,  // 1 − beta2
    eps: f32,
    weight_decay: f32,
}
@group(0) @binding(0) var<storage, read_write> w: array<f32>;  // [len]
@group(0) @binding(1) var<storage, read> g: array<f32>;  // [len]
@group(0) @binding(2) var<storage, read_write> m: array<f32>;  // [len]
@group(0) @binding(3) var<storage, read_write> v: array<f32>;  // [len]
@group(0) @binding(4) var<storage, read> step: array<f32>;  // [3]: lr, 1 − beta1^t, 1 − beta2^t
@group(1) @binding(0) var<uniform> params: Params;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32,
        @builtin(num_workgroups) groups: vec3<u32>) {
    let first = linear_id(group, 0u, groups, WORKGROUP * EACH) + local;
    // The same for all elements.
    let decay = 1.0 - step[0] * params.weight_decay;
    let rate = step[0] / step[1];
    let root = sqrt(step[2]);
    for (var k = 0u; k < EACH; k++) {
        let i = first + k * WORKGROUP;
        if i >= params.len { break; }
        var weight = w[i];
        var gradient = g[i];
        if DECOUPLED {
            weight *= decay;
        } else {
            gradient += params.weight_decay * weight;
        }
        let first_moment = params.beta1 * m[i] + params.rest1 * gradient;
        let second_moment = params.beta2 * v[i] + params.rest2 * gradient * gradient;
        m[i] = first_moment;
        v[i] = second_moment;
        let denominator = sqrt(second_moment) / root + params.eps;
        w[i] = weight - rate * (first_moment / denominator);
    }
}
