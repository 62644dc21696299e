// m = beta1 · m + (1 − beta1) · g;  v = beta2 · v + (1 − beta2) · g²
// w -= lr / (1 − beta1^t) · m / (sqrt(v) / sqrt(1 − beta2^t) + eps)
// DECOUPLED: w *= 1 − lr · weight_decay before; else g += weight_decay · w before.
//# include common/index.wgsl
//# include common/halves.wgsl
const WORKGROUP: u32 = 64u;
const EACH: u32 = 4u;  // elements of one invocation, WORKGROUP apart
const DECOUPLED: bool = false;

struct Params {
    words: u32,
    beta1: f32,
    rest1: f32,  // 1 − beta1
    beta2: f32,
    rest2: f32,  // 1 − beta2
    eps: f32,
    weight_decay: f32,
}
@group(0) @binding(0) var<storage, read_write> w: array<Word>;  // [len] f32
@group(0) @binding(1) var<storage, read> g: array<Word>;  // [len] f32
@group(0) @binding(2) var<storage, read_write> m: array<Word>;  // [len] f32
@group(0) @binding(3) var<storage, read_write> v: array<Word>;  // [len] f32
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
        if i >= params.words { break; }
        let old_w = w[i];
        let gs = g[i];
        let old_m = m[i];
        let old_v = v[i];
        var new_w = Word(0u);
        var new_m = Word(0u);
        var new_v = Word(0u);
        //# unroll
        for (var half = 0u; half < HALVES; half++) {
            var weight = half_of(old_w, half);
            var gradient = half_of(gs, half);
            if DECOUPLED {
                weight *= decay;
            } else {
                gradient += params.weight_decay * weight;
            }
            let first_moment = params.beta1 * half_of(old_m, half) + params.rest1 * gradient;
            let second_moment = params.beta2 * half_of(old_v, half) + params.rest2 * gradient * gradient;
            new_m |= as_half(first_moment, half);
            new_v |= as_half(second_moment, half);
            let denominator = sqrt(second_moment) / root + params.eps;
            new_w |= as_half(weight - rate * (first_moment / denominator), half);
        }
        w[i] = new_w;
        m[i] = new_m;
        v[i] = new_v;
    }
}
