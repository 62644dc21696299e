// dx[i] = dy[i] where QMIN <= round(x[i] · inv_scale[ch]) + zero_point[ch] <= QMAX, else 0
//# include common/index.wgsl
//# include common/fake_quant.wgsl
const WORKGROUP: u32 = 64u;
const STRIP: u32 = 4u;              // elements of one invocation, WORKGROUP apart
const PER_CHANNEL: bool = true;
const QMIN: i32 = -128i;
const QMAX: i32 = 127i;

struct Params {
    len: u32,
    channels: u32,
    inner: u32,                     // neighbours that share a channel
    step_channels: u32,             // WORKGROUP / inner % channels
    step_inner: u32,                // WORKGROUP % inner
}
@group(0) @binding(0) var<storage, read> x: array<f32>;           // [len] = [outer, channels, inner]
@group(0) @binding(1) var<storage, read> inv_scale: array<f32>;   // [channels]
@group(0) @binding(2) var<storage, read> zero_point: array<i32>;  // [channels]
@group(0) @binding(3) var<storage, read> dy: array<f32>;          // [len]
@group(0) @binding(4) var<storage, read_write> dx: array<f32>;    // [len]
@group(1) @binding(0) var<uniform> params: Params;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32,
        @builtin(num_workgroups) groups: vec3<u32>) {
    var i = linear_id(group, 0u, groups, WORKGROUP * STRIP) + local;
    var ch = 0u;
    var at = 0u;                    // position within the run of `inner` neighbours
    if PER_CHANNEL {
        let row = i / params.inner;
        at = i - row * params.inner;
        ch = row % params.channels;
    }
    var z = zero_point[ch];
    var inv = inv_scale[ch];
    for (var n = 0u; n < STRIP; n++) {
        if i < params.len {
            let u = unclamped(x[i], inv, z);
            dx[i] = select(0.0, dy[i], u >= QMIN && u <= QMAX);
        }
        i += WORKGROUP;
        if PER_CHANNEL {            // the division above, carried along
            let before = ch;
            at += params.step_inner;
            ch += params.step_channels;
            if at >= params.inner { at -= params.inner; ch++; }
            if ch >= params.channels { ch -= params.channels; }
            if ch != before {
                z = zero_point[ch];
                inv = inv_scale[ch];
            }
        }
    }
}
