// y[n,oh,ow,o] = relu?(bias[o] + Σ_{i,j} x[n, oh·s + i·d − p, ow·s + j·d − p, o / m] · w[o,i,j] + residual?),
// m = o / c outputs to each channel
//# include common/index.wgsl
//# include common/depthwise.wgsl
//# include common/residual_none.wgsl
const RELU: bool = false;
alias Value = f32;
alias Sum = f32;
struct Place { channel: u32 }

struct Params {
    height: u32, width: u32, out_height: u32, out_width: u32,
    x_words: u32, words: u32,                                   // of a pixel of x, of y
    runs: u32, strips: u32, steps: u32, items: u32,             // a row; strips of steps rows, an image; all
    n: u32,                                                     // o
}
@group(0) @binding(0) var<storage, read> x: array<f32>;        // [n, h, w, c]
@group(0) @binding(1) var<storage, read> w: array<f32>;        // [o, kh, kw]
@group(0) @binding(2) var<storage, read> bias: array<f32>;     // [o]
@group(0) @binding(3) var<storage, read_write> y: array<f32>;  // [n, oh, ow, o]
@group(1) @binding(0) var<uniform> params: Params;

fn place_of(word: u32) -> Place {
    return Place(word);
}

fn w_value(place: Place, tap: u32) -> Value {
    return w[place.channel * (KH * KW) + tap];
}

fn start(place: Place) -> Sum {
    return bias[place.channel];
}

fn x_value(place: Place, at: u32, inside: bool) -> Value {
    return select(0.0, x[at], inside);
}

fn product(a: Value, b: Value) -> Sum {
    return a * b;
}

fn put_word(place: Place, pixel: u32, word: u32, sum: Sum) {
    let at = pixel * params.words + word;
    let v = sum + residual_f32(at);
    y[at] = select(v, max(v, 0.0), RELU);
}
