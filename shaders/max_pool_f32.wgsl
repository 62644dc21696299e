// y[n, oh, ow, c] = max over kh, kw of x[n, oh · STRIDE + kh − PADDING, ow · STRIDE + kw − PADDING, c]
// (what lies outside the image does not exist)
//# include common/index.wgsl
const WORKGROUP: u32 = 64u;
const EACH: u32 = 4u;  // elements of one invocation, WORKGROUP apart
const KERNEL: u32 = 2u;
const STRIDE: u32 = 2u;
const PADDING: u32 = 0u;
const IN_H: u32 = 4u;
const IN_W: u32 = 4u;
const OUT_H: u32 = 2u;
const OUT_W: u32 = 2u;
const CHANNELS: u32 = 3u;

struct Params { len: u32 }
@group(0) @binding(0) var<storage, read> x: array<f32>;  // [n, IN_H, IN_W, CHANNELS]
@group(0) @binding(1) var<storage, read_write> y: array<f32>;  // [n, OUT_H, OUT_W, CHANNELS], len elements
@group(1) @binding(0) var<uniform> params: Params;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32,
        @builtin(num_workgroups) groups: vec3<u32>) {
    let first = linear_id(group, 0u, groups, WORKGROUP * EACH) + local;
    for (var k = 0u; k < EACH; k++) {
        let i = first + k * WORKGROUP;
        if i >= params.len { break; }
        let c = i % CHANNELS;
        let ow = (i / CHANNELS) % OUT_W;
        let oh = (i / (CHANNELS * OUT_W)) % OUT_H;
        let image = i / (CHANNELS * OUT_W * OUT_H) * IN_H;
        var best = 0.0;
        var empty = true;
        for (var kh = 0u; kh < KERNEL; kh++) {
            // Rows and columns of padding wrap to huge numbers.
            let h = oh * STRIDE + kh - PADDING;
            if PADDING > 0u && h >= IN_H { continue; }
            for (var kw = 0u; kw < KERNEL; kw++) {
                let w = ow * STRIDE + kw - PADDING;
                if PADDING > 0u && w >= IN_W { continue; }
                let tap = x[((image + h) * IN_W + w) * CHANNELS + c];
                best = select(max(best, tap), tap, empty);
                empty = false;
            }
        }
        y[i] = best;
    }
}
