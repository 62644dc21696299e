// y[i] = Σ_c s_c after UNROLL·steps times s_c = s_c + dot(s_c as four int8, x[i]), from s_c = x[i] + c   (int32, wrapping)
//# include common/index.wgsl
const WORKGROUP: u32 = 64u;
const CHAINS: u32 = 8u;
const UNROLL: u32 = 16u;

struct Params { len: u32, steps: u32 }
@group(0) @binding(0) var<storage, read> x: array<u32>;        // int8 [len, 4]
@group(0) @binding(1) var<storage, read_write> y: array<i32>;  // [len]
@group(1) @binding(0) var<uniform> params: Params;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32,
        @builtin(num_workgroups) groups: vec3<u32>) {
    let i = linear_id(group, local, groups, WORKGROUP);
    if i >= params.len { return; }
    let word = x[i];
    var s: array<i32, CHAINS>;
    //# unroll
    for (var c = 0u; c < CHAINS; c++) {
        s[c] = bitcast<i32>(word + c);
    }
    for (var t = 0u; t < params.steps; t++) {
        //# unroll
        for (var j = 0u; j < UNROLL; j++) {
            //# unroll
            for (var c = 0u; c < CHAINS; c++) {
                s[c] += dot4I8Packed(bitcast<u32>(s[c]), word);
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
