// The linear index of an invocation in a 1-D grid that the host folded into two dimensions.
fn linear_id(workgroup: vec3<u32>, local: u32, groups: vec3<u32>, group_size: u32) -> u32 {
    return (workgroup.y * groups.x + workgroup.x) * group_size + local;
}
