// Words of two f16 for common/subgroup_tile.wgsl; f32 sums.
// What a product is computed in: f32 on every device, f16 where there is native f16.
alias Factor = f32;
alias Left = vec2<Factor>;
alias Right = vec2<Factor>;
alias Sum = f32;
alias Column = f32;
const RELU: bool = false;

//# inline
fn left_of(word: u32) -> Left {
    return Left(unpack2x16float(word));
}

//# inline
fn right_of(word: u32) -> Right {
    return Left(unpack2x16float(word));
}

//# inline
fn surplus(b: Right) -> Sum {
    return 0.0;
}

//# inline
fn product(a: Left, b: Right) -> Sum {
    return f32(a.x * b.x) + select(0.0, f32(a.y * b.y), LIVE > 1u);
}

fn column_of(j: u32) -> Column {
    return bias[j];
}

// Every lane has a word, or the sum of its column: then two neighbours make a word.
fn put(row: u32, column: u32, sums: array<Sum, PACK>, ends: array<Column, PACK>, lane: u32) {
    let v = select(0.0, sums[0u] + ends[0u], column < params.n);
    if PACK == 2u {
        let second = select(0.0, sums[1u % PACK] + ends[1u % PACK], column + 1u < params.n);
        if column < params.n { put_word(row * params.n_words + column / 2u, vec2(v, second)); }
    } else {
        let first = lane * 2u % LANES;
        let both = vec2(subgroupShuffle(v, first), subgroupShuffle(v, first + 1u));
        let word = (column - lane) / 2u + lane;
        if lane < LANES / 2u && word < params.n_words { put_word(row * params.n_words + word, both); }
    }
}

fn put_word(at: u32, v: vec2<f32>) {
    let result = v + residual_f16(at);
    y[at] = pack2x16float(select(result, max(result, vec2<f32>(0.0)), vec2<bool>(RELU)));
}
