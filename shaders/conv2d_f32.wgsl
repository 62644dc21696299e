// y[n, i, j, o] = relu?(bias[o] + Σ_(ky, kx, c) x[n, i·s + ky·d − p, j·s + kx·d − p, c]·w[o, ky, kx, c])
//# include common/index.wgsl
const WORKGROUP: u32 = 64u;
const KH: u32 = 3u;        // kernel rows
const KW: u32 = 3u;        // kernel columns
const CG: u32 = 1u;        // input channels of a group
const STRIDE: u32 = 1u;
const PADDING: u32 = 1u;
const DILATION: u32 = 1u;
const RELU: bool = false;  // fuse max(0, ·)

struct Params { n: u32, h: u32, w: u32, c: u32, oh: u32, ow: u32, o: u32, og: u32 }  // og: outputs of a group
@group(0) @binding(0) var<storage, read> x: array<f32>;         // [n, h, w, c]
@group(0) @binding(1) var<storage, read> w: array<f32>;         // [o, KH, KW, CG]
@group(0) @binding(2) var<storage, read> bias: array<f32>;      // [o]
@group(0) @binding(3) var<storage, read_write> y: array<f32>;   // [n, oh, ow, o]
@group(1) @binding(0) var<uniform> params: Params;

// Four output channels of one group at one pixel; neighbouring invocations take neighbouring pixels.
@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32,
        @builtin(num_workgroups) groups: vec3<u32>) {
    let id = linear_id(group, local, groups, WORKGROUP);
    let pixels = params.n * params.oh * params.ow;
    let pixel = id % pixels;
    let tiles = (params.og + 3u) / 4u;
    let tile = id / pixels;
    let in_group = tile % tiles * 4u;
    let g = tile / tiles;
    let first = g * params.og + in_group;
    if first >= params.o || g * params.og >= params.o { return; }
    let count = min(4u, params.og - in_group);
    let o = vec4(first) + min(vec4(0u, 1u, 2u, 3u), vec4(count - 1u));
    let j = pixel % params.ow;
    let i = pixel / params.ow % params.oh;
    let n = pixel / (params.ow * params.oh);
    var acc = vec4(bias[o.x], bias[o.y], bias[o.z], bias[o.w]);
    for (var ky = 0u; ky < KH; ky++) {
        // Above the image the subtraction wraps to a large row.
        let row = i * STRIDE + ky * DILATION - PADDING;
        if row >= params.h { continue; }
        for (var kx = 0u; kx < KW; kx++) {
            let col = j * STRIDE + kx * DILATION - PADDING;
            if col >= params.w { continue; }
            let x_at = ((n * params.h + row) * params.w + col) * params.c + g * CG;
            let w_at = o * (KH * KW * CG) + (ky * KW + kx) * CG;
            for (var c = 0u; c < CG; c++) {
                acc += x[x_at + c] * vec4(w[w_at.x + c], w[w_at.y + c], w[w_at.z + c], w[w_at.w + c]);
            }
        }
    }
    acc = select(acc, max(vec4(0.0), acc), RELU);
    let y_at = pixel * params.o + first;
    for (var t = 0u; t < count; t++) {
        y[y_at + t] = acc[t];
    }
}
