// Words of two f16, one at a time; f32 sums.
// What a product is computed in: f32 on every device, f16 where there is native f16.
alias Factor = f32;
alias Left = vec2<Factor>;
alias Right = vec2<Factor>;
alias Sum = f32;

fn outside_word() -> u32 { return 0u; }

//# inline
fn left_of(word: u32) -> Left {
    return Left(unpack2x16float(word));
}

//# inline
fn right_of(word: u32) -> Right {
    return Left(unpack2x16float(word));
}

//# inline
fn product(a: Left, b: Right) -> Sum {
    return f32(a.x * b.x) + select(0.0, f32(a.y * b.y), LIVE > 1u);
}

// Nothing: −0 changes no sum, so compilers leave it out.
//# inline
fn surplus(b: Right) -> Sum {
    return -0.0;
}
