// Every lane has the sums of its columns.
//# include common/product/bind_i32.wgsl
alias Column = i32;

fn column_of(j: u32) -> Column {
    return bias[j];
}

fn put(row: u32, column: u32, sums: array<Sum, PACK>, ends: array<Column, PACK>, lane: u32) {
    //# unroll
    for (var i = 0u; i < PACK; i++) {
        if column + i < params.n { y[row * params.n + column + i] = sums[i] + ends[i]; }
    }
}
