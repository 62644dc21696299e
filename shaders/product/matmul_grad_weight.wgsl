// dw[n,k] = Σ_m dy[m,n] · x[m,k]
//# include common/index.wgsl
//# part sharing common/product/eight.wgsl
//# include common/product/quad_f32.wgsl
//# include common/product/gemm.wgsl

struct Params { m: u32, n: u32, steps: u32 }  // n, k, m
@group(0) @binding(0) var<storage, read> dy: array<u32>;        // f32 [m, n]
@group(0) @binding(1) var<storage, read> x: array<u32>;         // f32 [m, k]
@group(0) @binding(2) var<storage, read_write> dw: array<f32>;  // [n, k]
@group(1) @binding(0) var<uniform> params: Params;

alias Sums = vec4<f32>;

fn left_word(row: u32, step: u32) -> u32 {
    return dy[step * params.m + row];
}

fn shared_word(column: u32, step: u32) -> u32 {
    return x[step * params.n + min(column, params.n - 1u)];
}

fn columns_of(j: vec4<u32>) -> Sums {
    return Sums();
}

fn put(row: u32, column: u32, end: u32, sums: Sums, ends: Sums) {
    //# unroll
    for (var e = 0u; e < 4u; e++) {
        if column + e < end { dw[row * params.n + column + e] = sums[e]; }
    }
}
