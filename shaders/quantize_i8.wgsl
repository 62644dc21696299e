// y[i] = clamp(round(x[i] · inv_scale[ch]) + zero_point[ch], qmin, qmax), ch = the channel of i; NaN gives zero_point
//# include common/index.wgsl
//# include common/i8.wgsl
const WORKGROUP: u32 = 64u;
// The channels are the last axis: within a word they differ.
const LAST_AXIS: bool = false;

// words of y in all; elements and words of a row; channels; rows from one channel to the next
struct Params { words: u32, row_len: u32, row_words: u32, channels: u32, rows: u32, qmin: i32, qmax: i32 }
@group(0) @binding(0) var<storage, read> x: array<f32>;           // [.., row_len]
@group(0) @binding(1) var<storage, read> inv_scale: array<f32>;   // [channels]
@group(0) @binding(2) var<storage, read> zero_point: array<i32>;  // [channels]
@group(0) @binding(3) var<storage, read_write> y: array<u32>;     // [.., row_words]
@group(1) @binding(0) var<uniform> params: Params;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32,
        @builtin(num_workgroups) groups: vec3<u32>) {
    let i = linear_id(group, local, groups, WORKGROUP);
    if i >= params.words { return; }
    let row = i / params.row_words;
    let first = (i - row * params.row_words) * 4u;
    let columns = min(vec4(first) + vec4(0u, 1u, 2u, 3u), vec4(params.row_len - 1u));
    var ch = vec4(row / params.rows % params.channels);
    if LAST_AXIS { ch = columns; }
    let at = columns + row * params.row_len;
    let q = vec4(
        quantize(x[at.x], ch.x), quantize(x[at.y], ch.y), quantize(x[at.z], ch.z), quantize(x[at.w], ch.w));
    y[i] = keep_lanes(pack_i8(q), params.row_len - first);
}

fn quantize(value: f32, ch: u32) -> i32 {
    let z = zero_point[ch];
    // In bits, because a device may assume that there is no NaN.
    let is_nan = (bitcast<u32>(value) & 0x7fffffffu) > 0x7f800000u;
    let steps = clamp(round(value * inv_scale[ch]), f32(params.qmin - z), f32(params.qmax - z));
    return select(i32(steps), clamp(0, params.qmin - z, params.qmax - z), is_nan) + z;
}
