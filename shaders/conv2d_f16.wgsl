// y[n,oh,ow,o] = relu?(bias[o] + Σ_{i,j,c} x[n, oh·s + i·d − p, ow·s + j·d − p, c] · w[o,i,j,c]),
// two f16 to a word along the channels, f32 sums.
//
// Tiled as conv2d_f32: an invocation owns RUN neighbouring pixels of a row and 8·BLOCKS channels.
// Groups with an odd number of output channels share words of y: there (SPLIT) an invocation owns one word.
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
// Every group of x starts on a word.
const ALIGNED: bool = true;
const SPLIT: bool = false;
// Channels of a group that its words hold: one, if it is all.
const LIVE: u32 = 2u;
// What a product is computed in: f32 on every device, f16 where there is native f16.
alias Factor = f32;

const WEIGHT: u32 = 0u;
const BIAS: u32 = 1u;

struct Params {
    h: u32, w: u32, c: u32, group_c: u32, oh: u32, ow: u32, o: u32, group_o: u32,
    runs_per_row: u32, runs: u32, tiles_per_group: u32, tiles: u32, workgroups: u32,
}
@group(0) @binding(0) var<storage, read> x: array<u32>;        // f16 [n, h, w, c]
@group(0) @binding(1) var<storage, read> w: array<u32>;        // f16 [o, kh, kw, c / groups]
@group(0) @binding(2) var<storage, read> bias: array<f32>;     // [o]
@group(0) @binding(3) var<storage, read_write> y: array<u32>;  // f16 [n, oh, ow, o]
@group(1) @binding(0) var<uniform> params: Params;

fn half_words(channels: u32) -> u32 {
    return (channels + 1u) / 2u;
}

fn shared_word(which: u32, o: u32, rest: u32) -> u32 {
    let channel = min(o, params.o - 1u);
    if which == BIAS { return bitcast<u32>(bias[channel]); }
    return w[channel * (KH * KW * half_words(params.group_c)) + rest];
}

// Channels first + 2·pair and the one after it, of the pixel whose words start at `pixel`; channels from
// `end` on are 0.
fn x_pair(pixel: u32, first: u32, pair: u32, end: u32) -> u32 {
    let channel = first + 2u * pair;
    if ALIGNED && !SPLIT { return x[pixel + channel / 2u]; }
    var word = x[pixel + channel / 2u] >> (16u * (channel & 1u));
    if channel + 1u >= end { return word & 0xffffu; }
    if (channel & 1u) == 1u { word = (word & 0xffffu) | (x[pixel + channel / 2u + 1u] << 16u); }
    return word;
}

fn multiply(left: u32, right: vec4<u32>) -> vec4<f32> {
    if LIVE == 1u {
        let first = vec4<Factor>(vec4<f32>(unpack2x16float(right.x).x, unpack2x16float(right.y).x,
                                           unpack2x16float(right.z).x, unpack2x16float(right.w).x));
        return vec4<f32>(Factor(unpack2x16float(left).x) * first);
    }
    let l = vec2<Factor>(unpack2x16float(left));
    let p0 = vec2<f32>(l * vec2<Factor>(unpack2x16float(right.x)));
    let p1 = vec2<f32>(l * vec2<Factor>(unpack2x16float(right.y)));
    let p2 = vec2<f32>(l * vec2<Factor>(unpack2x16float(right.z)));
    let p3 = vec2<f32>(l * vec2<Factor>(unpack2x16float(right.w)));
    return vec4<f32>(p0.x + p0.y, p1.x + p1.y, p2.x + p2.y, p3.x + p3.y);
}

fn put(at: u32, sums: vec2<f32>) {
    let v = sums + residual_f16(at);
    y[at] = pack2x16float(select(v, max(v, vec2<f32>(0.0)), vec2<bool>(RELU)));
}

