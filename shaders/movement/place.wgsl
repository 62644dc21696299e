// y[o, start + k] = x[o, k]; the other elements of y stay, its padding becomes 0
//# include common/index.wgsl
const WORKGROUP: u32 = 64u;
const LANES: u32 = 1u;  // elements of a word

struct Params {
    words: u32, span: u32,             // words of y that get something: in all, in a row
    start: u32, len: u32, y_row: u32,  // elements of a row of y: where x begins, those of x, all
    x_row_words: u32, y_row_words: u32,
}
@group(0) @binding(0) var<storage, read> x: array<u32>;        // [rows, x_row_words]
@group(0) @binding(1) var<storage, read_write> y: array<u32>;  // [rows, y_row_words]
@group(1) @binding(0) var<uniform> params: Params;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32,
        @builtin(num_workgroups) groups: vec3<u32>) {
    let i = linear_id(group, local, groups, WORKGROUP);
    if i >= params.words { return; }
    const BITS: u32 = 32u / LANES;
    let row = i / params.span;
    let column = params.start / LANES + i - row * params.span;
    let at = row * params.y_row_words + column;
    var word = 0u;
    if LANES > 1u { word = y[at]; }
    for (var lane = 0u; lane < LANES; lane++) {
        let element = column * LANES + lane;
        if element >= params.start && element < params.start + params.len {
            let k = element - params.start;
            let bits = extractBits(x[row * params.x_row_words + k / LANES], k % LANES * BITS, BITS);
            word = insertBits(word, bits, lane * BITS, BITS);
        } else if element >= params.y_row {
            word = insertBits(word, 0u, lane * BITS, BITS);
        }
    }
    y[at] = word;
}
