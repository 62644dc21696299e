// The elements of x in the same order in rows of another length; rows start on words.
//# include common/index.wgsl
const WORKGROUP: u32 = 64u;
const LANES: u32 = 4u;  // elements of a word

// words of y in all; elements and words of a row of x and of y
struct Params { words: u32, x_row: u32, x_row_words: u32, y_row: u32, y_row_words: u32 }
@group(0) @binding(0) var<storage, read> x: array<u32>;        // [.., x_row_words]
@group(0) @binding(1) var<storage, read_write> y: array<u32>;  // [.., y_row_words]
@group(1) @binding(0) var<uniform> params: Params;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32,
        @builtin(num_workgroups) groups: vec3<u32>) {
    let i = linear_id(group, local, groups, WORKGROUP);
    if i >= params.words { return; }
    const BITS: u32 = 32u / LANES;
    let row = i / params.y_row_words;
    let first = (i - row * params.y_row_words) * LANES;
    let element = row * params.y_row + first;
    // Where the word's first element is in x; the others follow it.
    var x_row = element / params.x_row;
    var column = element - x_row * params.x_row;
    var word = 0u;
    for (var lane = 0u; lane < min(LANES, params.y_row - first); lane++) {
        let bits = extractBits(x[x_row * params.x_row_words + column / LANES], column % LANES * BITS, BITS);
        word |= bits << (lane * BITS);
        column++;
        if column == params.x_row {
            column = 0u;
            x_row++;
        }
    }
    y[i] = word;
}
