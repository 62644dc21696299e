// One word of y, where groups do not start on a word of x, or do not end on a word of y.
// Channels channel and channel + 1 of the pixel whose words start at `pixel`; those from `end` on are 0.
fn x_pair(pixel: u32, channel: u32, end: u32) -> u32 {
    let word = x[pixel + channel / 2u] >> (16u * (channel & 1u));
    if channel + 1u >= end { return word & 0xffffu; }
    if (channel & 1u) == 0u { return word; }
    return (word & 0xffffu) | (x[pixel + channel / 2u + 1u] << 16u);
}

fn one_channel(image: u32, oh: u32, ow: u32, o: u32) -> Sum {
    let first = o / params.group_o * params.group_c;
    var sum = Sum();
    for (var i = 0u; i < KH; i++) {
        let ih = i32(oh * STRIDE_H + i * DILATION_H) - PAD_TOP;
        for (var j = 0u; j < KW; j++) {
            let iw = i32(ow * STRIDE_W + j * DILATION_W) - PAD_LEFT;
            if ih < 0 || iw < 0 || ih >= i32(params.h) || iw >= i32(params.w) { continue; }
            let pixel = ((image * params.h + u32(ih)) * params.w + u32(iw)) * params.x_words;
            for (var c = 0u; c < params.w_words; c++) {
                let word = w[((o * KH + i) * KW + j) * params.w_words + c];
                let pair = x_pair(pixel, first + 2u * c, first + params.group_c);
                sum += product(left_of(pair), right_of(word));
            }
        }
    }
    return sum;
}

fn odd_groups(id: u32) {
    if id >= params.runs * params.n_words { return; }
    let o = id % params.n_words * 2u;
    let pixel = id / params.n_words;
    let ow = pixel % params.ow;
    let oh = pixel / params.ow % params.oh;
    let image = pixel / params.ow / params.oh;
    let second = min(o + 1u, params.n - 1u);
    let sums = vec2(one_channel(image, oh, ow, o), one_channel(image, oh, ow, second));
    finish(id, sums + vec2(bias[o], bias[second]), second > o);
}
