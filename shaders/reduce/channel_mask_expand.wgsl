// mask[o, c, i] = old[o, c, i] and kept[c]
//# include common/index.wgsl
const WORKGROUP: u32 = 64u;

struct Params { len: u32, channels: u32, inner: u32 }
@group(0) @binding(0) var<storage, read> kept: array<u32>;        // [ceil(channels / 32)]
@group(0) @binding(1) var<storage, read> old: array<u32>;         // [ceil(len / 32)]
@group(0) @binding(2) var<storage, read_write> mask: array<u32>;  // [ceil(len / 32)]
@group(1) @binding(0) var<uniform> params: Params;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32,
        @builtin(num_workgroups) groups: vec3<u32>) {
    let word = linear_id(group, local, groups, WORKGROUP);
    let first = word * 32u;
    if first >= params.len { return; }
    let count = min(32u, params.len - first);
    var channel = (first / params.inner) % params.channels;
    var i = first % params.inner;
    var bits = 0u;
    for (var j = 0u; j < count; j++) {
        bits |= ((kept[channel >> 5u] >> (channel & 31u)) & 1u) << j;
        i++;
        if i == params.inner {
            i = 0u;
            channel++;
            if channel == params.channels {
                channel = 0u;
            }
        }
    }
    mask[word] = old[word] & bits;
}
