// A lane has a sum of its own column.
//# include common/product/bind_f32.wgsl
alias Column = f32;

fn column_of(j: u32) -> Column {
    return bias[j];
}

fn put(row: u32, column: u32, sums: array<Sum, PACK>, ends: array<Column, PACK>, lane: u32) {
    if column < params.n { finish(row * params.n + column, sums[0] + ends[0]); }
}
