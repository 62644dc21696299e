// A team of LANES neighbours needs the same words: each loads one and shows it to the others.
fn shared_mine(first: u32, lane: u32) -> Shared {
    return shared_at(first + (lane & (LANES - 1u)));
}

// Half `half` of Shared `e` of those that start at `first`.
fn shared_half(first: u32, e: u32, half: u32, mine: Shared, lane: u32) -> u32 {
    return subgroupShuffle(u32(mine >> (32u * half)), (lane & ~(LANES - 1u)) + e);
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32,
        @builtin(num_workgroups) groups: vec3<u32>, @builtin(subgroup_invocation_id) lane: u32) {
    run(linear_id(group, 0u, groups, 1u), local, lane);
}
