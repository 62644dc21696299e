// Eight words that eight neighbours need: each loads one and shows it to the others.
struct Eight { a: vec4<u32>, b: vec4<u32> }

fn eight(first: u32, rest: u32, lane: u32) -> Eight {
    let mine = shared_word(first + (lane & 7u), rest);
    let octet = lane & ~7u;
    return Eight(
        vec4<u32>(subgroupShuffle(mine, octet), subgroupShuffle(mine, octet + 1u),
                  subgroupShuffle(mine, octet + 2u), subgroupShuffle(mine, octet + 3u)),
        vec4<u32>(subgroupShuffle(mine, octet + 4u), subgroupShuffle(mine, octet + 5u),
                  subgroupShuffle(mine, octet + 6u), subgroupShuffle(mine, octet + 7u)));
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32,
        @builtin(num_workgroups) groups: vec3<u32>, @builtin(subgroup_invocation_id) lane: u32) {
    run(linear_id(group, 0u, groups, 1u), local, lane);
}
