// dx[n,h,w,c] = Σ_{i,j,o} dy[n, (h + p − i·d) / s, (w + p − j·d) / s, o] · w[o,i,j,c], whole quotients only
//
// An invocation owns RUN neighbouring pixels of a row of dx and CHANNELS channels. RUN is a multiple of s,
// so that which tap meets which pixel is known here: see OFFSET.
//# include common/index.wgsl
//# part sharing common/product/team.wgsl
const WORKGROUP: u32 = 64u;
const RUN: u32 = 4u;
const CHANNELS: u32 = 8u;
const LANES: u32 = 8u;  // neighbours that share what they load of w
const KH: u32 = 3u;
const KW: u32 = 3u;
const STRIDE_H: u32 = 1u;
const STRIDE_W: u32 = 1u;
const PAD_TOP: u32 = 1u;
const PAD_LEFT: u32 = 1u;
const DILATION_H: u32 = 1u;
const DILATION_W: u32 = 1u;
// Pixel p of the run and tap j meet loaded pixel (p + PAD_LEFT + s·SHIFT − j·d) / s − OFFSET of dy, which is
// column ow + k + OFFSET − SHIFT; SHIFT keeps it unsigned. Where that were many pixels (APART), each tap of each pixel
// has its own, p·KW + j, and RUN is any number.
const APART: bool = false;
const SPAN: u32 = 6u;
const SHIFT: u32 = 2u;
const OFFSET: u32 = 1u;
// What one load brings: u64, and two halves, where the channels come in pairs.
alias Shared = u32;  // of w and dx
const HALVES: u32 = 1u;
alias Word = u32;  // of dy
const DY_HALVES: u32 = 1u;
const WORDS: u32 = 8u;  // CHANNELS / HALVES
const LOADS: u32 = 3u;  // ⌈KW · CHANNELS / (LANES · HALVES)⌉
// Width of dy where one run is a whole row of dx (the columns are known then); else 0.
const ROW: u32 = 0u;

struct Params {
    h: u32, w: u32, c: u32, group_c: u32, oh: u32, ow: u32, o: u32, group_o: u32,
    runs_per_row: u32, runs: u32, tiles_per_group: u32, tiles: u32, workgroups: u32,
}
@group(0) @binding(0) var<storage, read> dy: array<Word>;          // [n, oh, ow, o] f32
@group(0) @binding(1) var<storage, read> w: array<Shared>;         // [o, kh, kw, c / groups] f32
@group(0) @binding(2) var<storage, read_write> dx: array<Shared>;  // [n, h, w, c] f32
@group(1) @binding(0) var<uniform> params: Params;

// The taps in question start here, the channels there.
var<private> w_row: u32;
var<private> c_first: u32;

// The words e, e + HALVES of a row of taps, e = slot · HALVES: tap e / CHANNELS, channel e % CHANNELS.
fn shared_at(slot: u32) -> Shared {
    let e = slot * HALVES;
    let tap = min(e / CHANNELS, KW - 1u);
    let c = min(c_first + e % CHANNELS, params.group_c - HALVES);
    return w[(w_row + tap * params.group_c + c) / HALVES];
}

fn run(group: u32, local: u32, lane: u32) {
    if group >= params.workgroups { return; }
    let tile = group % params.tiles;
    let item = group / params.tiles * WORKGROUP + local;
    let at = min(item, params.runs - 1u);
    let iw = select(at % params.runs_per_row * RUN, 0u, ROW != 0u);
    let row = at / params.runs_per_row;
    let ih = row % params.h;
    let n = row / params.h;
    let conv_group = tile / params.tiles_per_group;
    c_first = tile % params.tiles_per_group * CHANNELS;
    let width = select(i32(params.ow), i32(ROW), ROW != 0u);
    let ow = i32(iw / STRIDE_W + OFFSET) - i32(SHIFT);

    var acc: array<f32, RUN * CHANNELS>;
    for (var i = 0u; i < KH; i++) {
        let above = i32(ih + PAD_TOP) - i32(i * DILATION_H);
        let oh = above / i32(STRIDE_H);
        let row_inside = above >= 0 && above % i32(STRIDE_H) == 0 && oh < i32(params.oh);
        let dy_row = (n * params.oh + u32(max(oh, 0))) * u32(width) * params.o;
        for (var o = conv_group * params.group_o; o < (conv_group + 1u) * params.group_o; o += DY_HALVES) {
            var words = array<Word, SPAN>();
            if row_inside {
                //# unroll
                for (var k = 0u; k < SPAN; k++) {
                    let before = i32(iw + k / KW + PAD_LEFT) - i32(k % KW * DILATION_W);
                    let column = select(ow + i32(k), before / i32(STRIDE_W), APART);
                    let meets = !APART || (before >= 0 && before % i32(STRIDE_W) == 0);
                    let word = dy[(dy_row + u32(clamp(column, 0, width - 1)) * params.o + o) / DY_HALVES];
                    words[k] = select(Word(0u), word, meets && column >= 0 && column < width);
                }
            }
            //# unroll
            for (var half = 0u; half < DY_HALVES; half++) {
                var ds: array<f32, SPAN>;
                //# unroll
                for (var k = 0u; k < SPAN; k++) {
                    ds[k] = bitcast<f32>(u32(words[k] >> (32u * half)));
                }
                w_row = ((o + half) * KH + i) * KW * params.group_c;
                var ws: array<f32, LOADS * LANES * HALVES>;
                //# unroll
                for (var q = 0u; q < LOADS; q++) {
                    let mine = shared_mine(q * LANES, lane);
                    //# unroll
                    for (var e = 0u; e < LANES; e++) {
                        //# unroll
                        for (var part = 0u; part < HALVES; part++) {
                            ws[(q * LANES + e) * HALVES + part] =
                                bitcast<f32>(shared_half(q * LANES, e, part, mine, lane));
                        }
                    }
                }
                //# unroll
                for (var p = 0u; p < RUN; p++) {
                    //# unroll
                    for (var j = 0u; j < KW; j++) {
                        let left = p + PAD_LEFT + STRIDE_W * SHIFT - j * DILATION_W;
                        let at = select(left / STRIDE_W - OFFSET, p * KW + j, APART);
                        if APART || left % STRIDE_W == 0u {
                            //# unroll
                            for (var c = 0u; c < CHANNELS; c++) {
                                acc[p * CHANNELS + c] += ds[at] * ws[j * CHANNELS + c];
                            }
                        }
                    }
                }
            }
        }
    }
    if item >= params.runs { return; }
    //# unroll
    for (var p = 0u; p < RUN; p++) {
        let inside = iw + p < params.w;
        let dx_at = (row * params.w + iw + p) * params.c + conv_group * params.group_c + c_first;
        //# unroll
        for (var k = 0u; k < WORDS; k++) {
            var word = Shared(0u);
            //# unroll
            for (var half = 0u; half < HALVES; half++) {
                word |= Shared(bitcast<u32>(acc[p * CHANNELS + k * HALVES + half])) << (32u * half);
            }
            if inside && c_first + k * HALVES < params.group_c { dx[dx_at / HALVES + k] = word; }
        }
    }
}
