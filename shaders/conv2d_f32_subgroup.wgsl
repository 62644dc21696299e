// y[n,oh,ow,o] = relu?(bias[o] + Σ_{i,j,c} x[n, oh·s + i − p, ow·s + j − p, c] · w[o,i,j,c]), groups = 1
//# include common/index.wgsl
//# include common/subgroup_f32.wgsl
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
}
@group(0) @binding(0) var<storage, read> x: array<Word>;                // f32 [n, h, w, steps]
@group(0) @binding(1) var<storage, read> w: array<Word>;                // f32 [o, kh, kw, steps]
@group(0) @binding(2) var<storage, read> bias: array<f32>;              // [o]
@group(0) @binding(3) var<storage, read_write> y: array<f32>;           // [n, oh, ow, o]
@group(1) @binding(0) var<uniform> params: Params;

fn outside() -> Word {
    return Word(0u);
}
