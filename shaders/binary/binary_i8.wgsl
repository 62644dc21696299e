// da = a[·] − za, db = b[·] − zb; y[i] = clamp(requant + zy, qmin, qmax), where requant is
// sum, float rule: round((da·sa + db·sb)·inv_sy)
// sum, fixed rule: (da·ma + db·mb + 2^(shift−1)) >> shift
// product: that of da·db by common/requant.wgsl, with the words [ma, shift]
//# include common/index.wgsl
//# include common/broadcast.wgsl
//# include common/i8.wgsl
//# include common/requant.wgsl
const WORKGROUP: u32 = 64u;
const PRODUCT: bool = false;

struct Params {
    axes: array<vec4<u32>, 6>, rank: u32,
    words: u32, row_words: u32, row: u32,  // words of y in all; words and elements of a row
    splat_a: u32, splat_b: u32,            // 1: the operand's row is one element
    za: i32, zb: i32, zy: i32,
    sa: f32, sb: f32, inv_sy: f32,
    ma: i32, mb: i32, shift: u32,
    qmin: i32, qmax: i32,
}
@group(0) @binding(0) var<storage, read> a: array<u32>;        // i8 x 4 [rows of a, its row_words]
@group(0) @binding(1) var<storage, read> b: array<u32>;        // i8 x 4 [rows of b, its row_words]
@group(0) @binding(2) var<storage, read_write> y: array<u32>;  // i8 x 4 [rows, row_words]
@group(1) @binding(0) var<uniform> params: Params;

fn product(acc: i32) -> i32 {
    let words = vec2<u32>(bitcast<u32>(params.ma), params.shift);
    return out_i8(acc, words, params.zy, params.qmin, params.qmax);
}

fn sum(da: vec4<i32>, db: vec4<i32>) -> vec4<i32> {
    let low = vec4(params.qmin - params.zy);
    let high = vec4(params.qmax - params.zy);
    if FIXED {
        let total = da * params.ma + db * params.mb + (1i << (params.shift - 1u));
        return clamp(total >> vec4(params.shift), low, high) + params.zy;
    }
    let total = vec4<f32>(da) * params.sa + vec4<f32>(db) * params.sb;
    return vec4<i32>(clamp(round(total * params.inv_sy), vec4<f32>(low), vec4<f32>(high))) + params.zy;
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32,
        @builtin(num_workgroups) groups: vec3<u32>) {
    let i = linear_id(group, local, groups, WORKGROUP);
    if i >= params.words { return; }
    let at = operands_of(i);
    var da = lanes_i8(a[at.x]) - params.za;
    var db = lanes_i8(b[at.y]) - params.zb;
    da = select(da, da.xxxx, params.splat_a == 1u);
    db = select(db, db.xxxx, params.splat_b == 1u);
    var q: vec4<i32>;
    if PRODUCT {
        let acc = da * db;
        q = vec4(product(acc.x), product(acc.y), product(acc.z), product(acc.w));
    } else {
        q = sum(da, db);
    }
    y[i] = keep_lanes(pack_i8(q), params.row - i % params.row_words * 4u);
}
