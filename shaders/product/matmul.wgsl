// y[m,n] = out(Σ_k x[m,k] · w[n,k] + bias[n])
//# include common/index.wgsl
//# part sharing common/product/eight.wgsl
//# part elements common/product/quad_f32.wgsl
//# part out common/product/out_f32.wgsl
//# include common/product/gemm.wgsl

struct Params {
    m: u32, n: u32, steps: u32,                     // rows and columns of y; words of a row of x and w
    n_words: u32,                                   // of a row of y
    x_zero_points: u32, zero_point: i32, qmin: i32, qmax: i32,  // int8; the first is four of them
    residual_zero_point: i32, residual_shift: u32,
}
@group(0) @binding(0) var<storage, read> x: array<u32>;  // [m, steps]
@group(0) @binding(1) var<storage, read> w: array<u32>;  // [n, steps]
@group(1) @binding(0) var<uniform> params: Params;

fn left_word(row: u32, step: u32) -> u32 {
    return x[row * params.steps + step];
}

fn shared_word(column: u32, step: u32) -> u32 {
    return w[min(column, params.n - 1u) * params.steps + step];
}
