// Four pixels of one word of y, where groups do not start on a word of x, or do not end on a word of y.
const OUTSIDE: u32 = 0xffffffffu;

// The input pixels under tap (0, 0) of four output pixels: row, column (either may be outside), first word.
struct Corner { iy: vec4<i32>, ix: vec4<i32>, at: vec4<i32> }

fn corner_of(p: vec4<u32>) -> Corner {
    let line = p / params.ow;
    let image = line / params.oh;
    let iy = vec4<i32>((line - image * params.oh) * STRIDE_H) - PAD_TOP;
    let ix = vec4<i32>((p - line * params.ow) * STRIDE_W) - PAD_LEFT;
    let at = ((vec4<i32>(image) * i32(params.h) + iy) * i32(params.w) + ix) * i32(params.x_words);
    return Corner(iy, ix, at);
}

// First word of the pixels that lie (dy, dx) from the corners, or OUTSIDE.
fn tap(corner: Corner, dy: u32, dx: u32) -> vec4<u32> {
    let iy = vec4<u32>(corner.iy) + dy;
    let ix = vec4<u32>(corner.ix) + dx;
    let at = vec4<u32>(corner.at) + (dy * params.w + dx) * params.x_words;
    return select(vec4(OUTSIDE), at, (iy < vec4(params.h)) & (ix < vec4(params.w)));
}

fn x_at(pixel: vec4<u32>, word: u32) -> vec4<u32> {
    let inside = pixel != vec4(OUTSIDE);
    let i = select(vec4(0u), pixel + word, inside);
    return select(vec4(params.x_zero_points), vec4(x[i.x], x[i.y], x[i.z], x[i.w]), inside);
}

fn w_at(i: vec4<u32>) -> vec4<u32> {
    return vec4(w[i.x], w[i.y], w[i.z], w[i.w]);
}

// Four from `first` on; past the end the last one again: it is computed and not written.
fn four(first: u32, end: u32) -> vec4<u32> {
    return min(vec4(first) + vec4(0u, 1u, 2u, 3u), vec4(end - 1u));
}

fn odd_groups(id: u32) {
    let row = id / params.n_words * 4u;
    let first = id % params.n_words * 4u;
    if row >= params.runs { return; }
    let corner = corner_of(four(row, params.runs));
    let columns = four(first, params.n);
    let w_first = columns * (KH * KW * params.w_words);
    var sums: array<Sums, 4>;
    for (var i = 0u; i < KH; i++) {
        for (var j = 0u; j < KW; j++) {
            add_tap(&sums, tap(corner, i * DILATION_H, j * DILATION_W), columns, w_first + (i * KW + j) * params.w_words);
        }
    }
    let ends = columns_of(columns);
    put(row, first, params.n, sums[0], ends);
    if row + 1u < params.runs { put(row + 1u, first, params.n, sums[1], ends); }
    if row + 2u < params.runs { put(row + 2u, first, params.n, sums[2], ends); }
    if row + 3u < params.runs { put(row + 3u, first, params.n, sums[3], ends); }
}

// One tap: the weights are shifted to the lanes of their channels, and the lanes beside them are zero.
fn add_tap(sums: ptr<function, array<Sums, 4>>, pixels: vec4<u32>, columns: vec4<u32>, w_first: vec4<u32>) {
    let channel = columns / params.group_o * params.group_c;
    let shift = 8u * (channel & vec4(3u));
    var left = vec4(0u);
    // One word more than w has, for what is shifted out of its last.
    for (var c = 0u; c <= params.w_words; c++) {
        let here = select(vec4(0u), w_at(w_first + min(c, params.w_words - 1u)), vec4(c < params.w_words));
        let q = (here << shift) | select(vec4(0u), left >> ((32u - shift) & vec4(31u)), shift > vec4(0u));
        left = here;
        let word = min(channel / 4u + c, vec4(params.x_words - 1u));
        let x0 = x_at(pixels, word.x);
        if DEPTHWISE {
            add_columns(sums, x0, x0, x0, x0, q);
            return;
        }
        add_columns(sums, x0, x_at(pixels, word.y), x_at(pixels, word.z), x_at(pixels, word.w), q);
    }
}

// `xj`: the word of x that column j reads, one per row.
fn add_columns(sums: ptr<function, array<Sums, 4>>, x0: vec4<u32>, x1: vec4<u32>, x2: vec4<u32>, x3: vec4<u32>, q: vec4<u32>) {
    (*sums)[0] += dots(vec4(x0.x, x1.x, x2.x, x3.x), q);
    (*sums)[1] += dots(vec4(x0.y, x1.y, x2.y, x3.y), q);
    (*sums)[2] += dots(vec4(x0.z, x1.z, x2.z, x3.z), q);
    (*sums)[3] += dots(vec4(x0.w, x1.w, x2.w, x3.w), q);
}

fn dots(a: vec4<u32>, b: vec4<u32>) -> vec4<i32> {
    return vec4(dot4I8Packed(a.x, b.x), dot4I8Packed(a.y, b.y), dot4I8Packed(a.z, b.z), dot4I8Packed(a.w, b.w));
}
