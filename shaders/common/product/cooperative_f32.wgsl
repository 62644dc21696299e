// f32 for product/cooperative.wgsl.
alias Element = f32;
// What one load brings: vec2 where rows of x and w are an even number of elements.
alias Word = f32;
alias XMatrix = coop_mat16x16<f32, A>;
alias WMatrix = coop_mat16x16<f32, B>;
alias YMatrix = coop_mat16x16<f32, C>;

// Sums stay in the matrices.
const GATHER: bool = false;
const GATHER_STEPS: u32 = 16u;

fn added(total: Sums, part: vec4<f32>) -> Sums {
    return part;
}

fn outside() -> Word {
    return Word();
}
