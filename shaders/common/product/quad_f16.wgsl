// Words of two f16, four at a time; f32 sums.
// What a product is computed in: f32 on every device, f16 where there is native f16.
alias Factor = f32;
alias Left = vec2<Factor>;

// The first f16 of four columns, and the second.
struct Right { first: vec4<Factor>, second: vec4<Factor> }

fn outside_word() -> u32 { return 0u; }

fn left_of(word: u32) -> Left {
    return vec2<Factor>(unpack2x16float(word));
}

fn right_of(words: vec4<u32>) -> Right {
    let a = left_of(words.x);
    let b = left_of(words.y);
    let c = left_of(words.z);
    let d = left_of(words.w);
    return Right(vec4<Factor>(a.x, b.x, c.x, d.x), vec4<Factor>(a.y, b.y, c.y, d.y));
}

fn products(l: Left, r: Right) -> Sums {
    return vec4<f32>(l.x * r.first) + vec4<f32>(l.y * r.second);
}
