// Eight words that all neighbours need: every invocation loads them. `shared_word` is the kernel's.
struct Eight { a: vec4<u32>, b: vec4<u32> }

fn eight(first: u32, rest: u32, lane: u32) -> Eight {
    return Eight(
        vec4<u32>(shared_word(first, rest), shared_word(first + 1u, rest),
                  shared_word(first + 2u, rest), shared_word(first + 3u, rest)),
        vec4<u32>(shared_word(first + 4u, rest), shared_word(first + 5u, rest),
                  shared_word(first + 6u, rest), shared_word(first + 7u, rest)));
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32,
        @builtin(num_workgroups) groups: vec3<u32>) {
    run(linear_id(group, 0u, groups, 1u), local, local);
}
