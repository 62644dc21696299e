// One channel to a word.
//# include common/product/bind_f32.wgsl
alias Value = f32;
alias Sum = f32;
struct Place { channel: u32 }

fn place_of(word: u32) -> Place {
    return Place(word);
}

fn w_value(place: Place, tap: u32) -> Value {
    return bitcast<f32>(w[place.channel * (KH * KW) + tap]);
}

fn start(place: Place) -> Sum {
    return bias[place.channel];
}

fn x_value(place: Place, at: u32, inside: bool) -> Value {
    return bitcast<f32>(select(0u, x[at], inside));
}

fn product(a: Value, b: Value) -> Sum {
    return a * b;
}

fn put_word(place: Place, pixel: u32, word: u32, sum: Sum) {
    finish(pixel * params.words + word, sum);
}
