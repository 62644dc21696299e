// dw[o,i,j,c] = Σ_{n,oh,ow} dy[n,oh,ow,o] · x[n, oh·s + i·d − p, ow·s + j·d − p, c]
//
// A workgroup owns 8 output channels (one to a lane), TAPS_H rows of taps and CHANNELS input channels. Its
// octets of lanes share the sum: each walks down column strips of RUN pixels, keeping the rows of x that the
// next row of dy needs again. At the end the octets' sums are added in order, so the result is reproducible.
//# include common/index.wgsl
//# include common/eight.wgsl
const WORKGROUP: u32 = 64u;
const RUN: u32 = 4u;
const CHANNELS: u32 = 1u;
const TAPS_H: u32 = 3u;
const KH: u32 = 3u;
const KW: u32 = 3u;
const STRIDE: u32 = 1u;
const PADDING: i32 = 1i;
const DILATION: u32 = 1u;
// Rows of x that one step keeps and loads, and the steps that fill the kept ones at the top of a strip.
const KEPT: u32 = 2u;
const LOADED: u32 = 1u;
const WARM: u32 = 2u;
// Loads of eight words to a row; its pixels lie STEP apart; tap j of pixel p is pixel p·PIXEL + j·TAP.
const EIGHTS: u32 = 1u;
const STEP: u32 = 1u;
const PIXEL: u32 = 1u;
const TAP: u32 = 1u;

struct Params {
    h: u32, w: u32, c: u32, group_c: u32, oh: u32, ow: u32, o: u32, group_o: u32,
    strips_per_image: u32, strips: u32, o_tiles: u32, c_tiles: u32, workgroups: u32,
}
@group(0) @binding(0) var<storage, read> dy: array<f32>;        // [n, oh, ow, o]
@group(0) @binding(1) var<storage, read> x: array<f32>;         // [n, h, w, c]
@group(0) @binding(2) var<storage, read_write> dw: array<f32>;  // [o, kh, kw, c / groups]
@group(1) @binding(0) var<uniform> params: Params;

var<workgroup> partial: array<f32, WORKGROUP * CHANNELS>;
// The row of x that is being loaded: its start, its first column, whether it is inside the image, and the
// channels.
var<private> x_row: u32;
var<private> x_column: i32;
var<private> x_inside: bool;
var<private> group_first: u32;
var<private> c_first: u32;

// Word `slot` of the row: pixel slot / CHANNELS, channel slot % CHANNELS.
fn shared_word(which: u32, slot: u32, rest: u32) -> u32 {
    let column = x_column + i32(slot / CHANNELS * STEP);
    let c = group_first + min(c_first + slot % CHANNELS, params.group_c - 1u);
    let inside = x_inside && column >= 0 && column < i32(params.w);
    let value = x[x_row + u32(clamp(column, 0, i32(params.w) - 1)) * params.c + c];
    return bitcast<u32>(select(0.0, value, inside));
}

fn run(group: u32, local: u32, lane: u32) {
    let tile = min(group, params.workgroups - 1u);
    c_first = tile % params.c_tiles * CHANNELS;
    let i_first = tile / params.c_tiles % ((KH + TAPS_H - 1u) / TAPS_H) * TAPS_H;
    let o_tile = tile / params.c_tiles / ((KH + TAPS_H - 1u) / TAPS_H);
    let conv_group = o_tile / params.o_tiles;
    group_first = conv_group * params.group_c;
    let o_end = (conv_group + 1u) * params.group_o;
    let o_first = conv_group * params.group_o + o_tile % params.o_tiles * 8u;
    let o = o_first + local % 8u;

    var acc: array<f32, TAPS_H * KW * CHANNELS>;
    var xs: array<f32, TAPS_H * EIGHTS * 8u>;
    for (var strip = local / 8u; strip < params.strips; strip += WORKGROUP / 8u) {
        let n = strip / params.strips_per_image;
        let ow = strip % params.strips_per_image * RUN;
        x_column = i32(ow * STRIDE) - PADDING;
        for (var step = 0u; step < params.oh + WARM; step++) {
            let oh = i32(step) - i32(WARM);
            //# unroll
            for (var k = 0u; k < KEPT * EIGHTS * 8u; k++) {
                xs[k] = xs[k + STRIDE * EIGHTS * 8u];
            }
            //# unroll
            for (var i = 0u; i < LOADED; i++) {
                let ih = oh * i32(STRIDE) + i32((i_first + KEPT + i) * DILATION) - PADDING;
                x_inside = ih >= 0 && ih < i32(params.h);
                x_row = (n * params.h + u32(clamp(ih, 0, i32(params.h) - 1))) * params.w * params.c;
                //# unroll
                for (var q = 0u; q < EIGHTS; q++) {
                    let words = eight(0u, 8u * q, 0u, lane);
                    //# unroll
                    for (var e = 0u; e < 4u; e++) {
                        xs[((KEPT + i) * EIGHTS + q) * 8u + e] = bitcast<f32>(words.a[e]);
                        xs[((KEPT + i) * EIGHTS + q) * 8u + 4u + e] = bitcast<f32>(words.b[e]);
                    }
                }
            }
            var ds = array<f32, RUN>();
            if oh >= 0 && o < o_end {
                //# unroll
                for (var p = 0u; p < RUN; p++) {
                    if ow + p < params.ow {
                        ds[p] = dy[((n * params.oh + u32(oh)) * params.ow + ow + p) * params.o + o];
                    }
                }
            }
            //# unroll
            for (var i = 0u; i < TAPS_H; i++) {
                //# unroll
                for (var j = 0u; j < KW; j++) {
                    //# unroll
                    for (var c = 0u; c < CHANNELS; c++) {
                        //# unroll
                        for (var p = 0u; p < RUN; p++) {
                            acc[(i * KW + j) * CHANNELS + c] +=
                                ds[p] * xs[i * EIGHTS * 8u + (p * PIXEL + j * TAP) * CHANNELS + c];
                        }
                    }
                }
            }
        }
    }
    //# unroll
    for (var i = 0u; i < TAPS_H; i++) {
        //# unroll
        for (var j = 0u; j < KW; j++) {
            //# unroll
            for (var c = 0u; c < CHANNELS; c++) {
                partial[local * CHANNELS + c] = acc[(i * KW + j) * CHANNELS + c];
            }
            workgroupBarrier();
            for (var k = local; k < 8u * CHANNELS; k += WORKGROUP) {
                var sum = 0.0;
                for (var octet = 0u; octet < WORKGROUP / 8u; octet++) {
                    sum += partial[octet * 8u * CHANNELS + k];
                }
                let to = o_first + k / CHANNELS;
                let c = c_first + k % CHANNELS;
                if group < params.workgroups && to < o_end && i_first + i < KH && c < params.group_c {
                    dw[((to * KH + i_first + i) * KW + j) * params.group_c + c] = sum;
                }
            }
            workgroupBarrier();
        }
    }
}
