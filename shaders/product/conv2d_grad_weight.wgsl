// dw[part,o,i,j,c] = Σ_{n,oh,ow} dy[n,oh,ow,o] · x[n, oh·s + i·d − p, ow·s + j·d − p, c], n ≡ part modulo parts
//
// A workgroup owns one part, LANES·DY_HALVES output channels, TAPS_H rows of taps and CHANNELS input channels.
// Its teams of LANES lanes share the sum: each walks down column strips of RUN pixels, keeping the rows of x
// that the next row of dy needs again. At the end the teams' sums are added in order, so the result is
// reproducible.
//# include common/index.wgsl
//# part sharing common/product/team.wgsl
const WORKGROUP: u32 = 64u;
const LANES: u32 = 8u;
const RUN: u32 = 4u;
const CHANNELS: u32 = 1u;
const TAPS_H: u32 = 3u;
const KH: u32 = 3u;
const KW: u32 = 3u;
const STRIDE_H: u32 = 1u;
const STRIDE_W: u32 = 1u;
const PAD_TOP: i32 = 1i;
const PAD_LEFT: i32 = 1i;
const DILATION_H: u32 = 1u;
const DILATION_W: u32 = 1u;
// What one load brings: u64, and two halves, where neighbours in memory are always wanted together.
alias Shared = u32;  // of x
const HALVES: u32 = 1u;
alias Word = u32;  // of dy
const DY_HALVES: u32 = 1u;
// Rows of x that one step keeps and loads, and the steps that fill the kept ones at the top of a strip.
const KEPT: u32 = 2u;
const LOADED: u32 = 1u;
const WARM: u32 = 2u;
// Loads of a team to a row; pixel k of it lies at column k / GROUP · STEP + k % GROUP · DILATION_W; tap j of pixel p
// is p·PIXEL + j·TAP.
const LOADS: u32 = 1u;
const GROUP: u32 = 1u;
const STEP: u32 = 1u;
const PIXEL: u32 = 1u;
const TAP: u32 = 1u;

struct Params {
    h: u32, w: u32, c: u32, group_c: u32, oh: u32, ow: u32, o: u32, group_o: u32,
    n: u32, strips_per_image: u32, o_tiles: u32, c_tiles: u32, tiles: u32, parts: u32,
}
@group(0) @binding(0) var<storage, read> dy: array<Word>;       // [n, oh, ow, o] f32
@group(0) @binding(1) var<storage, read> x: array<Shared>;      // [n, h, w, c] f32
@group(0) @binding(2) var<storage, read_write> dw: array<f32>;  // [parts, o, kh, kw, c / groups]
@group(1) @binding(0) var<uniform> params: Params;

const SUMS: u32 = KW * CHANNELS * DY_HALVES;  // of a lane, for one row of taps
var<workgroup> partial: array<f32, WORKGROUP * SUMS>;
// The row of x that is being loaded: its start, its first column, whether it is inside the image, and the
// channels.
var<private> x_row: u32;
var<private> x_column: i32;
var<private> x_inside: bool;
var<private> group_first: u32;
var<private> c_first: u32;

// The words e, e + HALVES of the row, e = slot · HALVES: pixel e / CHANNELS, channel e % CHANNELS.
fn shared_at(slot: u32) -> Shared {
    let e = slot * HALVES;
    let column = x_column + i32(e / CHANNELS / GROUP * STEP + e / CHANNELS % GROUP * DILATION_W);
    let c = group_first + min(c_first + e % CHANNELS, max(params.group_c, HALVES) - HALVES);
    let inside = x_inside && column >= 0 && column < i32(params.w);
    let value = x[(x_row + u32(clamp(column, 0, i32(params.w) - 1)) * params.c + c) / HALVES];
    return select(Shared(0u), value, inside);
}

