// y[i] = Σ_c s_c after UNROLL·steps times s_c = s_c·a[i] + b[i], from s_c = b[i] + c
//# include common/index.wgsl
const WORKGROUP: u32 = 64u;
const CHAINS: u32 = 8u;
const UNROLL: u32 = 32u;
// Asks for fused multiply-adds; otherwise the driver decides.
const FUSED: bool = false;

struct Params { len: u32, steps: u32 }
@group(0) @binding(0) var<storage, read> a: array<f32>;        // [len]
@group(0) @binding(1) var<storage, read> b: array<f32>;        // [len]
@group(0) @binding(2) var<storage, read_write> y: array<f32>;  // [len]
@group(1) @binding(0) var<uniform> params: Params;

fn next(s: f32, a: f32, b: f32) -> f32 {
    if FUSED { return fma(s, a, b); }
    return s * a + b;
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32,
        @builtin(num_workgroups) groups: vec3<u32>) {
    let i = linear_id(group, local, groups, WORKGROUP);
    if i >= params.len { return; }
    let factor = a[i];
    let term = b[i];
    var s: array<f32, CHAINS>;
    //# unroll
    for (var c = 0u; c < CHAINS; c++) {
        s[c] = term + f32(c);
    }
    for (var t = 0u; t < params.steps; t++) {
        //# unroll
        for (var j = 0u; j < UNROLL; j++) {
            //# unroll
            for (var c = 0u; c < CHAINS; c++) {
                s[c] = next(s[c], factor, term);
            }
        }
    }
    var sum = 0.0;
    //# unroll
    for (var c = 0u; c < CHAINS; c++) {
        sum += s[c];
    }
    y[i] = sum;
}
