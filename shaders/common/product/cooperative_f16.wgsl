// f16 for product/cooperative.wgsl; f32 sums.
alias Element = f16;
// What one load brings: vec4 where rows of x and w are a multiple of four elements.
alias Word = vec2<f16>;
alias XMatrix = coop_mat16x16<f16, A>;
alias WMatrix = coop_mat16x16<f16, B>;
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
