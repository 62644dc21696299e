// y[n, oh, ow, c] = clamp(requant(Σ (x[n, h, w, c] − x_zero_point)) + zero_point, qmin, qmax) over the taps inside the image
//# include common/index.wgsl
//# include common/window.wgsl
//# include common/i8.wgsl
//# include common/requant.wgsl
//# part mapped common/mapped_none.wgsl
const WORKGROUP: u32 = 64u;
const COUNTS: u32 = 1u;  // different numbers of taps that count

struct Params {
    multipliers: array<vec4<u32>, COUNTS>,  // count, the two words of its multiplier, nothing
    words: u32, channels: u32, x_zero_point: i32, zero_point: i32, qmin: i32, qmax: i32,
}
@group(0) @binding(0) var<storage, read> x: array<u32>;  // int8 x 4 [n, IN_H, IN_W, WORDS]
@group(0) @binding(1) var<storage, read_write> y: array<u32>;  // int8 x 4 [n, OUT_H, OUT_W, WORDS], words in all
@group(1) @binding(0) var<uniform> params: Params;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32,
        @builtin(num_workgroups) groups: vec3<u32>) {
    let i = linear_id(group, local, groups, WORKGROUP);
    if i >= params.words { return; }
    let window = vec2((i / (WORDS * OUT_W)) % OUT_H, (i / WORDS) % OUT_W);
    let image = i / (WORDS * OUT_W * OUT_H) * IN_H;
    let tap = taps(window);
    var sum = vec4<i32>();
    var inside = 0;
    for (var kh = tap.x; kh < tap.z; kh++) {
        let h = window.x * STRIDE_H + kh * DILATION_H - TOP;
        if CUT && h >= IN_H { continue; }
        for (var kw = tap.y; kw < tap.w; kw++) {
            let w = window.y * STRIDE_W + kw * DILATION_W - LEFT;
            if CUT && w >= IN_W { continue; }
            sum += lanes_i8(x[((image + h) * IN_W + w) * WORDS + i % WORDS]);
            inside++;
        }
    }
    sum -= vec4(inside * params.x_zero_point);
    var at = 0u;
    if COUNTS > 1u {
        let count = counted(window);
        while at < COUNTS - 1u && params.multipliers[at].x != count { at++; }
    }
    let multiplier = params.multipliers[at].yz;
    let q = vec4(out(sum.x, multiplier), out(sum.y, multiplier), out(sum.z, multiplier), out(sum.w, multiplier));
    y[i] = keep_lanes(pack_i8(q), params.channels - 4u * (i % WORDS));
}

fn out(acc: i32, multiplier: vec2<u32>) -> i32 {
    return mapped(out_i8(acc, multiplier, params.zero_point, params.qmin, params.qmax));
}
