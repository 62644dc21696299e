// dx[m,k] = Σ_n dy[m,n] · w[n,k]
//# include common/index.wgsl
//# part sharing common/product/eight.wgsl
//# include common/product/quad_f32.wgsl
//# include common/product/gemm.wgsl

struct Params { m: u32, n: u32, steps: u32 }  // m, k, n
@group(0) @binding(0) var<storage, read> dy: array<u32>;        // f32 [m, n]
@group(0) @binding(1) var<storage, read> w: array<u32>;         // f32 [n, k]
@group(0) @binding(2) var<storage, read_write> dx: array<f32>;  // [m, k]
@group(1) @binding(0) var<uniform> params: Params;

alias Sums = vec4<f32>;

fn left_word(row: u32, step: u32) -> u32 {
    return dy[row * params.steps + step];
}

fn shared_word(column: u32, step: u32) -> u32 {
    return w[step * params.n + min(column, params.n - 1u)];
}

fn columns_of(j: vec4<u32>) -> Sums {
    return Sums();
}

fn put(row: u32, column: u32, end: u32, sums: Sums, ends: Sums) {
    //# unroll
    for (var e = 0u; e < 4u; e++) {
        if column + e < end { dx[row * params.n + column + e] = sums[e]; }
    }
}
