// Words of four int8, four at a time; int32 sums.
alias Left = u32;
alias Right = vec4<u32>;

fn outside_word() -> u32 { return params.x_zero_points; }

fn left_of(word: u32) -> Left {
    return word;
}

fn right_of(words: vec4<u32>) -> Right {
    return words;
}

fn products(l: Left, r: Right) -> Sums {
    return vec4(dot4I8Packed(l, r.x), dot4I8Packed(l, r.y), dot4I8Packed(l, r.z), dot4I8Packed(l, r.w));
}
