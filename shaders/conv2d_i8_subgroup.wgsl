// acc[p, o] = bias[o] + Σ_ky,kx,c x[n, iy, ix, c]·w[o, ky, kx, c]          (int32), groups = 1
//   p = (n, oy, ox), iy = oy·stride + ky − padding, ix likewise; x_zero_point outside
// y[p, o]   = clamp(requant(acc[p, o]) + zero_point, qmin, qmax)
//# include common/index.wgsl
//# include common/i8.wgsl
//# include common/requant.wgsl
//# include common/subgroup_i8.wgsl
//# include common/subgroup_put_i8.wgsl
//# include common/subgroup_conv.wgsl
//# include common/residual_none.wgsl
//# include common/subgroup_tile.wgsl

struct Params {
    m: u32, n: u32,                                 // n·oh·ow rows, o columns
    tiles: u32, groups: u32, steps: u32,            // tiles of rows; groups of taps; Words of a pixel of x
    height: u32, width: u32, out_height: u32, out_width: u32,
    lines: u32, runs: u32,                          // n·oh lines of y, of so many runs each
    groups_x: u32,                                  // groups of a line of the filter
    pixel_step: u32,                                // pixels of x from one of a SPAN to the next
    stride_h: u32, stride_w: u32, pad_top: u32, pad_left: u32, dilation_h: u32, dilation_w: u32,
    n_words: u32,                                   // of a pixel of y
    x_zero_points: u32,                             // four of them
    zero_point: i32, qmin: i32, qmax: i32,
    residual_zero_point: i32, residual_shift: u32,
}
@group(0) @binding(0) var<storage, read> x: array<Word>;                // int8 [n, h, w, steps]
@group(0) @binding(1) var<storage, read> w: array<Word>;                // int8 [o, kh, kw, steps]
@group(0) @binding(2) var<storage, read> bias: array<i32>;              // [o]
@group(0) @binding(3) var<storage, read> multiplier: array<vec2<u32>>;  // [o]
@group(0) @binding(4) var<storage, read_write> y: array<u32>;           // [n, oh, ow, n_words]
@group(1) @binding(0) var<uniform> params: Params;

fn outside() -> Word {
    let z = Word(params.x_zero_points);
    return z | (z << (32u * (HALVES - 1u)));
}
