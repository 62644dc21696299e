// y[c] = ‖w[.., c, ..]‖: sum of |w|, square root of the sum of w², or the largest |w|
const WORKGROUP: u32 = 64u;
// 1: L1, 2: L2, 0: largest
const NORM: u32 = 2u;

// w is [outer, channels, inner]; one workgroup takes one channel, its invocations go round the
// outer · inner elements in steps of WORKGROUP = step_outer · inner + step_inner.
struct Params { channels: u32, outer: u32, inner: u32, step_outer: u32, step_inner: u32 }
@group(0) @binding(0) var<storage, read> w: array<f32>;        // [outer, channels, inner]
@group(0) @binding(1) var<storage, read_write> y: array<f32>;  // [channels]
@group(1) @binding(0) var<uniform> params: Params;

// Bits of f32.
var<workgroup> partial: array<u32, WORKGROUP>;

// Magnitudes order as their bits do, NaN last.
fn combine(a: u32, b: u32) -> u32 {
    if NORM == 0u {
        return max(a, b);
    }
    return bitcast<u32>(bitcast<f32>(a) + bitcast<f32>(b));
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32,
        @builtin(num_workgroups) groups: vec3<u32>) {
    let channel = group.y * groups.x + group.x;
    if channel >= params.channels { return; }
    let row = params.channels * params.inner;
    var o = local / params.inner;
    var i = local % params.inner;
    var sum = 0.0;
    var largest = 0u;
    while o < params.outer {
        let x = w[o * row + channel * params.inner + i];
        if NORM == 0u {
            largest = max(largest, bitcast<u32>(x) & 0x7fffffffu);
        } else if NORM == 1u {
            sum += abs(x);
        } else {
            sum += x * x;
        }
        o += params.step_outer;
        i += params.step_inner;
        if i >= params.inner {
            i -= params.inner;
            o += 1u;
        }
    }
    partial[local] = select(bitcast<u32>(sum), largest, NORM == 0u);
    workgroupBarrier();
    for (var half = WORKGROUP / 2u; half > 0u; half /= 2u) {
        if local < half {
            partial[local] = combine(partial[local], partial[local + half]);
        }
        workgroupBarrier();
    }
    if local == 0u {
        let total = bitcast<f32>(partial[0]);
        if NORM == 2u {
            y[channel] = sqrt(total);
        } else {
            y[channel] = total;
        }
    }
}
