// y[i] = table[x[i]]
//# include common/index.wgsl
//# include common/i8.wgsl
const WORKGROUP: u32 = 64u;

struct Params { words: u32, row_words: u32, row: u32 }         // words in all; words and elements of a row
@group(0) @binding(0) var<storage, read> x: array<u32>;        // i8 x 4 [rows, row_words]
@group(0) @binding(1) var<storage, read> table: array<u32>;    // i8 x 4 [64], the result of byte b at b
@group(0) @binding(2) var<storage, read_write> y: array<u32>;  // i8 x 4 [rows, row_words]
@group(1) @binding(0) var<uniform> params: Params;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32,
        @builtin(num_workgroups) groups: vec3<u32>) {
    let i = linear_id(group, local, groups, WORKGROUP);
    if i >= params.words { return; }
    var word = 0u;
    for (var shift = 0u; shift < 32u; shift += 8u) {
        let byte = extractBits(x[i], shift, 8u);
        word |= extractBits(table[byte / 4u], byte % 4u * 8u, 8u) << shift;
    }
    y[i] = keep_lanes(word, params.row - i % params.row_words * 4u);
}
