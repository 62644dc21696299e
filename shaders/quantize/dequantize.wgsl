// y[i] = f32(q[i] − zero_point[ch]) · scale[ch], ch = the channel of i
//# include common/index.wgsl
//# include common/i8.wgsl
const WORKGROUP: u32 = 64u;
// Elements of a word of q: int8, or 1 int32.
const PER_WORD: u32 = 4u;

// words of q in all; elements and words of a row; channels; elements from one channel to the next
struct Params { words: u32, row_len: u32, row_words: u32, channels: u32, inner: u32 }
@group(0) @binding(0) var<storage, read> q: array<u32>;           // [.., row_words]
@group(0) @binding(1) var<storage, read> scale: array<f32>;       // [channels]
@group(0) @binding(2) var<storage, read> zero_point: array<i32>;  // [channels]
@group(0) @binding(3) var<storage, read_write> y: array<f32>;     // [.., row_len]
@group(1) @binding(0) var<uniform> params: Params;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32,
        @builtin(num_workgroups) groups: vec3<u32>) {
    let i = linear_id(group, local, groups, WORKGROUP);
    if i >= params.words { return; }
    let row = i / params.row_words;
    let column = (i - row * params.row_words) * PER_WORD;
    for (var k = 0u; k < min(PER_WORD, params.row_len - column); k++) {
        let at = row * params.row_len + column + k;
        let ch = at / params.inner % params.channels;
        var value = bitcast<i32>(q[i]);
        if PER_WORD > 1u { value = lane_i8(q[i], k); }
        y[at] = f32(value - zero_point[ch]) * scale[ch];
    }
}
