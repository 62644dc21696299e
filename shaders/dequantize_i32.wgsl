// y[i] = f32(q[i] − zero_point[ch]) · scale[ch], ch = the channel of i
//# include common/index.wgsl
const WORKGROUP: u32 = 64u;

// elements; channels; elements from one channel to the next
struct Params { len: u32, channels: u32, inner: u32 }
@group(0) @binding(0) var<storage, read> q: array<i32>;           // [len]
@group(0) @binding(1) var<storage, read> scale: array<f32>;       // [channels]
@group(0) @binding(2) var<storage, read> zero_point: array<i32>;  // [channels]
@group(0) @binding(3) var<storage, read_write> y: array<f32>;     // [len]
@group(1) @binding(0) var<uniform> params: Params;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32,
        @builtin(num_workgroups) groups: vec3<u32>) {
    let i = linear_id(group, local, groups, WORKGROUP);
    if i >= params.len { return; }
    let ch = i / params.inner % params.channels;
    y[i] = f32(q[i] - zero_point[ch]) * scale[ch];
}
