// y[i] = Σ_c s_c after steps·8 times s_c = s_c + dot(a, b_{(c + u) % 8}), u the step, a = a + ADD before every step,
// from s_c = a = x[i], b_c = x[i]·(2c + 1)                                             (words of four int8; int32, wrapping)
//# include common/index.wgsl
const WORKGROUP: u32 = 64u;
const CHAINS: u32 = 8u;
const ADD: u32 = 0x9e3779b9u;

struct Params { len: u32, steps: u32 }
@group(0) @binding(0) var<storage, read> x: array<u32>;        // int8 [len, 4]
@group(0) @binding(1) var<storage, read_write> y: array<i32>;  // [len]
@group(1) @binding(0) var<uniform> params: Params;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32,
        @builtin(num_workgroups) groups: vec3<u32>) {
    let i = linear_id(group, local, groups, WORKGROUP);
    if i >= params.len { return; }
    var a = x[i];
    var b: array<u32, CHAINS>;
    var s: array<i32, CHAINS>;
    //# unroll
    for (var c = 0u; c < CHAINS; c++) {
        b[c] = a * (2u * c + 1u);
        s[c] = bitcast<i32>(a);
    }
    for (var t = 0u; t < params.steps; t++) {
        // Every a meets every b once, and no chain the same b twice: there is nothing to factor out.
        //# unroll
        for (var u = 0u; u < CHAINS; u++) {
            a += ADD;
            //# unroll
            for (var c = 0u; c < CHAINS; c++) {
                s[c] += dot4I8Packed(a, b[(c + u) % CHAINS]);
            }
        }
    }
    var sum = 0i;
    //# unroll
    for (var c = 0u; c < CHAINS; c++) {
        sum += s[c];
    }
    y[i] = sum;
}
