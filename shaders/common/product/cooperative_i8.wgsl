// int8 for product/cooperative.wgsl, multiplied as f16 and summed in f32: products of int8 are at most 2¹⁴, and
// sums of 2¹⁰ of them are whole numbers that f32 holds, so that nothing is rounded in whatever order a device adds.
// After so many they are gathered in int32.
//
// What one load brings: vec2 where rows of x and w are a multiple of eight elements.
alias Word = u32;
alias XMatrix = coop_mat16x16<f16, A>;
alias WMatrix = coop_mat16x16<f16, B>;
alias YMatrix = coop_mat16x16<f32, C>;

const GATHER: bool = true;
const GATHER_STEPS: u32 = 16u;

fn added(total: Sums, part: vec4<f32>) -> Sums {
    return total + vec4<i32>(part);
}

fn outside() -> Word {
    return Word(params.x_zero_points);
}
