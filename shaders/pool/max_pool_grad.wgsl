// dx[n, h, w, c] = sum of dy[n, oh, ow, c] over the windows whose first maximum, in order of (kh, kw), is x[n, h, w, c]
// TILED (windows side by side, all whole): an invocation finds the maximum of one window and writes all of its dx.
// Else an invocation writes one element of dx: it looks at the windows that contain it.
//# include common/index.wgsl
//# include common/halves.wgsl
//# include common/window.wgsl
const WORKGROUP: u32 = 64u;
const EACH: u32 = 4u;  // items of one invocation, WORKGROUP apart
const TILED: bool = false;
const RELU: bool = false;  // nothing flows where x <= 0

struct Params { items: u32 }  // windows, those cut off by the border included, if TILED; else elements of dx
@group(0) @binding(0) var<storage, read> x: array<Word>;  // [n, IN_H, IN_W, WORDS]; HALVES is 1 unless TILED
@group(0) @binding(1) var<storage, read> dy: array<Word>;  // [n, OUT_H, OUT_W, WORDS]
@group(0) @binding(2) var<storage, read_write> dx: array<Word>;  // [n, IN_H, IN_W, WORDS]
@group(1) @binding(0) var<uniform> params: Params;

fn one_element(i: u32) {
    let c = i % WORDS;
    let w = (i / WORDS) % IN_W;
    let h = (i / (WORDS * IN_W)) % IN_H;
    let n = i / (WORDS * IN_W * IN_H);
    let here = half_of(x[i], 0u);
    // The windows that reach over (h, w).
    let at = vec2(h, w) + BEFORE;
    let first = (max(at + STRIDE, EXTENT) - EXTENT) / STRIDE;
    let end = min(at / STRIDE + vec2(1u), OUT);
    var sum = 0.0;
    for (var oh = first.x; oh < end.x; oh++) {
        for (var ow = first.y; ow < end.y; ow++) {
            // Between two taps there is none.
            if any((at - vec2(oh, ow) * STRIDE) % DILATION != vec2(0u)) { continue; }
            let tap = taps(vec2(oh, ow));
            var first_maximum = true;
            for (var kh = tap.x; kh < tap.z; kh++) {
                let other_h = oh * STRIDE_H + kh * DILATION_H - TOP;
                if CUT && other_h >= IN_H { continue; }
                for (var kw = tap.y; kw < tap.w; kw++) {
                    let other_w = ow * STRIDE_W + kw * DILATION_W - LEFT;
                    if CUT && other_w >= IN_W { continue; }
                    let other = half_of(x[((n * IN_H + other_h) * IN_W + other_w) * WORDS + c], 0u);
                    let earlier = other_h < h || (other_h == h && other_w < w);
                    first_maximum &= select(other <= here, other < here, earlier);
                }
            }
            let gradient = half_of(dy[((n * OUT_H + oh) * OUT_W + ow) * WORDS + c], 0u);
            sum += select(0.0, gradient, first_maximum);
        }
    }
    dx[i] = as_half(select(sum, 0.0, RELU && here <= 0.0), 0u);
}

const TILES_H: u32 = (IN_H + STRIDE_H - 1u) / STRIDE_H;
const TILES_W: u32 = (IN_W + STRIDE_W - 1u) / STRIDE_W;
const TAPS: u32 = KERNEL_H * KERNEL_W;

fn one_tile(i: u32) {
    let c = i % WORDS;
    let ow = (i / WORDS) % TILES_W;
    let oh = (i / (WORDS * TILES_W)) % TILES_H;
    let n = i / (WORDS * TILES_W * TILES_H);
    let image = n * IN_H * IN_W * WORDS + c;
    // What the border cuts off belongs to no window.
    let whole = oh < OUT_H && ow < OUT_W;
    var gradient = Word(0u);
    var first_maximum: array<u32, HALVES>;
    if whole {
        gradient = dy[((n * OUT_H + oh) * OUT_W + ow) * WORDS + c];
        var best: array<f32, HALVES>;
        for (var k = 0u; k < TAPS; k++) {
            let tap = x[image + ((oh * STRIDE_H + k / KERNEL_W) * IN_W + ow * STRIDE_W + k % KERNEL_W) * WORDS];
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
            first_maximum[half] = select(first_maximum[half], TAPS, RELU && best[half] <= 0.0);
        }
    }
    for (var k = 0u; k < TAPS; k++) {
        let h = oh * STRIDE_H + k / KERNEL_W;
        let w = ow * STRIDE_W + k % KERNEL_W;
        if h < IN_H && w < IN_W {
            var word = Word(0u);
            //# unroll
            for (var half = 0u; half < HALVES; half++) {
                word |= as_half(select(0.0, half_of(gradient, half), k == first_maximum[half]), half);
            }
            dx[image + (h * IN_W + w) * WORDS] = word;
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
