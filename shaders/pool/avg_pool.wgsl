// y[n, oh, ow, c] = 1 / count · sum over the taps inside the image of x[n, h, w, c], in f32
// The padding of a word is zero in x, and hence in y.
//# include common/index.wgsl
//# include common/window.wgsl
//# part lanes common/lanes_f32.wgsl
const WORKGROUP: u32 = 64u;

struct Params { words: u32 }
@group(0) @binding(0) var<storage, read> x: array<Word>;  // [n, IN_H, IN_W, WORDS]
@group(0) @binding(1) var<storage, read_write> y: array<Word>;  // [n, OUT_H, OUT_W, WORDS], words in all
@group(1) @binding(0) var<uniform> params: Params;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32,
        @builtin(num_workgroups) groups: vec3<u32>) {
    let i = linear_id(group, local, groups, WORKGROUP);
    if i >= params.words { return; }
    let window = vec2((i / (WORDS * OUT_W)) % OUT_H, (i / WORDS) % OUT_W);
    let image = i / (WORDS * OUT_W * OUT_H) * IN_H;
    let tap = taps(window);
    var sum = lanes(Word(0u));
    for (var kh = tap.x; kh < tap.z; kh++) {
        let h = window.x * STRIDE_H + kh * DILATION_H - TOP;
        if CUT && h >= IN_H { continue; }
        for (var kw = tap.y; kw < tap.w; kw++) {
            let w = window.y * STRIDE_W + kw * DILATION_W - LEFT;
            if CUT && w >= IN_W { continue; }
            sum += lanes(x[((image + h) * IN_W + w) * WORDS + i % WORDS]);
        }
    }
    y[i] = packed(sum / f32(counted(window)));
}
