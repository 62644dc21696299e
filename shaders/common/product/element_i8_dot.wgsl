// Words of four int8, multiplied by the device's instruction for that; element_i8.wgsl says the same with 32-bit
// integers.
alias Left = u32;
alias Right = u32;
alias Sum = i32;

fn outside_word() -> u32 { return params.x_zero_points; }

//# inline
fn left_of(word: u32) -> Left {
    return word;
}

//# inline
fn right_of(word: u32) -> Right {
    return word;
}

//# inline
fn product(a: Left, b: Right) -> Sum {
    return dot4I8Packed(a, b);
}

//# inline
fn surplus(b: Right) -> Sum {
    return 0;
}
