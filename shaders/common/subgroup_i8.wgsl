// int8 words of x and w for common/subgroup_tile.wgsl. The products of a word are summed as f32, which drivers
// multiply faster: integers below 2^24, hence exact in any order.
alias Factors = vec4<f32>;
alias Sum = i32;

fn unpack(word: u32) -> Factors {
    return vec4<f32>(lanes_i8(word));
}

fn product(a: Factors, b: Factors) -> Sum {
    return i32((a.x * b.x + a.y * b.y) + (a.z * b.z + a.w * b.w));
}
