// dw[o, ky, kx, c] = Σ_(n, i, j) dy[n, i, j, o]·x[n, i·s + ky·d − p, j·s + kx·d − p, c]
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
@group(0) @binding(1) var<storage, read> x: array<f32>;         // [n, h, w, c]
@group(0) @binding(2) var<storage, read_write> dw: array<f32>;  // [o, KH, KW, CG]
@group(1) @binding(0) var<uniform> params: Params;

var<workgroup> partial: array<vec4<f32>, WORKGROUP>;

// A workgroup sums four outputs of one (ky, kx, c); each invocation takes every 64th row of pixels.
@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32,
        @builtin(num_workgroups) groups: vec3<u32>) {
    let id = linear_id(group, 0u, groups, 1u);
    let tiles = (params.og + 3u) / 4u;
    let c = id % CG;
    let kx = id / CG % KW;
    let ky = id / (CG * KW) % KH;
    let tile = id / (CG * KW * KH);
    let in_group = tile % tiles * 4u;
    let g = tile / tiles;
    let inside = g * params.og < params.o;
    let first = g * params.og + in_group;
    let count = min(4u, params.og - in_group);
    let o = vec4(first) + min(vec4(0u, 1u, 2u, 3u), vec4(count - 1u));
    var acc = vec4<f32>();
    let rows = select(0u, params.n * params.oh, inside);
    for (var line = local; line < rows; line += WORKGROUP) {
        let row = line % params.oh * STRIDE + ky * DILATION - PADDING;
        if row >= params.h { continue; }
        let x_row = (line / params.oh * params.h + row) * params.w;
        for (var j = 0u; j < params.ow; j++) {
            let col = j * STRIDE + kx * DILATION - PADDING;
            if col >= params.w { continue; }
            let value = x[(x_row + col) * params.c + g * CG + c];
            let at = vec4((line * params.ow + j) * params.o) + o;
            acc += value * vec4(dy[at.x], dy[at.y], dy[at.z], dy[at.w]);
        }
    }
    partial[local] = acc;
    workgroupBarrier();
    for (var half = WORKGROUP / 2u; half > 0u; half /= 2u) {
        if local < half { partial[local] += partial[local + half]; }
        workgroupBarrier();
    }
    if local == 0u && inside {
        for (var t = 0u; t < count; t++) {
            dw[(((first + t) * KH + ky) * KW + kx) * CG + c] = partial[0][t];
        }
    }
}
