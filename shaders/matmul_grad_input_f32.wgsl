// dx[m,k] = Σ_n dy[m,n] · w[n,k]
//# include common/index.wgsl
//# include common/eight.wgsl
//# include common/gemm.wgsl

struct Params { rows: u32, columns: u32, steps: u32 }  // m, k, n
@group(0) @binding(0) var<storage, read> dy: array<f32>;        // [m, n]
@group(0) @binding(1) var<storage, read> w: array<f32>;         // [n, k]
@group(0) @binding(2) var<storage, read_write> dx: array<f32>;  // [m, k]
@group(1) @binding(0) var<uniform> params: Params;

fn left_word(row: u32, step: u32) -> u32 {
    return bitcast<u32>(dy[row * params.steps + step]);
}

fn shared_word(which: u32, column: u32, step: u32) -> u32 {
    if which == BIAS { return 0u; }
    return bitcast<u32>(w[step * params.columns + min(column, params.columns - 1u)]);
}

fn multiply(left: u32, right: vec4<u32>) -> vec4<f32> {
    return bitcast<f32>(left) * bitcast<vec4<f32>>(right);
}

fn put(row: u32, column: u32, sum: vec4<f32>) {
    //# unroll
    for (var e = 0u; e < 4u; e++) {
        if column + e < params.columns { dx[row * params.columns + column + e] = sum[e]; }
    }
}
