// state[ch] moves towards the minimum and maximum of batch[ch], which then starts anew
//# include common/index.wgsl
//# include common/float_bits.wgsl
const WORKGROUP: u32 = 64u;

struct Params { channels: u32, constant: f32 }
@group(0) @binding(0) var<storage, read_write> batch: array<u32>;  // [channels, 4]: keys of min and max, counts
@group(0) @binding(1) var<storage, read_write> state: array<f32>;  // [channels, 3]: min, max, batches
@group(1) @binding(0) var<uniform> params: Params;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32,
        @builtin(num_workgroups) groups: vec3<u32>) {
    let ch = linear_id(group, local, groups, WORKGROUP);
    if ch >= params.channels { return; }
    let low_key = batch[4u * ch];
    let high_key = batch[4u * ch + 1u];
    if low_key <= high_key {
        let low = bitcast<f32>(bits_of_key(low_key));
        let high = bitcast<f32>(bits_of_key(high_key));
        let old_low = state[3u * ch];
        let old_high = state[3u * ch + 1u];
        let batches = state[3u * ch + 2u];
        state[3u * ch] = select(old_low + params.constant * (low - old_low), low, batches == 0.0);
        state[3u * ch + 1u] = select(old_high + params.constant * (high - old_high), high, batches == 0.0);
        state[3u * ch + 2u] = batches + 1.0;
    }
    batch[4u * ch] = 0xffffffffu;
    batch[4u * ch + 1u] = 0u;
    batch[4u * ch + 2u] = 0u;
    batch[4u * ch + 3u] = 0u;
}
