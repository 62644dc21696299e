// Words of four int8, one at a time. What is multiplied with w is x + 128, which is never negative:
// compilers for processors then see 16-bit factors, and multiply and add in one instruction. The sums are exact.
alias Left = vec4<i32>;
alias Right = vec4<i32>;
alias Sum = i32;

fn outside_word() -> u32 { return params.x_zero_points; }

fn left_of(word: u32) -> Left {
    let x = word ^ 0x80808080u;
    return vec4<i32>(vec4(x, x >> 8u, x >> 16u, x >> 24u) & vec4(255u));
}

//# inline
fn right_of(word: u32) -> Right {
    return lanes_i8(word);
}

//# inline
fn product(a: Left, b: Right) -> Sum {
    return (a.x * b.x + select(0, a.y * b.y, LIVE > 1u)) + (select(0, a.z * b.z, LIVE > 2u) + select(0, a.w * b.w, LIVE > 3u));
}

//# inline
fn surplus(b: Right) -> Sum {
    return 128 * ((b.x + select(0, b.y, LIVE > 1u)) + (select(0, b.z, LIVE > 2u) + select(0, b.w, LIVE > 3u)));
}
