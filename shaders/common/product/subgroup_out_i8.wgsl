// Every lane has a word, or the sum of its column: then four neighbours make a word.
//# include common/product/bind_i8.wgsl
struct Column { bias: i32, residual: i32, multiplier: vec2<u32> }

fn column_of(j: u32) -> Column {
    return Column(bias[j], residual_multiplier_of(j), multiplier[j]);
}

fn put(row: u32, column: u32, sums: array<Sum, PACK>, ends: array<Column, PACK>, lane: u32) {
    let c = min(column, params.n - 1u);
    let at = row * params.n_words + c / 4u;
    if PACK == 4u {
        let a = ends[0u];
        let b = ends[1u % PACK];
        let c = ends[2u % PACK];
        let d = ends[3u % PACK];
        let acc = vec4(sums[0u] + a.bias, sums[1u % PACK] + b.bias, sums[2u % PACK] + c.bias, sums[3u % PACK] + d.bias)
            + residual_word_i8(at, vec4(a.residual, b.residual, c.residual, d.residual));
        let word = pack_i8(vec4(out(acc.x, a.multiplier), out(acc.y, b.multiplier), out(acc.z, c.multiplier), out(acc.w, d.multiplier)));
        if column < params.n { y[at] = keep_lanes(word, params.n - column); }
    } else {
        let acc = sums[0u] + ends[0u].bias + residual_lane_i8(at, c, ends[0u].residual);
        let byte = select(0u, u32(out(acc, ends[0u].multiplier)) & 255u, column < params.n);
        let first = lane * 4u % LANES;
        let word = subgroupShuffle(byte, first) | (subgroupShuffle(byte, first + 1u) << 8u)
            | (subgroupShuffle(byte, first + 2u) << 16u) | (subgroupShuffle(byte, first + 3u) << 24u);
        let word_at = (column - lane) / 4u + lane;
        if lane < LANES / 4u && word_at < params.n_words { y[row * params.n_words + word_at] = word; }
    }
}
