// dx[n, h, w, c] = sum of dy[n, oh, ow, c] over the windows whose first maximum, in order of (kh, kw), is x[n, h, w, c]
// TILED (STRIDE = KERNEL, no PADDING): an invocation finds the maximum of one window and writes all of its dx.
// Else an invocation writes one element of dx: it looks at the windows that contain it.
//# include common/index.wgsl
const WORKGROUP: u32 = 64u;
const EACH: u32 = 4u;  // elements of one invocation, WORKGROUP apart
const TILED: bool = false;
const KERNEL: u32 = 2u;
const STRIDE: u32 = 2u;
const PADDING: u32 = 0u;
const IN_H: u32 = 4u;
const IN_W: u32 = 4u;
const OUT_H: u32 = 2u;
const OUT_W: u32 = 2u;
const CHANNELS: u32 = 3u;
const RELU: bool = false;  // nothing flows where x <= 0

struct Params { items: u32 }  // windows, those cut off by the border included, if TILED; else elements of dx
@group(0) @binding(0) var<storage, read> x: array<f32>;  // [n, IN_H, IN_W, CHANNELS]
@group(0) @binding(1) var<storage, read> dy: array<f32>;  // [n, OUT_H, OUT_W, CHANNELS]
@group(0) @binding(2) var<storage, read_write> dx: array<f32>;  // [n, IN_H, IN_W, CHANNELS]
@group(1) @binding(0) var<uniform> params: Params;

fn one_element(i: u32) {
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
    dx[i] = select(sum, 0.0, RELU && here <= 0.0);
}

const TILES_H: u32 = (IN_H + STRIDE - 1u) / STRIDE;
const TILES_W: u32 = (IN_W + STRIDE - 1u) / STRIDE;

fn one_tile(i: u32) {
    let c = i % CHANNELS;
    let ow = (i / CHANNELS) % TILES_W;
    let oh = (i / (CHANNELS * TILES_W)) % TILES_H;
    let n = i / (CHANNELS * TILES_W * TILES_H);
    let image = n * IN_H * IN_W * CHANNELS + c;
    // What the border cuts off belongs to no window.
    let whole = oh < OUT_H && ow < OUT_W;
    var gradient = 0.0;
    var first_maximum = 0u;
    if whole {
        gradient = dy[((n * OUT_H + oh) * OUT_W + ow) * CHANNELS + c];
        var best = 0.0;
        for (var k = 0u; k < KERNEL * KERNEL; k++) {
            let tap = x[image + ((oh * STRIDE + k / KERNEL) * IN_W + ow * STRIDE + k % KERNEL) * CHANNELS];
            if k == 0u || tap > best {
                best = tap;
                first_maximum = k;
            }
        }
        gradient = select(gradient, 0.0, RELU && best <= 0.0);
    }
    for (var k = 0u; k < KERNEL * KERNEL; k++) {
        let h = oh * STRIDE + k / KERNEL;
        let w = ow * STRIDE + k % KERNEL;
        if h < IN_H && w < IN_W {
            dx[image + (h * IN_W + w) * CHANNELS] = select(0.0, gradient, k == first_maximum);
        }
    }
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32,
        @builtin(num_workgroups) groups: vec3<u32>) {
    let first = linear_id(group, 0u, groups, WORKGROUP * EACH) + local;
    for (var k = 0u; k < EACH; k++) {
        let i = first + k * WORKGROUP;
        if i >= params.items { break; }
        if TILED {
            one_tile(i);
        } else {
            one_element(i);
        }
    }
}
