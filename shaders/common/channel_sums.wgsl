// A workgroup owns CHANNELS neighbours; LANES invocations share the rows of each. `run` and `params` are the kernel's.
const CHANNELS: u32 = 8u;
const LANES: u32 = 32u;

var<workgroup> slots: array<vec2<f32>, CHANNELS * LANES>;

// The sum over the lanes of a channel, the same for all of them: one barrier instead of a tree.
fn over_lanes(value: vec2<f32>, local: vec3<u32>) -> vec2<f32> {
    slots[local.y * CHANNELS + local.x] = value;
    workgroupBarrier();
    var sum = vec2<f32>();
    for (var lane = 0u; lane < LANES; lane++) { sum += slots[lane * CHANNELS + local.x]; }
    workgroupBarrier();
    return sum;
}

@compute @workgroup_size(CHANNELS, LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>,
        @builtin(num_workgroups) groups: vec3<u32>) {
    let c = (group.y * groups.x + group.x) * CHANNELS + local.x;
    // A channel too many has no rows; it must still reach the barriers.
    run(min(c, params.channels - 1u), select(0u, params.rows, c < params.channels), local);
}
