// int8 words of x and w for common/subgroup_tile.wgsl.
alias Factors = vec4<i32>;
alias Sum = i32;

fn unpack(word: u32) -> Factors {
    return lanes_i8(word);
}

fn product(a: Factors, b: Factors) -> Sum {
    return (a.x * b.x + a.y * b.y) + (a.z * b.z + a.w * b.w);
}
