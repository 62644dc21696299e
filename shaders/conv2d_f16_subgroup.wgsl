// y[n,oh,ow,o] = relu?(bias[o] + Σ_{i,j,c} x[n, oh·s + i − p, ow·s + j − p, c] · w[o,i,j,c]), groups = 1,
// two f16 to a word along the channels, f32 sums
//# include common/index.wgsl
//# include common/subgroup_f16.wgsl
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
}
@group(0) @binding(0) var<storage, read> x: array<Word>;                // f16 [n, h, w, steps]
@group(0) @binding(1) var<storage, read> w: array<Word>;                // f16 [o, kh, kw, steps]
@group(0) @binding(2) var<storage, read> bias: array<f32>;              // [o]
@group(0) @binding(3) var<storage, read_write> y: array<u32>;           // f16 [n, oh, ow, n_words]
@group(1) @binding(0) var<uniform> params: Params;

fn outside() -> Word {
    return Word(0u);
}
