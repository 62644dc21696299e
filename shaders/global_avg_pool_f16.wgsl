// y[n, c] = 1 / (h · w) · sum over h, w of x[n, h, w, c]; two channels to a word, summed as f32.
// The padding of x is zero, so that of y is.
//# include common/index.wgsl
const WORKGROUP: u32 = 64u;

struct Params { words: u32, pixels: u32, channel_words: u32, inv_pixels: f32 }
@group(0) @binding(0) var<storage, read> x: array<u32>;  // f16 x 2 [n, pixels, channel_words]
@group(0) @binding(1) var<storage, read_write> y: array<u32>;  // f16 x 2 [n, channel_words], words in all
@group(1) @binding(0) var<uniform> params: Params;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32,
        @builtin(num_workgroups) groups: vec3<u32>) {
    let i = linear_id(group, local, groups, WORKGROUP);
    if i >= params.words { return; }
    let n = i / params.channel_words;
    var at = n * params.pixels * params.channel_words + i % params.channel_words;
    var sum = vec2<f32>();
    for (var pixel = 0u; pixel < params.pixels; pixel++) {
        sum += unpack2x16float(x[at]);
        at += params.channel_words;
    }
    y[i] = pack2x16float(sum * params.inv_pixels);
}
