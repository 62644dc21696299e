// y[n,oh,ow,o] = relu?(bias[o] + Σ_{i,j,c} x[n, oh·s + i·d − p, ow·s + j·d − p, c] · w[o,i,j,c] + residual?)
//
// An invocation owns RUN neighbouring pixels of a row and 8·BLOCKS channels: what it loads of x serves
// every tap and channel, what it loads of w serves every pixel.
//# include common/index.wgsl
//# include common/eight.wgsl
//# include common/residual_none.wgsl
const WORKGROUP: u32 = 64u;
const RUN: u32 = 4u;
const BLOCKS: u32 = 1u;
const KH: u32 = 3u;
const KW: u32 = 3u;
const STRIDE_H: u32 = 1u;
const STRIDE_W: u32 = 1u;
const PAD_TOP: i32 = 1i;
const PAD_LEFT: i32 = 1i;
const DILATION_H: u32 = 1u;
const DILATION_W: u32 = 1u;
const RELU: bool = false;
// Loaded pixel k lies at column k / GROUP · STEP + k % GROUP · DILATION_W; tap j of pixel p is p·PIXEL + j·TAP.
const SPAN: u32 = 6u;
const GROUP: u32 = 1u;
const STEP: u32 = 1u;
const PIXEL: u32 = 1u;
const TAP: u32 = 1u;
// Width of x where one run is a whole row (the columns are known then); else 0.
const ROW: u32 = 0u;

const WEIGHT: u32 = 0u;
const BIAS: u32 = 1u;

struct Params {
    h: u32, w: u32, c: u32, group_c: u32, oh: u32, ow: u32, o: u32, group_o: u32,
    runs_per_row: u32, runs: u32, tiles_per_group: u32, tiles: u32, workgroups: u32,
}
@group(0) @binding(0) var<storage, read> x: array<f32>;        // [n, h, w, c]
@group(0) @binding(1) var<storage, read> w: array<f32>;        // [o, kh, kw, c / groups]
@group(0) @binding(2) var<storage, read> bias: array<f32>;     // [o]
@group(0) @binding(3) var<storage, read_write> y: array<f32>;  // [n, oh, ow, o]
@group(1) @binding(0) var<uniform> params: Params;

fn shared_word(which: u32, o: u32, rest: u32) -> u32 {
    let channel = min(o, params.o - 1u);
    if which == BIAS { return bitcast<u32>(bias[channel]); }
    return bitcast<u32>(w[channel * (KH * KW * params.group_c) + rest]);
}

fn run(group: u32, local: u32, lane: u32) {
    if group >= params.workgroups { return; }
    let tile = group % params.tiles;
    let item = group / params.tiles * WORKGROUP + local;
    let at = min(item, params.runs - 1u);
    let ow = select(at % params.runs_per_row * RUN, 0u, ROW != 0u);
    let row = at / params.runs_per_row;
    let oh = row % params.oh;
    let n = row / params.oh;
    let conv_group = tile / params.tiles_per_group;
    let o_first = conv_group * params.group_o + tile % params.tiles_per_group * (8u * BLOCKS);
    let o_end = (conv_group + 1u) * params.group_o;
    let width = select(i32(params.w), i32(ROW), ROW != 0u);

    var acc: array<vec4<f32>, RUN * BLOCKS * 2u>;
    //# unroll
    for (var block = 0u; block < BLOCKS; block++) {
        let start = eight(BIAS, o_first + 8u * block, 0u, lane);
        //# unroll
        for (var p = 0u; p < RUN; p++) {
            acc[(p * BLOCKS + block) * 2u] = bitcast<vec4<f32>>(start.a);
            acc[(p * BLOCKS + block) * 2u + 1u] = bitcast<vec4<f32>>(start.b);
        }
    }
    for (var i = 0u; i < KH; i++) {
        let ih = i32(oh * STRIDE_H + i * DILATION_H) - PAD_TOP;
        let row_inside = ih >= 0 && ih < i32(params.h);
        let x_row = (n * params.h + u32(max(ih, 0))) * u32(width) * params.c
            + conv_group * params.group_c;
        for (var c = 0u; c < params.group_c; c++) {
            var xs = array<f32, SPAN>();
            if row_inside {
                //# unroll
                for (var k = 0u; k < SPAN; k++) {
                    let iw = i32(ow * STRIDE_W + k / GROUP * STEP + k % GROUP * DILATION_W) - PAD_LEFT;
                    let value = x[x_row + u32(clamp(iw, 0, width - 1)) * params.c + c];
                    xs[k] = select(0.0, value, iw >= 0 && iw < width);
                }
            }
            var ws: array<vec4<f32>, KW * BLOCKS * 2u>;
            //# unroll
            for (var j = 0u; j < KW; j++) {
                //# unroll
                for (var block = 0u; block < BLOCKS; block++) {
                    let words = eight(WEIGHT, o_first + 8u * block, (i * KW + j) * params.group_c + c, lane);
                    ws[(j * BLOCKS + block) * 2u] = bitcast<vec4<f32>>(words.a);
                    ws[(j * BLOCKS + block) * 2u + 1u] = bitcast<vec4<f32>>(words.b);
                }
            }
            //# unroll
            for (var p = 0u; p < RUN; p++) {
                //# unroll
                for (var q = 0u; q < BLOCKS * 2u; q++) {
                    //# unroll
                    for (var j = 0u; j < KW; j++) {
                        acc[p * (BLOCKS * 2u) + q] += xs[p * PIXEL + j * TAP] * ws[j * (BLOCKS * 2u) + q];
                    }
                }
            }
        }
    }
    if item >= params.runs { return; }
    //# unroll
    for (var p = 0u; p < RUN; p++) {
        let inside = ow + p < params.ow;
        let y_at = (row * params.ow + ow + p) * params.o;
        //# unroll
        for (var q = 0u; q < 2u * BLOCKS; q++) {
            let v = acc[p * (BLOCKS * 2u) + q];
            //# unroll
            for (var e = 0u; e < 4u; e++) {
                let o = o_first + 4u * q + e;
                if inside && o < o_end {
                    let sum = v[e] + residual_f32(y_at + o);
                    y[y_at + o] = select(sum, max(sum, 0.0), RELU);
                }
            }
        }
    }
}
