// dx[n, r, q, c] = Σ_(ky, kx, o) dy[n, i, j, o]·w[o, ky, kx, c]  where r = i·s + ky·d − p, q = j·s + kx·d − p
//# include common/index.wgsl
const WORKGROUP: u32 = 64u;
const KH: u32 = 3u;        // kernel rows
const KW: u32 = 3u;        // kernel columns
const CG: u32 = 1u;        // input channels of a group
const STRIDE: u32 = 1u;
const PADDING: u32 = 1u;
const DILATION: u32 = 1u;

struct Params { n: u32, h: u32, w: u32, c: u32, oh: u32, ow: u32, o: u32, og: u32 }  // og: outputs of a group
@group(0) @binding(0) var<storage, read> dy: array<f32>;        // [n, oh, ow, o]
@group(0) @binding(1) var<storage, read> w: array<f32>;         // [o, KH, KW, CG]
@group(0) @binding(2) var<storage, read_write> dx: array<f32>;  // [n, h, w, c]
@group(1) @binding(0) var<uniform> params: Params;

// Two input channels of one group at one pixel; neighbouring invocations take neighbouring pixels.
@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32,
        @builtin(num_workgroups) groups: vec3<u32>) {
    let id = linear_id(group, local, groups, WORKGROUP);
    let pixels = params.n * params.h * params.w;
    let pixel = id % pixels;
    let tiles = (CG + 1u) / 2u;
    let tile = id / pixels;
    let in_group = tile % tiles * 2u;
    let g = tile / tiles;
    let first = g * CG + in_group;
    if first >= params.c { return; }
    let second = min(in_group + 1u, CG - 1u);
    let q = pixel % params.w;
    let r = pixel / params.w % params.h;
    let n = pixel / (params.w * params.h);
    var acc = vec2<f32>();
    for (var ky = 0u; ky < KH; ky++) {
        let row = r + PADDING - ky * DILATION;
        let i = row / STRIDE;
        if row % STRIDE != 0u || i >= params.oh { continue; }
        for (var kx = 0u; kx < KW; kx++) {
            let col = q + PADDING - kx * DILATION;
            let j = col / STRIDE;
            if col % STRIDE != 0u || j >= params.ow { continue; }
            let dy_at = ((n * params.oh + i) * params.ow + j) * params.o + g * params.og;
            var w_at = (g * params.og * KH * KW + ky * KW + kx) * CG;
            for (var o = 0u; o < params.og; o++) {
                acc += dy[dy_at + o] * vec2(w[w_at + in_group], w[w_at + second]);
                w_at += KH * KW * CG;
            }
        }
    }
    let at = pixel * params.c + first;
    dx[at] = acc.x;
    if in_group + 1u < CG { dx[at + 1u] = acc.y; }
}
