// y[i] = clamp(round(x[i] · inv_scale[ch]) + zero_point[ch], qmin, qmax), ch = the channel of i; NaN gives zero_point
//# include common/index.wgsl
//# include common/i8.wgsl
//# include common/halves.wgsl
const WORKGROUP: u32 = 64u;
const EACH: u32 = 4u;  // words of y of one invocation, WORKGROUP apart, or a row where LAST_AXIS
// Elements of a word; where a row is one word, those that it has.
const LIVE: u32 = 4u;
// The channels are the last axis: within a word they differ. Or there is one channel.
const LAST_AXIS: bool = false;
const ONE_CHANNEL: bool = false;

// words of y in all; elements and words of a row; channels; rows from one channel to the next
struct Params { words: u32, row_len: u32, row_words: u32, channels: u32, rows: u32, qmin: i32, qmax: i32 }
@group(0) @binding(0) var<storage, read> x: array<Word>;          // [.., row_len]; Word is u64 if four divides row_len
@group(0) @binding(1) var<storage, read> inv_scale: array<f32>;   // [channels]
@group(0) @binding(2) var<storage, read> zero_point: array<i32>;  // [channels]
@group(0) @binding(3) var<storage, read_write> y: array<u32>;     // [.., row_words]
@group(1) @binding(0) var<uniform> params: Params;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32,
        @builtin(num_workgroups) groups: vec3<u32>) {
    var i = linear_id(group, 0u, groups, WORKGROUP * EACH) + local;
    var step = WORKGROUP;
    if LAST_AXIS {
        // One below the other: they share their channels.
        let id = linear_id(group, local, groups, WORKGROUP);
        i = id / params.row_words * (EACH * params.row_words) + id % params.row_words;
        step = params.row_words;
    }
    let c = select(vec4(0u), columns_of(i % params.row_words), LAST_AXIS);
    var scales = vec4(inv_scale[c.x], inv_scale[c.y], inv_scale[c.z], inv_scale[c.w]);
    var zeros = vec4(zero_point[c.x], zero_point[c.y], zero_point[c.z], zero_point[c.w]);
    for (var k = 0u; k < EACH; k++) {
        if i >= params.words { break; }
        let row = i / params.row_words;
        let columns = columns_of(i - row * params.row_words);
        if !LAST_AXIS && !ONE_CHANNEL {
            let ch = row / params.rows % params.channels;
            scales = vec4(inv_scale[ch]);
            zeros = vec4(zero_point[ch]);
        }
        let q = quantize(four(row * params.row_len, columns), scales, zeros);
        y[i] = keep_lanes(pack_i8(q), params.row_len - columns.x);
        i += step;
    }
}

// The columns of a word of a row; past its end the last again.
fn columns_of(word: u32) -> vec4<u32> {
    return min(vec4(4u * word) + vec4(0u, 1u, 2u, 3u), vec4(params.row_len - 1u));
}

// x at these columns of the row that starts at `row`.
fn four(row: u32, columns: vec4<u32>) -> vec4<f32> {
    let at = columns + row;
    if HALVES == 1u {
        var value = vec4(half_of(x[at.x], 0u));
        if LIVE > 1u { value.y = half_of(x[at.y], 0u); }
        if LIVE > 2u { value.z = half_of(x[at.z], 0u); }
        if LIVE > 3u { value.w = half_of(x[at.w], 0u); }
        return value;
    }
    let a = x[at.x / 2u];
    let b = x[at.z / 2u];
    return vec4(half_of(a, 0u), half_of(a, 1u), half_of(b, 0u), half_of(b, 1u));
}

fn quantize(value: vec4<f32>, inv_scale: vec4<f32>, z: vec4<i32>) -> vec4<i32> {
    // In bits, because a device may assume that there is no NaN.
    let is_nan = (bitcast<vec4<u32>>(value) & vec4(0x7fffffffu)) > vec4(0x7f800000u);
    let low = vec4(params.qmin) - z;
    let high = vec4(params.qmax) - z;
    let steps = clamp(round(value * inv_scale), vec4<f32>(low), vec4<f32>(high));
    return select(vec4<i32>(steps), clamp(vec4(0), low, high), is_nan) + z;
}
