// A team of LANES neighbours needs the same words: every invocation loads them. `shared_at` is the kernel's.
fn shared_mine(first: u32, lane: u32) -> Shared {
    return Shared(0u);
}

// Half `half` of Shared `e` of those that start at `first`.
fn shared_half(first: u32, e: u32, half: u32, mine: Shared, lane: u32) -> u32 {
    return u32(shared_at(first + e) >> (32u * half));
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32,
        @builtin(num_workgroups) groups: vec3<u32>) {
    run(linear_id(group, 0u, groups, 1u), local, local);
}
