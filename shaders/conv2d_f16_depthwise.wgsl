// y[n,oh,ow,o] = relu?(bias[o] + Σ_{i,j} x[n, oh·s + i·d − p, ow·s + j·d − p, o / m] · w[o,i,j] + residual?),
// m = o / c outputs to each channel; two f16 to a word along the channels, f32 sums
//# include common/index.wgsl
//# include common/depthwise.wgsl
//# include common/residual_none.wgsl
const RELU: bool = false;
// What a product is computed in: f32 on every device, f16 where there is native f16.
alias Factor = f32;
alias Value = vec2<Factor>;
alias Sum = vec2<f32>;
struct Place { channels: vec2<u32>, lanes: vec2<u32> }

struct Params {
    height: u32, width: u32, out_height: u32, out_width: u32,
    x_words: u32, words: u32,                                   // of a pixel of x, of y
    runs: u32, strips: u32, steps: u32, items: u32,             // a row; strips of steps rows, an image; all
    n: u32, n_words: u32,                                       // o
}
@group(0) @binding(0) var<storage, read> x: array<u32>;        // f16 [n, h, w, c]
@group(0) @binding(1) var<storage, read> w: array<u32>;        // f16 [o, kh, kw, 1]: one to a word
@group(0) @binding(2) var<storage, read> bias: array<f32>;     // [o]
@group(0) @binding(3) var<storage, read_write> y: array<u32>;  // f16 [n, oh, ow, o]
@group(1) @binding(0) var<uniform> params: Params;

fn place_of(word: u32) -> Place {
    return Place(min(vec2(2u * word, 2u * word + 1u), vec2(params.n - 1u)), lanes_of(2u * word, 2u).xy);
}

fn w_value(place: Place, tap: u32) -> Value {
    let at = place.channels * (KH * KW) + tap;
    return Value(unpack2x16float(w[at.x] | (w[at.y] << 16u)));
}

fn start(place: Place) -> Sum {
    return vec2(bias[place.channels.x], bias[place.channels.y]);
}

fn x_value(place: Place, at: u32, inside: bool) -> Value {
    let v = Value(unpack2x16float(select(0u, x[at], inside)));
    if MULTIPLIER == 1u { return v; }
    return select(v.xx, v.yy, place.lanes == vec2(1u));
}

fn product(a: Value, b: Value) -> Sum {
    return Sum(a * b);
}

fn put_word(place: Place, pixel: u32, word: u32, sum: Sum) {
    let at = pixel * params.words + word;
    let v = sum + residual_f16(at);
    let r = select(v, max(v, vec2<f32>(0.0)), vec2<bool>(RELU));
    y[at] = pack2x16float(vec2(r.x, select(0.0, r.y, 2u * word + 1u < params.n)));
}
