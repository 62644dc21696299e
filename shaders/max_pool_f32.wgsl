// y[n, oh, ow, c] = max over kh, kw of x[n, oh · STRIDE + kh − PADDING, ow · STRIDE + kw − PADDING, c]
// (what lies outside the image does not exist)
//# include common/index.wgsl
//# include common/halves.wgsl
const WORKGROUP: u32 = 64u;
const EACH: u32 = 4u;  // words of one invocation, WORKGROUP apart
const KERNEL: u32 = 2u;
const STRIDE: u32 = 2u;
const PADDING: u32 = 0u;
const IN_H: u32 = 4u;
const IN_W: u32 = 4u;
const OUT_H: u32 = 2u;
const OUT_W: u32 = 2u;
const CHANNELS: u32 = 3u;  // words of them

struct Params { len: u32 }
@group(0) @binding(0) var<storage, read> x: array<Word>;  // [n, IN_H, IN_W, CHANNELS]
@group(0) @binding(1) var<storage, read_write> y: array<Word>;  // [n, OUT_H, OUT_W, CHANNELS], len words
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
        var best: array<f32, HALVES>;
        var empty = true;
        for (var kh = 0u; kh < KERNEL; kh++) {
            // Rows and columns of padding wrap to huge numbers.
            let h = oh * STRIDE + kh - PADDING;
            if PADDING > 0u && h >= IN_H { continue; }
            for (var kw = 0u; kw < KERNEL; kw++) {
                let w = ow * STRIDE + kw - PADDING;
                if PADDING > 0u && w >= IN_W { continue; }
                let tap = x[((image + h) * IN_W + w) * CHANNELS + c];
                //# unroll
                for (var half = 0u; half < HALVES; half++) {
                    let value = half_of(tap, half);
                    best[half] = select(max(best[half], value), value, empty);
                }
                empty = false;
            }
        }
        var word = Word(0u);
        //# unroll
        for (var half = 0u; half < HALVES; half++) {
            word |= as_half(best[half], half);
        }
        y[i] = word;
    }
}
