// dx[n, h, w, c] = sum of dy[n, oh, ow, c] over the windows whose first maximum, in order of (kh, kw), is x[n, h, w, c]
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
@group(0) @binding(0) var<storage, read> x: array<f32>;  // [n, IN_H, IN_W, CHANNELS], len elements
@group(0) @binding(1) var<storage, read> dy: array<f32>;  // [n, OUT_H, OUT_W, CHANNELS]
@group(0) @binding(2) var<storage, read_write> dx: array<f32>;  // [n, IN_H, IN_W, CHANNELS]
@group(1) @binding(0) var<uniform> params: Params;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32,
        @builtin(num_workgroups) groups: vec3<u32>) {
    let first = linear_id(group, 0u, groups, WORKGROUP * EACH) + local;
    for (var k = 0u; k < EACH; k++) {
        let i = first + k * WORKGROUP;
        if i >= params.len { break; }
        let c = i % CHANNELS;
        let w = (i / CHANNELS) % IN_W;
        let h = (i / (CHANNELS * IN_W)) % IN_H;
        let n = i / (CHANNELS * IN_W * IN_H);
        let here = x[i];
        // The windows that contain (h, w): rows oh0 .. oh1, columns ow0 .. ow1.
        let oh0 = (max(h + PADDING + STRIDE, KERNEL) - KERNEL) / STRIDE;
        let ow0 = (max(w + PADDING + STRIDE, KERNEL) - KERNEL) / STRIDE;
        let oh1 = min((h + PADDING) / STRIDE + 1u, OUT_H);
        let ow1 = min((w + PADDING) / STRIDE + 1u, OUT_W);
        var sum = 0.0;
        for (var oh = oh0; oh < oh1; oh++) {
            for (var ow = ow0; ow < ow1; ow++) {
                var first_maximum = true;
                for (var kh = 0u; kh < KERNEL; kh++) {
                    let other_h = oh * STRIDE + kh - PADDING;
                    if PADDING > 0u && other_h >= IN_H { continue; }
                    for (var kw = 0u; kw < KERNEL; kw++) {
                        let other_w = ow * STRIDE + kw - PADDING;
                        if PADDING > 0u && other_w >= IN_W { continue; }
                        let other = x[((n * IN_H + other_h) * IN_W + other_w) * CHANNELS + c];
                        let earlier = other_h < h || (other_h == h && other_w < w);
                        first_maximum &= select(other <= here, other < here, earlier);
                    }
                }
                sum += select(0.0, dy[((n * OUT_H + oh) * OUT_W + ow) * CHANNELS + c], first_maximum);
            }
        }
        dx[i] = sum;
    }
}
