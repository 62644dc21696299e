// f32 as words, one product at a time.
alias Left = f32;
alias Right = f32;
alias Sum = f32;

fn outside_word() -> u32 { return 0u; }

//# inline
fn left_of(word: u32) -> Left {
    return bitcast<f32>(word);
}

//# inline
fn right_of(word: u32) -> Right {
    return bitcast<f32>(word);
}

//# inline
fn product(a: Left, b: Right) -> Sum {
    return a * b;
}

// Nothing: −0 changes no sum, so compilers leave it out.
//# inline
fn surplus(b: Right) -> Sum {
    return -0.0;
}
