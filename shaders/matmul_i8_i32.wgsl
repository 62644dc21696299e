// y[i, j] = bias[j] + Σ_t x[i, t]·w[j, t]                      (int32)
//# include common/index.wgsl
//# include common/tile_i8.wgsl
const WORKGROUP: u32 = 64u;

// k_words = ⌈k / 4⌉, n_words = ⌈n / 4⌉: four int8 to a word.
struct Params { m: u32, n: u32, k_words: u32, n_words: u32 }
@group(0) @binding(0) var<storage, read> x: array<u32>;        // [m, k_words]
@group(0) @binding(1) var<storage, read> w: array<u32>;        // [n, k_words]
@group(0) @binding(2) var<storage, read> bias: array<i32>;     // [n]
@group(0) @binding(3) var<storage, read_write> y: array<i32>;  // [m, n]
@group(1) @binding(0) var<uniform> params: Params;

fn x_at(i: vec4<u32>) -> vec4<u32> {
    return vec4(x[i.x], x[i.y], x[i.z], x[i.w]);
}

// Word `t` of the rows, which start at `first`.
fn x_words(first: Sixteen, t: u32) -> Sixteen {
    var q = Sixteen(vec4(x[first.a.x + t], 0u, 0u, 0u), vec4(0u), vec4(0u), vec4(0u));
    if ROWS > 1u { q.a = x_at(first.a + t); }
    if ROWS > 4u { q.b = x_at(first.b + t); }
    if ROWS > 8u {
        q.c = x_at(first.c + t);
        q.d = x_at(first.d + t);
    }
    return q;
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32,
        @builtin(num_workgroups) groups: vec3<u32>) {
    let id = linear_id(group, local, groups, WORKGROUP);
    let blocks = (params.n_words + WORDS - 1u) / WORDS;
    let row = id / blocks * ROWS;
    let word = id % blocks * WORDS;
    if row >= params.m { return; }
    let x_first = times(sixteen(row, params.m), params.k_words);
    let columns = sixteen(4u * word, params.n);
    let w_first = times(columns, params.k_words);
    var tile = start(columns);
    for (var t = 0u; t < params.k_words; t++) {
        add_words(&tile, x_words(x_first, t), weights(w_first, t));
    }
    for (var r = 0u; r < min(ROWS, params.m - row); r++) {
        var sums = tile.s0;
        for (var j = 0u; j < min(WORDS, params.n_words - word); j++) {
            store(row + r, word + j, sums.a);
            sums = Sums(sums.b, sums.c, sums.d, sums.d);
        }
        next_row(&tile);
    }
}

fn store(row: u32, word: u32, acc: vec4<i32>) {
    let at = row * params.n + 4u * word;
    let lanes = params.n - 4u * word;
    y[at] = acc.x;
    if lanes > 1u { y[at + 1u] = acc.y; }
    if lanes > 2u { y[at + 2u] = acc.z; }
    if lanes > 3u { y[at + 3u] = acc.w; }
}
