// y[n, oy, ox, c] = max over ky, kx of x[n, oy·STRIDE + ky − PADDING, ox·STRIDE + kx − PADDING, c], inside the image
//# include common/index.wgsl
//# include common/i8.wgsl
const WORKGROUP: u32 = 64u;
const KERNEL: i32 = 2i;
const STRIDE: i32 = 2i;
const PADDING: i32 = 0i;

// words of y in all; four channels to a word
struct Params { words: u32, height: i32, width: i32, c_words: u32, out_height: u32, out_width: u32 }
@group(0) @binding(0) var<storage, read> x: array<u32>;        // [n, h, w, c_words]
@group(0) @binding(1) var<storage, read_write> y: array<u32>;  // [n, oh, ow, c_words]
@group(1) @binding(0) var<uniform> params: Params;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32,
        @builtin(num_workgroups) groups: vec3<u32>) {
    let i = linear_id(group, local, groups, WORKGROUP);
    if i >= params.words { return; }
    let pixel = i / params.c_words;
    let line = pixel / params.out_width;
    let image = line / params.out_height;
    let top = i32(line - image * params.out_height) * STRIDE - PADDING;
    let left = i32(pixel - line * params.out_width) * STRIDE - PADDING;
    // Row padding is zero in every word of x, and stays the maximum of zeros.
    var best = vec4(-128);
    for (var iy = max(top, 0); iy < min(top + KERNEL, params.height); iy++) {
        for (var ix = max(left, 0); ix < min(left + KERNEL, params.width); ix++) {
            let at = u32((i32(image) * params.height + iy) * params.width + ix);
            best = max(best, lanes_i8(x[at * params.c_words + i % params.c_words]));
        }
    }
    y[i] = pack_i8(best);
}
