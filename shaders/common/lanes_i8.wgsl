// A word is four int8, neighbours.
//# include common/i8.wgsl
alias Word = u32;

fn lanes(word: Word) -> vec4<i32> {
    return lanes_i8(word);
}

fn packed(value: vec4<i32>) -> Word {
    return pack_i8(value);
}
