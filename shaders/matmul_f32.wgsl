// y[m,n] = relu?(Σ_k x[m,k] · w[n,k] + bias[n])
//# include common/index.wgsl
//# include common/eight.wgsl
//# include common/gemm.wgsl
const RELU: bool = false;

struct Params { rows: u32, columns: u32, steps: u32 }
@group(0) @binding(0) var<storage, read> x: array<f32>;        // [m, k]
@group(0) @binding(1) var<storage, read> w: array<f32>;        // [n, k]
@group(0) @binding(2) var<storage, read> bias: array<f32>;     // [n]
@group(0) @binding(3) var<storage, read_write> y: array<f32>;  // [m, n]
@group(1) @binding(0) var<uniform> params: Params;

fn left_word(row: u32, step: u32) -> u32 {
    return bitcast<u32>(x[row * params.steps + step]);
}

fn shared_word(which: u32, column: u32, step: u32) -> u32 {
    let at = min(column, params.columns - 1u);
    if which == BIAS { return bitcast<u32>(bias[at]); }
    return bitcast<u32>(w[at * params.steps + step]);
}

fn multiply(left: u32, right: vec4<u32>) -> vec4<f32> {
    return bitcast<f32>(left) * bitcast<vec4<f32>>(right);
}

fn put(row: u32, column: u32, sum: vec4<f32>) {
    var v = sum;
    if RELU { v = max(v, vec4<f32>(0.0)); }
    //# unroll
    for (var e = 0u; e < 4u; e++) {
        if column + e < params.columns { y[row * params.columns + column + e] = v[e]; }
    }
}