fn run(group: u32, local: u32, lane: u32) {
    let tile = min(group, params.tiles * params.parts - 1u) % params.tiles;
    let part = group / params.tiles;
    c_first = tile % params.c_tiles * CHANNELS;
    let i_first = tile / params.c_tiles % ((KH + TAPS_H - 1u) / TAPS_H) * TAPS_H;
    let o_tile = tile / params.c_tiles / ((KH + TAPS_H - 1u) / TAPS_H);
    let conv_group = o_tile / params.o_tiles;
    group_first = conv_group * params.group_c;
    let o_end = (conv_group + 1u) * params.group_o;
    let o_first = conv_group * params.group_o + o_tile % params.o_tiles * (LANES * DY_HALVES);
    let o = o_first + local % LANES * DY_HALVES;

    var acc: array<f32, TAPS_H * SUMS>;
    var xs: array<f32, TAPS_H * LOADS * LANES * HALVES>;
    const TEAMS: u32 = WORKGROUP / LANES;
    for (var strip = local / LANES; ; strip += TEAMS) {
        let n = part + strip / params.strips_per_image * params.parts;
        if n >= params.n { break; }
        let ow = strip % params.strips_per_image * RUN;
        x_column = i32(ow * STRIDE_W) - PAD_LEFT;
        for (var step = 0u; step < params.oh + WARM; step++) {
            let oh = i32(step) - i32(WARM);
            //# unroll
            for (var k = 0u; k < KEPT * LOADS * LANES * HALVES; k++) {
                xs[k] = xs[k + STRIDE_H * LOADS * LANES * HALVES];
            }
            //# unroll
            for (var i = 0u; i < LOADED; i++) {
                let ih = oh * i32(STRIDE_H) + i32((i_first + KEPT + i) * DILATION_H) - PAD_TOP;
                x_inside = ih >= 0 && ih < i32(params.h);
                x_row = (n * params.h + u32(clamp(ih, 0, i32(params.h) - 1))) * params.w * params.c;
                //# unroll
                for (var q = 0u; q < LOADS; q++) {
                    let mine = shared_mine(q * LANES, lane);
                    //# unroll
                    for (var e = 0u; e < LANES; e++) {
                        //# unroll
                        for (var half = 0u; half < HALVES; half++) {
                            xs[(((KEPT + i) * LOADS + q) * LANES + e) * HALVES + half] =
                                bitcast<f32>(shared_half(q * LANES, e, half, mine, lane));
                        }
                    }
                }
            }
            var ds = array<f32, RUN * DY_HALVES>();
            if oh >= 0 && o < o_end {
                //# unroll
                for (var p = 0u; p < RUN; p++) {
                    if ow + p < params.ow {
                        let word = dy[(((n * params.oh + u32(oh)) * params.ow + ow + p) * params.o + o) / DY_HALVES];
                        //# unroll
                        for (var half = 0u; half < DY_HALVES; half++) {
                            ds[p * DY_HALVES + half] = bitcast<f32>(u32(word >> (32u * half)));
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
                        //# unroll
                        for (var half = 0u; half < DY_HALVES; half++) {
                            //# unroll
                            for (var p = 0u; p < RUN; p++) {
                                acc[i * SUMS + (j * CHANNELS + c) * DY_HALVES + half] +=
                                    ds[p * DY_HALVES + half]
                                    * xs[i * LOADS * LANES * HALVES + (p * PIXEL + j * TAP) * CHANNELS + c];
                            }
                        }
                    }
                }
            }
        }
    }
    //# unroll
    for (var i = 0u; i < TAPS_H; i++) {
        //# unroll
        for (var k = 0u; k < KW * CHANNELS * DY_HALVES; k++) {
            partial[local * SUMS + k] = acc[i * SUMS + k];
        }
        workgroupBarrier();
        for (var k = local; k < LANES * SUMS; k += WORKGROUP) {
            var sum = 0.0;
            for (var team = 0u; team < TEAMS; team++) {
                sum += partial[team * LANES * SUMS + k];
            }
            let to = o_first + k / SUMS * DY_HALVES + k % DY_HALVES;
            let c = c_first + k / DY_HALVES % CHANNELS;
            let j = k % SUMS / (CHANNELS * DY_HALVES);
            if part < params.parts && to < o_end && i_first + i < KH && c < params.group_c {
                dw[(((part * params.o + to) * KH + i_first + i) * KW + j) * params.group_c + c] = sum;
            }
        }
        workgroupBarrier();
    }
}
