// y[n, c] = clamp(requant(Σ_p (x[n, p, c] − x_zero_point)) + zero_point, qmin, qmax), p over the pixels
//# include common/index.wgsl
//# include common/i8.wgsl
//# include common/requant.wgsl
const WORKGROUP: u32 = 64u;

// words of y in all; pixels of an image; channels; four channels to a word; multiplier of the rule
struct Params {
    words: u32, pixels: u32, channels: u32, c_words: u32,
    x_zero_point: i32, multiplier: u32, shift: u32,
    zero_point: i32, qmin: i32, qmax: i32,
}
@group(0) @binding(0) var<storage, read> x: array<u32>;        // [n, pixels, c_words]
@group(0) @binding(1) var<storage, read_write> y: array<u32>;  // [n, c_words]
@group(1) @binding(0) var<uniform> params: Params;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32,
        @builtin(num_workgroups) groups: vec3<u32>) {
    let i = linear_id(group, local, groups, WORKGROUP);
    if i >= params.words { return; }
    let word = i % params.c_words;
    let first = i / params.c_words * params.pixels * params.c_words + word;
    var acc = vec4(-i32(params.pixels) * params.x_zero_point);
    for (var p = 0u; p < params.pixels; p++) {
        acc += lanes_i8(x[first + p * params.c_words]);
    }
    let q = vec4(out(acc.x), out(acc.y), out(acc.z), out(acc.w));
    y[i] = keep_lanes(pack_i8(q), params.channels - 4u * word);
}

fn out(acc: i32) -> i32 {
    return out_i8(acc, vec2(params.multiplier, params.shift), params.zero_point, params.qmin, params.qmax);
}
