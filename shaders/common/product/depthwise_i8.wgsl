// Four channels of int8 to a word. The products are summed in f32, which is exact: a sum of at most 1024 products of int8
// stays below 2^24. The rest is int32. A processor multiplies floats faster than 32-bit integers, and so do many GPUs.
//# part out common/product/out_i8.wgsl
alias Value = vec4<f32>;
alias Sum = vec4<f32>;
struct Place { channels: vec4<u32>, shifts: vec4<u32>, ends: Columns }

fn place_of(word: u32) -> Place {
    let channels = min(vec4(4u * word) + vec4(0u, 1u, 2u, 3u), vec4(params.n - 1u));
    return Place(channels, 24u - 8u * lanes_of(4u * word, 4u), columns_of(channels));
}

fn w_value(place: Place, tap: u32) -> Value {
    let at = place.channels * (KH * KW) + tap;
    return vec4<f32>(vec4(lane_i8(w[at.x], 0u), lane_i8(w[at.y], 0u), lane_i8(w[at.z], 0u), lane_i8(w[at.w], 0u)));
}

fn start(place: Place) -> Sum {
    return vec4<f32>(0.0);
}

fn x_value(place: Place, at: u32, inside: bool) -> Value {
    let word = select(params.x_zero_points, x[at], inside);
    return vec4<f32>(vec4<i32>(vec4(word) << place.shifts) >> vec4(24u));
}

fn product(a: Value, b: Value) -> Sum {
    return a * b;
}

fn put_word(place: Place, pixel: u32, word: u32, sum: Sum) {
    put(pixel, 4u * word, params.n, Sums(sum), place.ends);
}
