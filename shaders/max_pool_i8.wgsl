// y[n, oh, ow, c] = max over kh, kw of x[n, oh · STRIDE + kh − PADDING, ow · STRIDE + kw − PADDING, c]
// (what lies outside the image does not exist); four channels to a word. The padding of x is zero, so that of y is.
//# include common/index.wgsl
//# include common/i8.wgsl
const WORKGROUP: u32 = 64u;
const EACH: u32 = 4u;  // words of one invocation, WORKGROUP apart
const KERNEL: u32 = 2u;
const STRIDE: u32 = 2u;
const PADDING: u32 = 0u;
const IN_H: u32 = 4u;
const IN_W: u32 = 4u;
const OUT_H: u32 = 2u;
const OUT_W: u32 = 2u;
const CHANNEL_WORDS: u32 = 1u;

struct Params { words: u32 }
@group(0) @binding(0) var<storage, read> x: array<u32>;        // int8 x 4 [n, IN_H, IN_W, CHANNEL_WORDS]
@group(0) @binding(1) var<storage, read_write> y: array<u32>;  // int8 x 4 [n, OUT_H, OUT_W, CHANNEL_WORDS], words in all
@group(1) @binding(0) var<uniform> params: Params;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32,
        @builtin(num_workgroups) groups: vec3<u32>) {
    let first = linear_id(group, 0u, groups, WORKGROUP * EACH) + local;
    for (var k = 0u; k < EACH; k++) {
        let i = first + k * WORKGROUP;
        if i >= params.words { break; }
        let word = i % CHANNEL_WORDS;
        let ow = (i / CHANNEL_WORDS) % OUT_W;
        let oh = (i / (CHANNEL_WORDS * OUT_W)) % OUT_H;
        let image = i / (CHANNEL_WORDS * OUT_W * OUT_H) * IN_H;
        var best = vec4(-128);
        for (var kh = 0u; kh < KERNEL; kh++) {
            // Rows and columns of padding wrap to huge numbers.
            let h = oh * STRIDE + kh - PADDING;
            if PADDING > 0u && h >= IN_H { continue; }
            for (var kw = 0u; kw < KERNEL; kw++) {
                let w = ow * STRIDE + kw - PADDING;
                if PADDING > 0u && w >= IN_W { continue; }
                best = max(best, lanes_i8(x[((image + h) * IN_W + w) * CHANNEL_WORDS + word]));
            }
        }
        y[i] = pack_i8(best);
    }
}
