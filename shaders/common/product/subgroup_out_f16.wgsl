// Every lane has a word, or the sum of its column: then two neighbours make a word.
//# include common/product/bind_f16.wgsl
alias Column = f32;

fn column_of(j: u32) -> Column {
    return bias[j];
}

fn put(row: u32, column: u32, sums: array<Sum, PACK>, ends: array<Column, PACK>, lane: u32) {
    let v = sums[0u] + ends[0u];
    if PACK == 2u {
        let both = vec2(v, sums[1u % PACK] + ends[1u % PACK]);
        if column < params.n { finish(row * params.n_words + column / 2u, both, column + 1u < params.n); }
    } else {
        let first = lane * 2u % LANES;
        let both = vec2(subgroupShuffle(v, first), subgroupShuffle(v, first + 1u));
        let word = (column - lane) / 2u + lane;
        if lane < LANES / 2u && word < params.n_words {
            finish(row * params.n_words + word, both, 2u * word + 1u < params.n);
        }
    }
}
