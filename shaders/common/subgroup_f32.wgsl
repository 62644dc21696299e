// f32 as words for common/subgroup_tile.wgsl.
alias Left = f32;
alias Right = f32;
alias Sum = f32;
alias Column = f32;
const RELU: bool = false;

//# inline
fn left_of(word: u32) -> Left {
    return bitcast<f32>(word);
}

//# inline
fn right_of(word: u32) -> Right {
    return bitcast<f32>(word);
}

//# inline
fn product(a: Left, b: Right) -> Sum {
    return a * b;
}

//# inline
fn surplus(b: Right) -> Sum {
    return 0.0;
}

fn column_of(j: u32) -> Column {
    return bias[j];
}

fn put(row: u32, column: u32, sums: array<Sum, PACK>, ends: array<Column, PACK>, lane: u32) {
    var v = sums[0] + ends[0] + residual_f32(row * params.n + min(column, params.n - 1u));
    if RELU { v = max(v, 0.0); }
    if column < params.n { y[row * params.n + column] = v; }
}
