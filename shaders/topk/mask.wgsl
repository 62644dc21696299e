// mask[i] = old[i] and not (status = found and (|w_i| bits, offset + i) ≤ (magnitude, index))
//# include common/index.wgsl
//# include common/halves.wgsl
//# include common/magnitudes.wgsl
const WORKGROUP: u32 = 64u;

struct Params { len: u32, offset: u32 }
@group(0) @binding(0) var<storage, read> w: array<Word>;          // [len] f32
@group(0) @binding(1) var<storage, read> old: array<u32>;         // [ceil(len / 32)]
@group(0) @binding(2) var<storage, read> state: array<u32>;       // [4] remaining, magnitude, index, status
@group(0) @binding(3) var<storage, read_write> mask: array<u32>;  // [ceil(len / 32)]
@group(1) @binding(0) var<uniform> params: Params;

// Bits 0 and 1: elements i and i + 1 go, i even.
fn go(i: u32, magnitude: u32, index: u32) -> u32 {
    let key = magnitudes(i);
    let at = vec2(params.offset + i) + vec2(0u, 1u);
    let goes = (key < vec2(magnitude)) | ((key == vec2(magnitude)) & (at <= vec2(index)));
    return select(0u, 1u, goes.x) | select(0u, 2u, goes.y);
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
            let byte = go(i, magnitude, index) | (go(i + 2u, magnitude, index) << 2u)
                | (go(i + 4u, magnitude, index) << 4u) | (go(i + 6u, magnitude, index) << 6u);
            pruned |= byte << j;
        }
        kept &= ~pruned;
    }
    mask[word] = kept;
}
