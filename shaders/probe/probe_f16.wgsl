// y[i] = Σ_c s_c.x + s_c.y after UNROLL·steps times s_c = s_c·a[i] + b[i], from s_c = b[i] + c
//# include common/index.wgsl
const WORKGROUP: u32 = 64u;
const CHAINS: u32 = 8u;
const UNROLL: u32 = 16u;
// What a step is computed in: f32 on every device, f16 where there is native f16.
alias Factor = f32;

struct Params { len: u32, steps: u32 }
@group(0) @binding(0) var<storage, read> a: array<u32>;        // f16 [len, 2]
@group(0) @binding(1) var<storage, read> b: array<u32>;        // f16 [len, 2]
@group(0) @binding(2) var<storage, read_write> y: array<f32>;  // [len]
@group(1) @binding(0) var<uniform> params: Params;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32,
        @builtin(num_workgroups) groups: vec3<u32>) {
    let i = linear_id(group, local, groups, WORKGROUP);
    if i >= params.len { return; }
    let factor = vec2<Factor>(unpack2x16float(a[i]));
    let term = vec2<Factor>(unpack2x16float(b[i]));
    var s: array<vec2<Factor>, CHAINS>;
    //# unroll
    for (var c = 0u; c < CHAINS; c++) {
        s[c] = term + vec2<Factor>(Factor(c));
    }
    for (var t = 0u; t < params.steps; t++) {
        //# unroll
        for (var j = 0u; j < UNROLL; j++) {
            //# unroll
            for (var c = 0u; c < CHAINS; c++) {
                s[c] = s[c] * factor + term;
            }
        }
    }
    var sum = 0.0;
    //# unroll
    for (var c = 0u; c < CHAINS; c++) {
        let pair = vec2<f32>(s[c]);
        sum += pair.x + pair.y;
    }
    y[i] = sum;
}
