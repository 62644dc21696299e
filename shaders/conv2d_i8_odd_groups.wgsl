// acc[p, o] = bias[o] + Σ_ky,kx,c x[n, iy, ix, g·cg + c]·w[o, ky, kx, c]          (int32)
//   p = (n, oy, ox), iy = oy·stride + ky·dilation − padding, ix likewise, g = o / og; x_zero_point outside
// y[p, o]   = clamp(requant(acc[p, o]) + zero_point, qmin, qmax)
//
// For groups that do not start on a word of x, or do not end on a word of y. An invocation owns four pixels of one
// word of y.
//# include common/index.wgsl
//# include common/i8.wgsl
//# include common/requant.wgsl
//# include common/workgroup_put_i8.wgsl
//# include common/residual_none.wgsl
alias Sums = vec4<i32>;
const WORKGROUP: u32 = 64u;
// The four columns of a word read the same word of x.
const DEPTHWISE: bool = false;
const OUTSIDE: u32 = 0xffffffffu;

struct Params {
    m: u32, n: u32,                                 // n·oh·ow rows, o columns
    height: u32, width: u32, x_words: u32,          // of x; ⌈c / 4⌉ words to a pixel
    out_height: u32, out_width: u32,
    kernel_h: u32, kernel_w: u32, w_words: u32,     // of w; ⌈cg / 4⌉ words to a tap
    stride: u32, padding: u32, dilation: u32,
    cg: u32, og: u32,                               // channels of a group: in, out
    n_words: u32,                                   // of a pixel of y
    x_zero_points: u32,                             // four of them
    zero_point: i32, qmin: i32, qmax: i32,
    residual_zero_point: i32, residual_shift: u32,
}
@group(0) @binding(0) var<storage, read> x: array<u32>;                 // [n, h, w, x_words]
@group(0) @binding(1) var<storage, read> w: array<u32>;                 // [o, kh, kw, w_words]
@group(0) @binding(2) var<storage, read> bias: array<i32>;              // [o]
@group(0) @binding(3) var<storage, read> multiplier: array<vec2<u32>>;  // [o]
@group(0) @binding(4) var<storage, read_write> y: array<u32>;           // [n, oh, ow, n_words]
@group(1) @binding(0) var<uniform> params: Params;

// The input pixels under tap (0, 0) of four output pixels: row, column (either may be outside), first word.
struct Corner { iy: vec4<i32>, ix: vec4<i32>, at: vec4<i32> }

fn corner_of(p: vec4<u32>) -> Corner {
    let line = p / params.out_width;
    let oy = line % params.out_height;
    let image = line / params.out_height;
    let iy = vec4<i32>(oy * params.stride) - i32(params.padding);
    let ix = vec4<i32>((p - line * params.out_width) * params.stride) - i32(params.padding);
    let at = ((vec4<i32>(image) * i32(params.height) + iy) * i32(params.width) + ix) * i32(params.x_words);
    return Corner(iy, ix, at);
}

// First word of the pixels that lie (dy, dx) from the corners, or OUTSIDE.
fn tap(corner: Corner, dy: u32, dx: u32) -> vec4<u32> {
    let iy = vec4<u32>(corner.iy) + dy;
    let ix = vec4<u32>(corner.ix) + dx;
    let at = vec4<u32>(corner.at) + (dy * params.width + dx) * params.x_words;
    return select(vec4(OUTSIDE), at, (iy < vec4(params.height)) & (ix < vec4(params.width)));
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

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32,
        @builtin(num_workgroups) groups: vec3<u32>) {
    let id = linear_id(group, local, groups, WORKGROUP);
    let row = id / params.n_words * 4u;
    let first = id % params.n_words * 4u;
    if row >= params.m { return; }
    let corner = corner_of(four(row, params.m));
    let columns = four(first, params.n);
    let w_first = columns * (params.kernel_h * params.kernel_w * params.w_words);
    var tile: array<Sums, 4>;
    var t = 0u;
    for (var ky = 0u; ky < params.kernel_h; ky++) {
        for (var kx = 0u; kx < params.kernel_w; kx++) {
            add_tap(&tile, tap(corner, ky * params.dilation, kx * params.dilation), columns, w_first + t);
            t += params.w_words;
        }
    }
    let ends = columns_of(columns);
    put(row, first, tile[0], ends);
    if row + 1u < params.m { put(row + 1u, first, tile[1], ends); }
    if row + 2u < params.m { put(row + 2u, first, tile[2], ends); }
    if row + 3u < params.m { put(row + 3u, first, tile[3], ends); }
}

// One tap: the weights are shifted to the lanes of their channels, and the lanes beside them are zero.
fn add_tap(tile: ptr<function, array<Sums, 4>>, pixels: vec4<u32>, columns: vec4<u32>, w_first: vec4<u32>) {
    let channel = columns / params.og * params.cg;
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
            add_columns(tile, x0, x0, x0, x0, q);
            return;
        }
        add_columns(tile, x0, x_at(pixels, word.y), x_at(pixels, word.z), x_at(pixels, word.w), q);
    }
}

// `xj`: the word of x that column j reads, one per row.
fn add_columns(tile: ptr<function, array<Sums, 4>>, x0: vec4<u32>, x1: vec4<u32>, x2: vec4<u32>, x3: vec4<u32>, q: vec4<u32>) {
    (*tile)[0] += dots(vec4(x0.x, x1.x, x2.x, x3.x), q);
    (*tile)[1] += dots(vec4(x0.y, x1.y, x2.y, x3.y), q);
    (*tile)[2] += dots(vec4(x0.z, x1.z, x2.z, x3.z), q);
    (*tile)[3] += dots(vec4(x0.w, x1.w, x2.w, x3.w), q);
}

fn dots(a: vec4<u32>, b: vec4<u32>) -> vec4<i32> {
    return vec4(dot4I8Packed(a.x, b.x), dot4I8Packed(a.y, b.y), dot4I8Packed(a.z, b.z), dot4I8Packed(a.w, b.w));
}
