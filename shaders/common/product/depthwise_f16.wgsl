// Two channels of f16 to a word, f32 sums.
//# include common/product/bind_f16.wgsl
// What a product is computed in: f32 on every device, f16 where there is native f16.
alias Factor = f32;
alias Value = vec2<Factor>;
alias Sum = vec2<f32>;
struct Place { channels: vec2<u32>, lanes: vec2<u32> }

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
    finish(pixel * params.words + word, sum, 2u * word + 1u < params.n);
}
