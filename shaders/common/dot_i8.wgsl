// int8 words of x and w, multiplied by the device's instruction for four of them; common/subgroup_i8.wgsl says the
// same with 32-bit integers.
alias Left = u32;
alias Right = u32;

//# inline
fn left_of(word: u32) -> Left {
    return word;
}

//# inline
fn right_of(word: u32) -> Right {
    return word;
}

//# inline
fn product(a: Left, b: Right) -> i32 {
    return dot4I8Packed(a, b);
}

//# inline
fn surplus(b: Right) -> i32 {
    return 0;
}
