// y[i] = f32(q[i] − zero_point[ch]) · scale[ch], ch = the channel of i
//# include common/index.wgsl
//# include common/i8.wgsl
const WORKGROUP: u32 = 64u;
// The channels are the last axis: within a word they differ.
const LAST_AXIS: bool = false;

// words of q in all; elements and words of a row; channels; rows from one channel to the next
struct Params { words: u32, row_len: u32, row_words: u32, channels: u32, rows: u32 }
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
    let first = (i - row * params.row_words) * 4u;
    let ch = row / params.rows % params.channels;
    let values = lanes_i8(q[i]);
    store(row, first, ch, values.x);
    store(row, first + 1u, ch, values.y);
    store(row, first + 2u, ch, values.z);
    store(row, first + 3u, ch, values.w);
}

fn store(row: u32, column: u32, row_ch: u32, value: i32) {
    if column >= params.row_len { return; }
    let ch = select(row_ch, column, LAST_AXIS);
    y[row * params.row_len + column] = f32(value - zero_point[ch]) * scale[ch];
}
