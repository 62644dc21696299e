// y[j] = x[Σ j_k · step_k] along the axes of y
//# include common/index.wgsl
const WORKGROUP: u32 = 64u;
const LANES: u32 = 1u;  // elements of a word
const OUTER: u32 = 1u;  // axes around the innermost

struct Params {
    axes: array<vec4<u32>, OUTER + 1u>,  // innermost first: size in y, step in elements of x, row padding counted
    words: u32, row_words: u32,          // words of y in all and in a row
    unused: vec2<u32>,
}
@group(0) @binding(0) var<storage, read> x: array<u32>;        // [.., row_words of x]
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
    // Where the word's first element is in x; the others follow it in steps of the innermost axis.
    var at = first * params.axes[0].y;
    //# unroll
    for (var axis = 0u; axis < OUTER; axis++) {
        let outer = params.axes[axis + 1u];
        let quotient = rest / outer.x;
        at += (rest - quotient * outer.x) * outer.y;
        rest = quotient;
    }
    var word = 0u;
    for (var lane = 0u; lane < min(LANES, params.axes[0].x - first); lane++) {
        word |= extractBits(x[at / LANES], at % LANES * BITS, BITS) << (lane * BITS);
        at += params.axes[0].y;
    }
    y[i] = word;
}
