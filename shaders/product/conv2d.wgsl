// y[n,oh,ow,o] = out(bias[o] + Σ_{i,j,c} x[n, oh·s + i·d − p, ow·s + j·d − p, c] · w[o,i,j,c]); c counts the channels of
// the group of o; x outside the image is 0
//
// An invocation owns RUN neighbouring pixels of a row and COLUMNS channels of a group: what it loads of x serves every
// tap and channel, what it loads of w serves every pixel. Groups that share words (ODD_GROUPS) are another matter.
//# include common/index.wgsl
//# part sharing common/product/eight.wgsl
//# part elements common/product/element_f32.wgsl
//# part out common/product/out_f32.wgsl
//# part odd_groups common/product/odd_groups_none.wgsl
const WORKGROUP: u32 = 64u;
const RUN: u32 = 4u;
const BLOCKS: u32 = 1u;
const COLUMNS: u32 = 8u;  // of those of BLOCKS blocks of eight
const WORDS: u32 = 2u;    // ⌈COLUMNS / 4⌉
// Elements of a word; where a pixel of x is one word, those that it has.
const LIVE: u32 = 4u;
const ODD_GROUPS: bool = false;
const DEPTHWISE: bool = false;  // the four columns of a word read the same word of x
const KH: u32 = 3u;
const KW: u32 = 3u;
const STRIDE_H: u32 = 1u;
const STRIDE_W: u32 = 1u;
const PAD_TOP: i32 = 1i;
const PAD_LEFT: i32 = 1i;
const DILATION_H: u32 = 1u;
const DILATION_W: u32 = 1u;
// Loaded pixel k lies at column k / GROUP · STEP + k % GROUP · DILATION_W; tap j of pixel p is p·PIXEL + j·TAP.
const SPAN: u32 = 6u;
const GROUP: u32 = 1u;
const STEP: u32 = 1u;
const PIXEL: u32 = 1u;
const TAP: u32 = 1u;
// Width of x where one run is a whole row (the columns are known then); else 0.
const ROW: u32 = 0u;

struct Params {
    h: u32, w: u32, c: u32, group_c: u32, oh: u32, ow: u32, n: u32, group_o: u32,   // n: channels of y
    runs_per_row: u32, runs: u32, tiles_per_group: u32, tiles: u32, workgroups: u32,
    x_words: u32, w_words: u32,                     // of a pixel of x, of a tap of w
    n_words: u32,                                   // of a row of y
    x_zero_points: u32, zero_point: i32, qmin: i32, qmax: i32,  // int8; the first is four of them
    residual_zero_point: i32, residual_shift: u32,
}
@group(0) @binding(0) var<storage, read> x: array<u32>;  // [n, h, w, x_words]
@group(0) @binding(1) var<storage, read> w: array<u32>;  // [o, kh, kw, w_words]
@group(1) @binding(0) var<uniform> params: Params;

fn shared_word(o: u32, rest: u32) -> u32 {
    return w[min(o, params.n - 1u) * (KH * KW * params.w_words) + rest];
}

fn run(group: u32, local: u32, lane: u32) {
    if ODD_GROUPS {
        odd_groups(group * WORKGROUP + local);
        return;
    }
    if group >= params.workgroups { return; }
    let tile = group % params.tiles;
    let item = group / params.tiles * WORKGROUP + local;
    let at = min(item, params.runs - 1u);
    let ow = select(at % params.runs_per_row * RUN, 0u, ROW != 0u);
    let row = at / params.runs_per_row;
    let oh = row % params.oh;
    let image = row / params.oh;
    let conv_group = tile / params.tiles_per_group;
    let column = conv_group * params.group_o + tile % params.tiles_per_group * (8u * BLOCKS);
    let end = (conv_group + 1u) * params.group_o;
    let width = select(i32(params.w), i32(ROW), ROW != 0u);

    //# registers
    var acc: array<Sum, RUN * COLUMNS>;
    //# registers
    var over: array<Sum, COLUMNS>;
    // A step is a word of a line of the filter.
    var i = 0u;
    var c = 0u;
    for (var step = 0u; step < KH * params.w_words; step++) {
        let ih = i32(oh * STRIDE_H + i * DILATION_H) - PAD_TOP;
        let row_inside = ih >= 0 && ih < i32(params.h);
        let x_row = (image * params.h + u32(select(0, ih, row_inside))) * u32(width) * params.x_words
            + conv_group * params.w_words + c;
        //# registers
        var words: array<u32, SPAN>;
        //# unroll
        for (var k = 0u; k < SPAN; k++) {
            let iw = i32(ow * STRIDE_W + k / GROUP * STEP + k % GROUP * DILATION_W) - PAD_LEFT;
            let value = x[x_row + u32(clamp(iw, 0, width - 1)) * params.x_words];
            words[k] = select(outside_word(), value, row_inside && iw >= 0 && iw < width);
        }
        //# registers
        var ws: array<u32, KW * BLOCKS * 8u>;
        //# unroll
        for (var j = 0u; j < KW; j++) {
            //# unroll
            for (var block = 0u; block < BLOCKS; block++) {
                let eight = eight(column + 8u * block, (i * KW + j) * params.w_words + c, lane);
                //# unroll
                for (var e = 0u; e < 4u; e++) {
                    ws[(j * BLOCKS + block) * 8u + e] = eight.a[e];
                    ws[(j * BLOCKS + block) * 8u + 4u + e] = eight.b[e];
                }
            }
        }
        // After all loads, which are loops to a software driver: its compiler knows the range of a factor, and what
        // instruction will do, only between two jumps.
        //# registers
        var xs: array<Left, SPAN>;
        //# unroll
        for (var k = 0u; k < SPAN; k++) {
            xs[k] = left_of(words[k]);
        }
        //# unroll
        for (var j = 0u; j < KW; j++) {
            //# unroll
            for (var q = 0u; q < COLUMNS; q++) {
                let r = right_of(ws[j * BLOCKS * 8u + q]);
                over[q] += surplus(r);
                //# unroll
                for (var p = 0u; p < RUN; p++) {
                    acc[p * COLUMNS + q] += product(xs[p * PIXEL + j * TAP], r);
                }
            }
        }
        c++;
        if c == params.w_words {
            c = 0u;
            i++;
        }
    }
    //# registers
    var ends: array<Columns, WORDS>;
    //# unroll
    for (var q = 0u; q < WORDS; q++) {
        ends[q] = columns_of(min(vec4(column + 4u * q) + vec4(0u, 1u, 2u, 3u), vec4(params.n - 1u)));
    }
    if item >= params.runs { return; }
    for (var p = 0u; p < RUN; p++) {
        if ow + p < params.ow {
            //# unroll
            for (var q = 0u; q < WORDS; q++) {
                if column + 4u * q < end {
                    var sums: Sums;
                    //# unroll
                    for (var e = 0u; e < 4u; e++) {
                        sums[e] = acc[min(4u * q + e, COLUMNS - 1u)] - over[min(4u * q + e, COLUMNS - 1u)];
                    }
                    put(row * params.ow + ow + p, column + 4u * q, end, sums, ends[q]);
                }
            }
        }
        // The pixels move up by one: an index into registers could not follow a loop.
        //# unroll
        for (var k = 0u; k < RUN * COLUMNS; k++) {
            acc[k] = acc[min(k + COLUMNS, RUN * COLUMNS - 1u)];
        }
    }
}
