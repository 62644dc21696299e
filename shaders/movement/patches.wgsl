// y[r, (i, j, c)] = x[n, oy·sy − top + i·dy, ox·sx − left + j·dx, c], (n, oy, ox) = at[r]; 0 outside of x
//# include common/index.wgsl
const WORKGROUP: u32 = 64u;
const EACH: u32 = 4u;  // elements of one invocation, WORKGROUP apart

struct Params {
    len: u32, height: u32, width: u32, channels: u32,
    out_height: u32, out_width: u32, kernel_height: u32, kernel_width: u32,
    stride: vec2<u32>, dilation: vec2<u32>,
    padding: vec2<i32>, images: u32,
}
@group(0) @binding(0) var<storage, read> x: array<f32>;        // [n, height, width, channels]
@group(0) @binding(1) var<storage, read> at: array<u32>;       // [rows]
@group(0) @binding(2) var<storage, read_write> y: array<f32>;  // [rows, kernel_height·kernel_width·channels]
@group(1) @binding(0) var<uniform> params: Params;

fn element(i: u32) -> f32 {
    var rest = i / params.channels;
    let channel = i - rest * params.channels;
    let above = rest / params.kernel_width;
    let tap_x = rest - above * params.kernel_width;
    let row = above / params.kernel_height;
    let tap_y = above - row * params.kernel_height;
    let place = at[row];
    rest = place / params.out_width;
    let out_x = place - rest * params.out_width;
    let image = rest / params.out_height;
    let out_y = rest - image * params.out_height;
    let in_y = i32(out_y * params.stride.x + tap_y * params.dilation.x) - params.padding.x;
    let in_x = i32(out_x * params.stride.y + tap_x * params.dilation.y) - params.padding.y;
    let inside = in_y >= 0 && in_x >= 0 && in_y < i32(params.height) && in_x < i32(params.width);
    if !inside || image >= params.images { return 0.0; }
    let pixel = (image * params.height + u32(in_y)) * params.width + u32(in_x);
    return x[pixel * params.channels + channel];
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32,
        @builtin(num_workgroups) groups: vec3<u32>) {
    let first = linear_id(group, 0u, groups, WORKGROUP * EACH) + local;
    for (var k = 0u; k < EACH; k++) {
        let i = first + k * WORKGROUP;
        if i >= params.len { break; }
        y[i] = element(i);
    }
}
