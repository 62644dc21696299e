// y[n,oh,ow,o] = relu?(bias[o] + Σ_{i,j,c} x[n, oh·s + i·d − p, ow·s + j·d − p, c] · w[o,i,j,c]), groups = 1
//# include common/index.wgsl
//# include common/workgroup_f32.wgsl
//# include common/conv_rows.wgsl
//# include common/residual_none.wgsl
//# include common/workgroup_conv.wgsl
//# include common/workgroup_tile.wgsl

struct Params {
    m: u32, n: u32,                                 // n·oh·ow rows, o columns
    height: u32, width: u32, out_height: u32, out_width: u32,
    steps: u32, kernel_w: u32, pixel: u32,          // words of a filter, taps of its line, words of a pixel of x
    stride_h: u32, stride_w: u32, pad_top: u32, pad_left: u32, dilation_h: u32, dilation_w: u32,
}
@group(0) @binding(0) var<storage, read> x: array<u32>;                 // f32 [n, h, w, pixel]
@group(0) @binding(1) var<storage, read> w: array<u32>;                 // f32 [o, kh, kw, pixel]
@group(0) @binding(2) var<storage, read> bias: array<f32>;              // [o]
@group(0) @binding(3) var<storage, read_write> y: array<f32>;           // [n, oh, ow, o]
@group(1) @binding(0) var<uniform> params: Params;

fn outside() -> Word {
    return 0u;
}
