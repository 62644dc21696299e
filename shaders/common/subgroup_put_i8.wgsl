// Every lane has the sum of its column; four neighbours make a word.
fn put(row: u32, column: u32, sum: Sum, lane: u32) {
    let c = min(column, params.n - 1u);
    let acc = sum + bias[c] + residual_lane_i8(row * params.n_words + c / 4u, c);
    let y_c = out_i8(acc, multiplier[c], params.zero_point, params.qmin, params.qmax);
    let byte = select(0u, u32(y_c) & 255u, column < params.n);
    let first = lane * 4u % LANES;
    let word = subgroupShuffle(byte, first) | (subgroupShuffle(byte, first + 1u) << 8u)
        | (subgroupShuffle(byte, first + 2u) << 16u) | (subgroupShuffle(byte, first + 3u) << 24u);
    let at = (column - lane) / 4u + lane;
    if lane < LANES / 4u && at < params.n_words { y[row * params.n_words + at] = word; }
}