fn one_channel(n: u32, oh: u32, ow: u32, o: u32) -> f32 {
    let pairs = half_words(params.group_c);
    let first = o / params.group_o * params.group_c;
    var sum = bias[o];
    for (var i = 0u; i < KH; i++) {
        let ih = i32(oh * STRIDE_H + i * DILATION_H) - PAD_TOP;
        for (var j = 0u; j < KW; j++) {
            let iw = i32(ow * STRIDE_W + j * DILATION_W) - PAD_LEFT;
            if ih < 0 || iw < 0 || ih >= i32(params.h) || iw >= i32(params.w) { continue; }
            let pixel = ((n * params.h + u32(ih)) * params.w + u32(iw)) * half_words(params.c);
            for (var c = 0u; c < pairs; c++) {
                let word = w[((o * KH + i) * KW + j) * pairs + c];
                sum += multiply(x_pair(pixel, first, c, first + params.group_c), vec4<u32>(word)).x;
            }
        }
    }
    return sum;
}

fn one_word(item: u32) {
    let words = half_words(params.o);
    if item >= params.runs * words { return; }
    let o = item % words * 2u;
    let pixel = item / words;
    let ow = pixel % params.ow;
    let oh = pixel / params.ow % params.oh;
    let n = pixel / params.ow / params.oh;
    var v = vec2<f32>(one_channel(n, oh, ow, o), 0.0);
    if o + 1u < params.o { v.y = one_channel(n, oh, ow, o + 1u); }
    put(item, v);
}

fn run(group: u32, local: u32, lane: u32) {
    if SPLIT {
        one_word(group * WORKGROUP + local);
        return;
    }
    if group >= params.workgroups { return; }
    let tile = group % params.tiles;
    let item = group / params.tiles * WORKGROUP + local;
    let at = min(item, params.runs - 1u);
    let ow = select(at % params.runs_per_row * RUN, 0u, ROW != 0u);
    let row = at / params.runs_per_row;
    let oh = row % params.oh;
    let n = row / params.oh;
    let conv_group = tile / params.tiles_per_group;
    let c_first = conv_group * params.group_c;
    let o_first = conv_group * params.group_o + tile % params.tiles_per_group * (8u * BLOCKS);
    let o_end = (conv_group + 1u) * params.group_o;
    let width = select(i32(params.w), i32(ROW), ROW != 0u);
    let pairs = half_words(params.group_c);

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
        let x_row = (n * params.h + u32(max(ih, 0))) * u32(width) * half_words(params.c);
        for (var c = 0u; c < pairs; c++) {
            var xs = array<u32, SPAN>();
            if row_inside {
                //# unroll
                for (var k = 0u; k < SPAN; k++) {
                    let iw = i32(ow * STRIDE_W + k / GROUP * STEP + k % GROUP * DILATION_W) - PAD_LEFT;
                    let pixel = x_row + u32(clamp(iw, 0, width - 1)) * half_words(params.c);
                    let word = x_pair(pixel, c_first, c, c_first + params.group_c);
                    xs[k] = select(0u, word, iw >= 0 && iw < width);
                }
            }
            var ws: array<vec4<u32>, KW * BLOCKS * 2u>;
            //# unroll
            for (var j = 0u; j < KW; j++) {
                //# unroll
                for (var block = 0u; block < BLOCKS; block++) {
                    let words = eight(WEIGHT, o_first + 8u * block, (i * KW + j) * pairs + c, lane);
                    ws[(j * BLOCKS + block) * 2u] = words.a;
                    ws[(j * BLOCKS + block) * 2u + 1u] = words.b;
                }
            }
            //# unroll
            for (var p = 0u; p < RUN; p++) {
                //# unroll
                for (var q = 0u; q < BLOCKS * 2u; q++) {
                    //# unroll
                    for (var j = 0u; j < KW; j++) {
                        acc[p * (BLOCKS * 2u) + q] += multiply(xs[p * PIXEL + j * TAP], ws[j * (BLOCKS * 2u) + q]);
                    }
                }
            }
        }
    }
    if item >= params.runs { return; }
    //# unroll
    for (var p = 0u; p < RUN; p++) {
        let inside = ow + p < params.ow;
        let y_at = (row * params.ow + ow + p) * half_words(params.o);
        //# unroll
        for (var q = 0u; q < 2u * BLOCKS; q++) {
            let o = o_first + 4u * q;
            let v = select(vec4<f32>(0.0), acc[p * (BLOCKS * 2u) + q],
                           vec4<u32>(o) + vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(o_end));
            if inside && o < o_end { put(y_at + o / 2u, v.xy); }
            if inside && o + 2u < o_end { put(y_at + o / 2u + 1u, v.zw); }
        }
    }
}
