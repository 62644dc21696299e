// dx[n, h, w, c] = sum of dy[n, oh, ow, c] over the windows whose first maximum, in order of (kh, kw), is x[n, h, w, c]
// TILED (STRIDE = KERNEL, no PADDING): an invocation finds the maximum of one window and writes all of its dx.
// Else an invocation writes one element of dx: it looks at the windows that contain it.
//# include common/index.wgsl
//# include common/halves.wgsl
const WORKGROUP: u32 = 64u;
const EACH: u32 = 4u;  // items of one invocation, WORKGROUP apart
const TILED: bool = false;
const KERNEL: u32 = 2u;
const STRIDE: u32 = 2u;
const PADDING: u32 = 0u;
const IN_H: u32 = 4u;
const IN_W: u32 = 4u;
const OUT_H: u32 = 2u;
const OUT_W: u32 = 2u;
const CHANNELS: u32 = 3u;  // words of them: HALVES is 1 unless TILED
const RELU: bool = false;  // nothing flows where x <= 0

struct Params { items: u32 }  // windows, those cut off by the border included, if TILED; else elements of dx
@group(0) @binding(0) var<storage, read> x: array<Word>;  // [n, IN_H, IN_W, CHANNELS]
@group(0) @binding(1) var<storage, read> dy: array<Word>;  // [n, OUT_H, OUT_W, CHANNELS]
@group(0) @binding(2) var<storage, read_write> dx: array<Word>;  // [n, IN_H, IN_W, CHANNELS]
@group(1) @binding(0) var<uniform> params: Params;

fn one_element(i: u32) {
    let c = i % CHANNELS;
    let w = (i / CHANNELS) % IN_W;
    let h = (i / (CHANNELS * IN_W)) % IN_H;
    let n = i / (CHANNELS * IN_W * IN_H);
    let here = half_of(x[i], 0u);
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
                    let other = half_of(x[((n * IN_H + other_h) * IN_W + other_w) * CHANNELS + c], 0u);
                    let earlier = other_h < h || (other_h == h && other_w < w);
                    first_maximum &= select(other <= here, other < here, earlier);
                }
            }
            let gradient = half_of(dy[((n * OUT_H + oh) * OUT_W + ow) * CHANNELS + c], 0u);
            sum += select(0.0, gradient, first_maximum);
        }
    }
    dx[i] = as_half(select(sum, 0.0, RELU && here <= 0.0), 0u);
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
    var gradient = Word(0u);
    var first_maximum: array<u32, HALVES>;
    if whole {
        gradient = dy[((n * OUT_H + oh) * OUT_W + ow) * CHANNELS + c];
        var best: array<f32, HALVES>;
        for (var k = 0u; k < KERNEL * KERNEL; k++) {
            let tap = x[image + ((oh * STRIDE + k / KERNEL) * IN_W + ow * STRIDE + k % KERNEL) * CHANNELS];
            //# unroll
            for (var half = 0u; half < HALVES; half++) {
                let value = half_of(tap, half);
                let larger = k == 0u || value > best[half];
                best[half] = select(best[half], value, larger);
                first_maximum[half] = select(first_maximum[half], k, larger);
            }
        }
        //# unroll
        for (var half = 0u; half < HALVES; half++) {
            // No tap: nothing flows.
            first_maximum[half] = select(first_maximum[half], KERNEL * KERNEL, RELU && best[half] <= 0.0);
        }
    }
    for (var k = 0u; k < KERNEL * KERNEL; k++) {
        let h = oh * STRIDE + k / KERNEL;
        let w = ow * STRIDE + k % KERNEL;
        if h < IN_H && w < IN_W {
            var word = Word(0u);
            //# unroll
            for (var half = 0u; half < HALVES; half++) {
                word |= as_half(select(0.0, half_of(gradient, half), k == first_maximum[half]), half);
            }
            dx[image + (h * IN_W + w) * CHANNELS] = word;
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
