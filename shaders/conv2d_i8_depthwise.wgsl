// acc[p, o] = bias[o] + Σ_ky,kx x[n, iy, ix, o / m]·w[o, ky, kx]           (int32), m = o / c outputs to each channel
//   p = (n, oy, ox), iy = oy·stride + ky·dilation − padding, ix likewise; x_zero_point outside
// y[p, o]   = clamp(requant(acc[p, o]) + zero_point, qmin, qmax)
//
// The products are summed in f32, which is exact: a sum of at most 1024 products of int8 stays below 2^24. The rest is
// int32. A processor multiplies floats faster than 32-bit integers, and so do many GPUs.
//# include common/index.wgsl
//# include common/i8.wgsl
//# include common/requant.wgsl
//# include common/workgroup_put_i8.wgsl
//# include common/depthwise.wgsl
//# include common/residual_none.wgsl
alias Value = vec4<f32>;
alias Sum = vec4<f32>;
alias Sums = vec4<i32>;
struct Place { channels: vec4<u32>, shifts: vec4<u32>, ends: Columns }

struct Params {
    height: u32, width: u32, out_height: u32, out_width: u32,
    x_words: u32, words: u32,                       // of a pixel of x, of y
    runs: u32, strips: u32, steps: u32, items: u32, // a row; strips of steps rows, an image; all
    n: u32, n_words: u32,                           // o; n_words = words
    x_zero_points: u32,                             // four of them
    zero_point: i32, qmin: i32, qmax: i32,
    residual_zero_point: i32, residual_shift: u32,
}
@group(0) @binding(0) var<storage, read> x: array<u32>;                 // int8 [n, h, w, x_words]
@group(0) @binding(1) var<storage, read> w: array<u32>;                 // int8 [o, kh, kw, 1]: one to a word
@group(0) @binding(2) var<storage, read> bias: array<i32>;              // [o]
@group(0) @binding(3) var<storage, read> multiplier: array<vec2<u32>>;  // [o]
@group(0) @binding(4) var<storage, read_write> y: array<u32>;           // [n, oh, ow, n_words]
@group(1) @binding(0) var<uniform> params: Params;

fn place_of(word: u32) -> Place {
    let channels = min(vec4(4u * word) + vec4(0u, 1u, 2u, 3u), vec4(params.n - 1u));
    return Place(channels, 24u - 8u * lanes_of(4u * word, 4u), columns_of(channels));
}

fn w_value(place: Place, tap: u32) -> Value {
    let at = place.channels * (KH * KW) + tap;
    return vec4<f32>(vec4(lane_i8(w[at.x], 0u), lane_i8(w[at.y], 0u), lane_i8(w[at.z], 0u), lane_i8(w[at.w], 0u)));
}

fn start(place: Place) -> Sum {
    return vec4<f32>(0.0);
}

fn x_value(place: Place, at: u32, inside: bool) -> Value {
    let word = select(params.x_zero_points, x[at], inside);
    return vec4<f32>(vec4<i32>(vec4(word) << place.shifts) >> vec4(24u));
}

fn product(a: Value, b: Value) -> Sum {
    return a * b;
}

fn put_word(place: Place, pixel: u32, word: u32, sum: Sum) {
    put(pixel, 4u * word, Sums(sum), place.ends);
}
