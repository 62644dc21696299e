// y[j] = x[i], the axes of x in another order
//# include common/index.wgsl
const WORKGROUP: u32 = 64u;
const LANES: u32 = 1u;  // elements of a word
const OUTER: u32 = 6u;  // axes around the rows of y

struct Params {
    axes: array<vec4<u32>, 6>,  // innermost first: size, words of x from one to the next, places within a word, 0
    words: u32,                 // of y in all
    row: u32, row_words: u32,   // elements and words of a row of y
    row_step: u32,              // words of x from one element of a row to the next
}
@group(0) @binding(0) var<storage, read> x: array<u32>;        // [.., words of a row of x]
@group(0) @binding(1) var<storage, read_write> y: array<u32>;  // [.., row_words]
@group(1) @binding(0) var<uniform> params: Params;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32,
        @builtin(num_workgroups) groups: vec3<u32>) {
    let i = linear_id(group, local, groups, WORKGROUP);
    if i >= params.words { return; }
    const BITS: u32 = 32u / LANES;
    var rest = i / params.row_words;
    let first = (i - rest * params.row_words) * LANES;
    var at = 0u;
    var place = 0u;
    for (var axis = 0u; axis < OUTER; axis++) {
        let outer = rest / params.axes[axis].x;
        let j = rest - outer * params.axes[axis].x;
        at += j * params.axes[axis].y;
        place += j * params.axes[axis].z;
        rest = outer;
    }
    if LANES == 1u {
        y[i] = x[at + first * params.row_step];
        return;
    }
    at += place / LANES;
    let bit = place % LANES * BITS;
    var word = 0u;
    for (var lane = 0u; lane < min(LANES, params.row - first); lane++) {
        word |= extractBits(x[at + (first + lane) * params.row_step], bit, BITS) << (lane * BITS);
    }
    y[i] = word;
}
