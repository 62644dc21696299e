// mask[i] = old[i] and not (status = found and (|w_i| bits, offset + i) ≤ (magnitude, index))
//# include common/index.wgsl
const WORKGROUP: u32 = 64u;

struct Params { len: u32, offset: u32 }
// Read as bits: neither subnormals nor NaNs may change on the way.
@group(0) @binding(0) var<storage, read> w: array<u32>;           // [len] f32
@group(0) @binding(1) var<storage, read> old: array<u32>;         // [ceil(len / 32)]
@group(0) @binding(2) var<storage, read> state: array<u32>;       // [4] remaining, magnitude, index, status
@group(0) @binding(3) var<storage, read_write> mask: array<u32>;  // [ceil(len / 32)]
@group(1) @binding(0) var<uniform> params: Params;

// Bit 0: element i goes.
fn goes(i: u32, magnitude: u32, index: u32) -> u32 {
    let key = w[min(i, params.len - 1u)] & 0x7fffffffu;
    return u32(key < magnitude || (key == magnitude && params.offset + i <= index));
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32,
        @builtin(num_workgroups) groups: vec3<u32>) {
    let word = linear_id(group, local, groups, WORKGROUP);
    let first = word * 32u;
    if first >= params.len { return; }
    let count = min(32u, params.len - first);
    var kept = old[word] & (0xffffffffu >> (32u - count));
    if state[3] == 1u && kept != 0u {
        let magnitude = state[1];
        let index = state[2];
        var pruned = 0u;
        for (var j = 0u; j < 32u; j += 8u) {
            let i = first + j;
            var byte = goes(i, magnitude, index);
            byte |= goes(i + 1u, magnitude, index) << 1u;
            byte |= goes(i + 2u, magnitude, index) << 2u;
            byte |= goes(i + 3u, magnitude, index) << 3u;
            byte |= goes(i + 4u, magnitude, index) << 4u;
            byte |= goes(i + 5u, magnitude, index) << 5u;
            byte |= goes(i + 6u, magnitude, index) << 6u;
            byte |= goes(i + 7u, magnitude, index) << 7u;
            pruned |= byte << j;
        }
        kept &= ~pruned;
    }
    mask[word] = kept;
}
