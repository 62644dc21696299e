// da = a[·] − za, db = b[·] − zb; y[i] = clamp(requant + zy, qmin, qmax), where requant is
// sum, float rule: round((da·sa + db·sb)·inv_sy), or − (sb is negative), min, max in place of +
// sum, fixed rule: (da·ma + db·mb + 2^(shift−1)) >> shift
// product: that of da·db by common/requant.wgsl, with the words [ma, shift]; with KEEPS that of da with [kept_m,
//   kept_shift] where da ≥ 0
// quotient, float rule: round(da / db·bitcast<f32>(ma)); fixed rule: (da·ma / db + 2^(shift−1)) >> shift
//# include common/index.wgsl
//# include common/broadcast.wgsl
//# include common/i8.wgsl
//# include common/requant.wgsl
//# part mapped common/mapped_none.wgsl
const WORKGROUP: u32 = 64u;
const PRODUCT: bool = false;   // in place of the sum
const QUOTIENT: bool = false;
const SMALLER: bool = false;   // of two terms of the sum, in place of both
const LARGER: bool = false;
const KEEPS: bool = false;
const BEYOND: i32 = 512;       // lies beyond every range

struct Params {
    axes: array<vec4<u32>, 6>, rank: u32,
    words: u32, row_words: u32, row: u32,  // words of y in all; words and elements of a row
    splat_a: u32, splat_b: u32,            // 1: the operand's row is one element
    za: i32, zb: i32, zy: i32,
    sa: f32, sb: f32, inv_sy: f32,
    ma: i32, mb: i32, shift: u32, kept_m: u32, kept_shift: u32,
    qmin: i32, qmax: i32,
}
@group(0) @binding(0) var<storage, read> a: array<u32>;        // i8 x 4 [rows of a, its row_words]
@group(0) @binding(1) var<storage, read> b: array<u32>;        // i8 x 4 [rows of b, its row_words]
@group(0) @binding(2) var<storage, read_write> y: array<u32>;  // i8 x 4 [rows, row_words]
@group(1) @binding(0) var<uniform> params: Params;

fn product(da: i32, db: i32) -> i32 {
    let kept = KEEPS && da >= 0;
    let words = select(vec2(bitcast<u32>(params.ma), params.shift), vec2(params.kept_m, params.kept_shift), kept);
    return out_i8(select(da * db, da, kept), words, params.zy, params.qmin, params.qmax);
}

fn joined(a: vec4<f32>, b: vec4<f32>) -> vec4<f32> {
    if SMALLER { return min(a, b); }
    if LARGER { return max(a, b); }
    return a + b;
}

fn joined_fixed(a: vec4<i32>, b: vec4<i32>) -> vec4<i32> {
    if SMALLER { return min(a, b); }
    if LARGER { return max(a, b); }
    return a + b;
}

fn sum(da: vec4<i32>, db: vec4<i32>) -> vec4<i32> {
    let low = vec4(params.qmin - params.zy);
    let high = vec4(params.qmax - params.zy);
    if FIXED {
        let total = joined_fixed(da * params.ma, db * params.mb) + (1i << (params.shift - 1u));
        return clamp(total >> vec4(params.shift), low, high) + params.zy;
    }
    let total = joined(vec4<f32>(da) * params.sa, vec4<f32>(db) * params.sb);
    return vec4<i32>(clamp(round(total * params.inv_sy), vec4<f32>(low), vec4<f32>(high))) + params.zy;
}

// By 0: beyond the range, on the side of da.
fn quotient(da: vec4<i32>, db: vec4<i32>) -> vec4<i32> {
    let low = vec4(params.qmin - params.zy);
    let high = vec4(params.qmax - params.zy);
    let by_zero = db == vec4(0);
    let divisor = select(db, vec4(1), by_zero);
    var q: vec4<i32>;
    if FIXED {
        q = (da * params.ma / divisor + (1i << (params.shift - 1u))) >> vec4(params.shift);
    } else {
        let t = round(vec4<f32>(da) / vec4<f32>(divisor) * bitcast<f32>(params.ma));
        q = vec4<i32>(clamp(t, vec4<f32>(low), vec4<f32>(high)));
    }
    return clamp(select(q, sign(da) * BEYOND, by_zero), low, high) + params.zy;
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
        q = vec4(product(da.x, db.x), product(da.y, db.y), product(da.z, db.z), product(da.w, db.w));
    } else if QUOTIENT {
        q = quotient(da, db);
    } else {
        q = sum(da, db);
    }
    q = vec4(mapped(q.x), mapped(q.y), mapped(q.z), mapped(q.w));
    y[i] = keep_lanes(pack_i8(q), params.row - i % params.row_words * 4u);
}
