// y[m,n] = relu?(Σ_k x[m,k] · w[n,k] + bias[n]), two f16 to a word, f32 sums
//# include common/index.wgsl
//# include common/eight.wgsl
//# include common/gemm.wgsl
const RELU: bool = false;
// What a product is computed in: f32 on every device, f16 where there is native f16.
alias Factor = f32;

struct Params { rows: u32, columns: u32, steps: u32, row_words: u32 }  // m, n, ceil(k / 2), ceil(n / 2)
@group(0) @binding(0) var<storage, read> x: array<u32>;        // f16 [m, k]
@group(0) @binding(1) var<storage, read> w: array<u32>;        // f16 [n, k]
@group(0) @binding(2) var<storage, read> bias: array<f32>;     // [n]
@group(0) @binding(3) var<storage, read_write> y: array<u32>;  // f16 [m, n]
@group(1) @binding(0) var<uniform> params: Params;

fn left_word(row: u32, step: u32) -> u32 {
    return x[row * params.steps + step];
}

fn shared_word(which: u32, column: u32, step: u32) -> u32 {
    let at = min(column, params.columns - 1u);
    if which == BIAS { return bitcast<u32>(bias[at]); }
    return w[at * params.steps + step];
}

fn multiply(left: u32, right: vec4<u32>) -> vec4<f32> {
    let l = vec2<Factor>(unpack2x16float(left));
    let p0 = vec2<f32>(l * vec2<Factor>(unpack2x16float(right.x)));
    let p1 = vec2<f32>(l * vec2<Factor>(unpack2x16float(right.y)));
    let p2 = vec2<f32>(l * vec2<Factor>(unpack2x16float(right.z)));
    let p3 = vec2<f32>(l * vec2<Factor>(unpack2x16float(right.w)));
    return vec4<f32>(p0.x + p0.y, p1.x + p1.y, p2.x + p2.y, p3.x + p3.y);
}

fn put(row: u32, column: u32, sum: vec4<f32>) {
    var v = sum;
    if RELU { v = max(v, vec4<f32>(0.0)); }
    let channel = vec4<u32>(column) + vec4<u32>(0u, 1u, 2u, 3u);
    v = select(vec4<f32>(0.0), v, channel < vec4<u32>(params.columns));
    let at = row * params.row_words + column / 2u;
    if column < params.columns { y[at] = pack2x16float(v.xy); }
    if column + 2u < params.columns { y[at + 1u] = pack2x16float(v.zw); }
}
