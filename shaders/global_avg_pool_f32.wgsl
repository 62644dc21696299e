// y[n, c] = 1 / (h · w) · sum over h, w of x[n, h, w, c]
//# include common/index.wgsl
const WORKGROUP: u32 = 64u;

struct Params { len: u32, pixels: u32, channels: u32, inv_pixels: f32 }
@group(0) @binding(0) var<storage, read> x: array<f32>;  // [n, pixels, channels]
@group(0) @binding(1) var<storage, read_write> y: array<f32>;  // [n, channels], len elements
@group(1) @binding(0) var<uniform> params: Params;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32,
        @builtin(num_workgroups) groups: vec3<u32>) {
    let i = linear_id(group, local, groups, WORKGROUP);
    if i >= params.len { return; }
    let n = i / params.channels;
    var at = n * params.pixels * params.channels + i % params.channels;
    var sum = 0.0;
    for (var pixel = 0u; pixel < params.pixels; pixel++) {
        sum += x[at];
        at += params.channels;
    }
    y[i] = sum * params.inv_pixels;
}
