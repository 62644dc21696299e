// y[n,oh,ow,o] = out(bias[o] + Σ_{i,j} x[n, oh·s + i·d − p, ow·s + j·d − p, o / m] · w[o,i,j]), m = o / c outputs to each
// channel
//
// Filters that see one channel: an invocation owns one word of channels, and RUN neighbouring pixels of it in each of
// params.steps neighbouring rows; neighbours own neighbouring words. It goes down the rows and keeps the rows of x that
// the next step needs again: a word of x that it loads serves every tap and every pixel of its own.
// The part says what is multiplied (Value), summed (Sum), what belongs to a word of y (Place), and how to load and store.
//# include common/index.wgsl
//# part elements common/product/depthwise_f32.wgsl
const WORKGROUP: u32 = 64u;
const RUN: u32 = 4u;
const KH: u32 = 3u;
const KW: u32 = 3u;
const STRIDE_H: u32 = 1u;
const STRIDE_W: u32 = 1u;
const PAD_TOP: i32 = 1i;
const PAD_LEFT: i32 = 1i;
const DILATION_H: u32 = 1u;
const DILATION_W: u32 = 1u;
// Output channels to an input channel; those of a word read one word of x.
const MULTIPLIER: u32 = 1u;
// Pixels of x in a row, under RUN of y.
const SPAN: u32 = 6u;
// Rows of x under one of y: KEPT from the step before, then LOADED; WARM steps fill the former.
const KEPT: u32 = 2u;
const LOADED: u32 = 1u;
const WARM: u32 = 2u;


struct Params {
    height: u32, width: u32, out_height: u32, out_width: u32,
    x_words: u32, words: u32,                       // of a pixel of x, of y
    runs: u32, strips: u32, steps: u32, items: u32, // a row; strips of steps rows, an image; all
    n: u32,                                         // o
    n_words: u32,                                   // = words
    x_zero_points: u32, zero_point: i32, qmin: i32, qmax: i32,  // int8; the first is four of them
    residual_zero_point: i32, residual_shift: u32,
}
@group(0) @binding(0) var<storage, read> x: array<u32>;  // [n, h, w, x_words]
@group(0) @binding(1) var<storage, read> w: array<u32>;  // [o, kh, kw, 1]: one to a word
@group(1) @binding(0) var<uniform> params: Params;

// Channel of x that each of four channels of y reads, within its word of `lanes`.
fn lanes_of(first: u32, lanes: u32) -> vec4<u32> {
    let own = vec4<u32>(0u, 1u, 2u, 3u);
    return select((first + own) / MULTIPLIER % lanes, own, vec4<bool>(MULTIPLIER == 1u));
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32,
        @builtin(num_workgroups) groups: vec3<u32>) {
    let id = linear_id(group, local, groups, WORKGROUP);
    if id >= params.items { return; }
    let word = id % params.words;
    let tile = id / params.words;
    let ox = tile % params.runs * RUN;
    let oy_first = tile / params.runs % params.strips * params.steps;
    let image = tile / params.runs / params.strips;
    let place = place_of(word);

    var ws: array<Value, KH * KW>;
    //# unroll
    for (var t = 0u; t < KH * KW; t++) {
        ws[t] = w_value(place, t);
    }
    let steps = min(params.steps, params.out_height - oy_first);
    var xs: array<Value, KEPT * SPAN + LOADED * SPAN>;
    for (var step = 0u; step < steps + WARM; step++) {
        let oy = i32(oy_first + step) - i32(WARM);
        //# unroll
        for (var k = 0u; k < KEPT * SPAN; k++) {
            xs[k] = xs[STRIDE_H * SPAN + k];
        }
        //# unroll
        for (var line = 0u; line < LOADED; line++) {
            let iy = oy * i32(STRIDE_H) + i32(KEPT + line) - PAD_TOP;
            let row_inside = iy >= 0 && iy < i32(params.height);
            let row = (image * params.height + u32(clamp(iy, 0, i32(params.height) - 1))) * params.width;
            //# unroll
            for (var k = 0u; k < SPAN; k++) {
                let ix = i32(ox * STRIDE_W + k) - PAD_LEFT;
                let pixel = row + u32(clamp(ix, 0, i32(params.width) - 1));
                let inside = row_inside && ix >= 0 && ix < i32(params.width);
                xs[(KEPT + line) * SPAN + k] = x_value(place, pixel * params.x_words + word / MULTIPLIER, inside);
            }
        }
        if step >= WARM {
            let y_first = (image * params.out_height + u32(oy)) * params.out_width + ox;
            //# unroll
            for (var p = 0u; p < RUN; p++) {
                var sum = start(place);
                //# unroll
                for (var i = 0u; i < KH; i++) {
                    //# unroll
                    for (var j = 0u; j < KW; j++) {
                        sum += product(xs[i * DILATION_H * SPAN + p * STRIDE_W + j * DILATION_W], ws[i * KW + j]);
                    }
                }
                if ox + p < params.out_width { put_word(place, y_first + p, word, sum); }
            }
        }
    }
}
