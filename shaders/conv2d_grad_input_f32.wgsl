// dx[n,h,w,c] = Σ_{i,j,o} dy[n, (h + p − i·d) / s, (w + p − j·d) / s, o] · w[o,i,j,c], whole quotients only
//
// An invocation owns RUN neighbouring pixels of a row of dx and 8·BLOCKS channels. RUN is a multiple of s,
// so that which tap meets which pixel is known here: see OFFSET.
//# include common/index.wgsl
//# include common/eight.wgsl
const WORKGROUP: u32 = 64u;
const RUN: u32 = 4u;
const BLOCKS: u32 = 1u;
const KH: u32 = 3u;
const KW: u32 = 3u;
const STRIDE: u32 = 1u;
const PADDING: u32 = 1u;
const DILATION: u32 = 1u;
// Pixel p of the run and tap j meet loaded pixel (p + PADDING + s·SHIFT − j·d) / s − OFFSET of dy, which is
// column ow + k + OFFSET − SHIFT; SHIFT keeps it unsigned.
const SPAN: u32 = 6u;
const SHIFT: u32 = 2u;
const OFFSET: u32 = 1u;
// Width of dy where one run is a whole row of dx (the columns are known then); else 0.
const ROW: u32 = 0u;

struct Params {
    h: u32, w: u32, c: u32, group_c: u32, oh: u32, ow: u32, o: u32, group_o: u32,
    runs_per_row: u32, runs: u32, tiles_per_group: u32, tiles: u32, workgroups: u32,
}
@group(0) @binding(0) var<storage, read> dy: array<f32>;        // [n, oh, ow, o]
@group(0) @binding(1) var<storage, read> w: array<f32>;         // [o, kh, kw, c / groups]
@group(0) @binding(2) var<storage, read_write> dx: array<f32>;  // [n, h, w, c]
@group(1) @binding(0) var<uniform> params: Params;

// Channel c of the group, under the tap whose channels start at `rest`.
fn shared_word(which: u32, c: u32, rest: u32) -> u32 {
    return bitcast<u32>(w[rest + min(c, params.group_c - 1u)]);
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
    let c_first = tile % params.tiles_per_group * (8u * BLOCKS);
    let width = select(i32(params.ow), i32(ROW), ROW != 0u);
    let ow = i32(iw / STRIDE + OFFSET) - i32(SHIFT);

    var acc: array<vec4<f32>, RUN * BLOCKS * 2u>;
    for (var i = 0u; i < KH; i++) {
        let above = i32(ih + PADDING) - i32(i * DILATION);
        let oh = above / i32(STRIDE);
        let row_inside = above >= 0 && above % i32(STRIDE) == 0 && oh < i32(params.oh);
        let dy_row = (n * params.oh + u32(max(oh, 0))) * u32(width) * params.o;
        for (var o = conv_group * params.group_o; o < (conv_group + 1u) * params.group_o; o++) {
            var ds = array<f32, SPAN>();
            if row_inside {
                //# unroll
                for (var k = 0u; k < SPAN; k++) {
                    let column = ow + i32(k);
                    let value = dy[dy_row + u32(clamp(column, 0, width - 1)) * params.o + o];
                    ds[k] = select(0.0, value, column >= 0 && column < width);
                }
            }
            var ws: array<vec4<f32>, KW * BLOCKS * 2u>;
            //# unroll
            for (var j = 0u; j < KW; j++) {
                //# unroll
                for (var block = 0u; block < BLOCKS; block++) {
                    let words = eight(0u, c_first + 8u * block, ((o * KH + i) * KW + j) * params.group_c, lane);
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
                        let left = p + PADDING + STRIDE * SHIFT - j * DILATION;
                        if left % STRIDE == 0u {
                            acc[p * (BLOCKS * 2u) + q] += ds[left / STRIDE - OFFSET] * ws[j * (BLOCKS * 2u) + q];
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
        let dx_at = (row * params.w + iw + p) * params.c + conv_group * params.group_c;
        //# unroll
        for (var q = 0u; q < 2u * BLOCKS; q++) {
            let v = acc[p * (BLOCKS * 2u) + q];
            //# unroll
            for (var e = 0u; e < 4u; e++) {
                let c = c_first + 4u * q + e;
                if inside && c < params.group_c { dx[dx_at + c] = v[e]; }
            }
        }
    }
}
