// LANES neighbours share a row, and reach every barrier together. `run` and `params` are the kernel's.
//# include common/index.wgsl
const WORKGROUP: u32 = 64u;
const LANES: u32 = 64u;

var<workgroup> slots: array<f32, WORKGROUP>;

fn team_sum(value: f32, local: u32) -> f32 {
    slots[local] = value;
    workgroupBarrier();
    let first = local / LANES * LANES;
    var sum = 0.0;
    for (var lane = 0u; lane < LANES; lane++) { sum += slots[first + lane]; }
    workgroupBarrier();
    return sum;
}

fn team_max(value: f32, local: u32) -> f32 {
    slots[local] = value;
    workgroupBarrier();
    let first = local / LANES * LANES;
    var largest = slots[first];
    for (var lane = 1u; lane < LANES; lane++) { largest = max(largest, slots[first + lane]); }
    workgroupBarrier();
    return largest;
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32,
        @builtin(num_workgroups) groups: vec3<u32>) {
    let row = linear_id(group, local / LANES, groups, WORKGROUP / LANES);
    // A row too many repeats the last, and writes nothing.
    run(min(row, params.rows - 1u), row < params.rows, local % LANES, local);
}
