// y[j] = x[(j·mul + start) / div] along every axis, fill where that is no element of x
//# include common/index.wgsl
const WORKGROUP: u32 = 64u;
const LANES: u32 = 1u;  // elements of a word

struct Params {
    // innermost first, two to an axis: [size in y, mul, start, div], [size in x, step in words of x, 0, 0]
    axes: array<vec4<i32>, 12>,
    rank: u32,
    words: u32, row_words: u32,  // words of y in all and in a row
    fill: u32,                   // the bits of one element
}
@group(0) @binding(0) var<storage, read> x: array<u32>;        // [.., row_words of x]
@group(0) @binding(1) var<storage, read_write> y: array<u32>;  // [.., row_words]
@group(1) @binding(0) var<uniform> params: Params;

// The place in x that place j of y has along an axis, or −1.
fn source(axis: u32, j: u32) -> i32 {
    let map = params.axes[2u * axis];
    let scaled = i32(j) * map.y + map.z;
    let at = scaled / map.w;
    return select(-1, at, scaled >= 0 && at * map.w == scaled && at < params.axes[2u * axis + 1u].x);
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32,
        @builtin(num_workgroups) groups: vec3<u32>) {
    let i = linear_id(group, local, groups, WORKGROUP);
    if i >= params.words { return; }
    const BITS: u32 = 32u / LANES;
    var rest = i / params.row_words;
    let first = (i - rest * params.row_words) * LANES;
    var row = 0u;
    var inside = true;
    for (var axis = 1u; axis < params.rank; axis++) {
        let size = u32(params.axes[2u * axis].x);
        let outer = rest / size;
        let at = source(axis, rest - outer * size);
        inside = inside && at >= 0;
        row += u32(max(at, 0)) * u32(params.axes[2u * axis + 1u].y);
        rest = outer;
    }
    var word = 0u;
    for (var lane = 0u; lane < min(LANES, u32(params.axes[0].x) - first); lane++) {
        let at = source(0u, first + lane);
        var bits = params.fill;
        if inside && at >= 0 {
            bits = extractBits(x[row + u32(at) / LANES], u32(at) % LANES * BITS, BITS);
        }
        word |= bits << (lane * BITS);
    }
    y[i] = word;
}
