// float rule: y[i] = clamp(round(((a[i] − za)·sa + (b[i] − zb)·sb)·inv_sy) + zy, qmin, qmax)
// fixed rule: y[i] = clamp((((a[i] − za)·ma + (b[i] − zb)·mb + 2^(shift−1)) >> shift) + zy, qmin, qmax)
//# include common/index.wgsl
//# include common/i8.wgsl
const WORKGROUP: u32 = 64u;
// false: the float rule; true: the fixed rule.
const FIXED: bool = false;

struct Params {
    words: u32, row_len: u32, row_words: u32,  // words of y in all; elements and words of a row
    za: i32, zb: i32, zy: i32,
    sa: f32, sb: f32, inv_sy: f32,
    ma: i32, mb: i32, shift: u32,
    qmin: i32, qmax: i32,
}
@group(0) @binding(0) var<storage, read> a: array<u32>;        // [rows, row_words]
@group(0) @binding(1) var<storage, read> b: array<u32>;        // [rows, row_words]
@group(0) @binding(2) var<storage, read_write> y: array<u32>;  // [rows, row_words]
@group(1) @binding(0) var<uniform> params: Params;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32,
        @builtin(num_workgroups) groups: vec3<u32>) {
    let i = linear_id(group, local, groups, WORKGROUP);
    if i >= params.words { return; }
    let da = lanes_i8(a[i]) - params.za;
    let db = lanes_i8(b[i]) - params.zb;
    let low = vec4(params.qmin - params.zy);
    let high = vec4(params.qmax - params.zy);
    var q: vec4<i32>;
    if FIXED {
        q = (da * params.ma + db * params.mb + (1i << (params.shift - 1u))) >> vec4(params.shift);
        q = clamp(q, low, high);
    } else {
        let sum = vec4<f32>(da) * params.sa + vec4<f32>(db) * params.sb;
        q = vec4<i32>(clamp(round(sum * params.inv_sy), vec4<f32>(low), vec4<f32>(high)));
    }
    y[i] = keep_lanes(pack_i8(q + params.zy), params.row_len - i % params.row_words * 4u);
}
