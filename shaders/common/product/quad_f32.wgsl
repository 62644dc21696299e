// f32 as words, four products at a time.
alias Left = f32;
alias Right = vec4<f32>;

fn outside_word() -> u32 { return 0u; }

fn left_of(word: u32) -> Left {
    return bitcast<f32>(word);
}

fn right_of(words: vec4<u32>) -> Right {
    return bitcast<vec4<f32>>(words);
}

fn products(l: Left, r: Right) -> Sums {
    return l * r;
}
