// y[n,oh,ow,o] = relu?(bias[o] + Σ_{i,j,c} x[n, oh·s + i·d − p, ow·s + j·d − p, c] · w[o,i,j,c]), groups = 1,
// f16 along the channels, f32 sums
enable f16;
enable wgpu_cooperative_matrix;
// Matrices need control flow that is the same in a subgroup: naga cannot tell, and asks by this rule.
diagnostic(off, derivative_uniformity);
//# include common/index.wgsl
//# include common/cooperative_f16.wgsl
//# include common/workgroup_f16.wgsl
//# include common/conv_rows.wgsl
//# include common/residual_none.wgsl
//# include common/workgroup_conv.wgsl
//# include common/cooperative_words.wgsl
//# include common/cooperative_tile.wgsl

struct Params {
    m: u32, n: u32,                                 // n·oh·ow rows, o columns
    height: u32, width: u32, out_height: u32, out_width: u32,
    steps: u32, kernel_w: u32, pixel: u32,          // Words of a filter, taps of its line, Words of a pixel of x
    stride_h: u32, stride_w: u32, pad_top: u32, pad_left: u32, dilation_h: u32, dilation_w: u32,
    n_words: u32,                                   // of a pixel of y
}
@group(0) @binding(0) var<storage, read> x: array<Word>;                // f16 [n, h, w, pixel]
@group(0) @binding(1) var<storage, read> w: array<Word>;                // f16 [o, kh, kw, pixel]
@group(0) @binding(2) var<storage, read> bias: array<f32>;              // [o]
@group(0) @binding(3) var<storage, read_write> y: array<u32>;           // f16 [n, oh, ow, n_words]
@group(1) @binding(0) var<uniform> params: Params;

fn outside() -> Word {
    return Word();
}
