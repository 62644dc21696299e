// dx[n, h, w, c] = dy[n, c] / (h · w)
//# include common/index.wgsl
const WORKGROUP: u32 = 64u;
const EACH: u32 = 4u;  // elements of one invocation, WORKGROUP apart
const PIXELS: u32 = 4u;    // h · w
const CHANNELS: u32 = 3u;

struct Params { len: u32, inv_pixels: f32 }
@group(0) @binding(0) var<storage, read> dy: array<f32>;  // [n, CHANNELS]
@group(0) @binding(1) var<storage, read_write> dx: array<f32>;  // [n, PIXELS, CHANNELS], len elements
@group(1) @binding(0) var<uniform> params: Params;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32,
        @builtin(num_workgroups) groups: vec3<u32>) {
    let first = linear_id(group, 0u, groups, WORKGROUP * EACH) + local;
    for (var k = 0u; k < EACH; k++) {
        let i = first + k * WORKGROUP;
        if i >= params.len { break; }
        dx[i] = dy[i / (PIXELS * CHANNELS) * CHANNELS + i % CHANNELS] * params.inv_pixels;
    }
}
