// An invocation takes ROWS consecutive rows of one channel, which it prepares once. `run` and `params` are the kernel's.
//# include common/index.wgsl
const WORKGROUP: u32 = 64u;
const ROWS: u32 = 8u;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32,
        @builtin(num_workgroups) groups: vec3<u32>) {
    let id = linear_id(group, local, groups, WORKGROUP);
    let row = id / params.channels * ROWS;
    if row >= params.rows { return; }
    let c = id % params.channels;
    run(c, row * params.channels + c, min(row + ROWS, params.rows) * params.channels);
}
