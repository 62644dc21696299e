// dx[n, h, w, c] = sum of dy[n, oh, ow, c] / count over the windows with a tap on (h, w)
//# include common/index.wgsl
//# include common/window.wgsl
const WORKGROUP: u32 = 64u;
const EACH: u32 = 4u;  // elements of one invocation, WORKGROUP apart

struct Params { len: u32 }
@group(0) @binding(0) var<storage, read> dy: array<f32>;  // [n, OUT_H, OUT_W, WORDS]
@group(0) @binding(1) var<storage, read_write> dx: array<f32>;  // [n, IN_H, IN_W, WORDS], len elements
@group(1) @binding(0) var<uniform> params: Params;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32,
        @builtin(num_workgroups) groups: vec3<u32>) {
    let start = linear_id(group, 0u, groups, WORKGROUP * EACH) + local;
    for (var k = 0u; k < EACH; k++) {
        let i = start + k * WORKGROUP;
        if i >= params.len { break; }
        let at = vec2((i / (WORDS * IN_W)) % IN_H, (i / WORDS) % IN_W) + BEFORE;
        let image = i / (WORDS * IN_W * IN_H) * OUT_H;
        let first = (max(at + STRIDE, EXTENT) - EXTENT) / STRIDE;
        let end = min(at / STRIDE + vec2(1u), OUT);
        var sum = 0.0;
        for (var oh = first.x; oh < end.x; oh++) {
            for (var ow = first.y; ow < end.y; ow++) {
                let window = vec2(oh, ow);
                // Between two taps there is none.
                if any((at - window * STRIDE) % DILATION != vec2(0u)) { continue; }
                sum += dy[((image + oh) * OUT_W + ow) * WORDS + i % WORDS] / f32(counted(window));
            }
        }
        dx[i] = sum;
    }
}
