// f32 as words for common/subgroup_tile.wgsl.
alias Factors = f32;
alias Sum = f32;
const RELU: bool = false;

fn unpack(word: u32) -> Factors {
    return bitcast<f32>(word);
}

fn product(a: Factors, b: Factors) -> Sum {
    return a * b;
}

fn put(row: u32, column: u32, sum: Sum, lane: u32) {
    let c = min(column, params.n - 1u);
    var v = sum + bias[c] + residual_f32(row * params.n + c);
    if RELU { v = max(v, 0.0); }
    if column < params.n { y[row * params.n + column] = v; }
}
