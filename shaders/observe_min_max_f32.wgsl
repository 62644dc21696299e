// state[ch] takes in the minimum, the maximum and the counts of channel ch of x; one workgroup per chunk of it
//# include common/index.wgsl
//# include common/float_bits.wgsl
const WORKGROUP: u32 = 64u;
const CONTIGUOUS: bool = false;     // the elements of a channel lie side by side

struct Params {
    channels: u32,
    inner: u32,                     // neighbours that share a channel
    len: u32,                       // elements of a channel
    chunk: u32,                     // elements of a chunk
    chunks: u32,
}
@group(0) @binding(0) var<storage, read> x: array<u32>;                    // [outer, channels, inner], bits of f32
@group(0) @binding(1) var<storage, read_write> state: array<atomic<u32>>;  // [channels, 4]: min, max, finite, others
@group(1) @binding(0) var<uniform> params: Params;

var<workgroup> low: atomic<u32>;
var<workgroup> high: atomic<u32>;
var<workgroup> finite_count: atomic<u32>;
var<workgroup> other_count: atomic<u32>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32,
        @builtin(num_workgroups) groups: vec3<u32>) {
    // The fold of the grid may launch a few groups too many: they see nothing and add nothing.
    let job = linear_id(group, 0u, groups, 1u);
    let chunk = job / params.channels;
    let ch = job - chunk * params.channels;
    let end = select(0u, min((chunk + 1u) * params.chunk, params.len), chunk < params.chunks);

    var least = 0xffffffffu;
    var most = 0u;
    var finite = 0u;
    var others = 0u;
    for (var e = chunk * params.chunk + local; e < end; e += WORKGROUP) {
        var i = ch * params.inner + e;
        if !CONTIGUOUS {
            let row = e / params.inner;
            i = (row * params.channels + ch) * params.inner + (e - row * params.inner);
        }
        let bits = x[i];
        let key = key_of(bits);
        let usable = is_finite(bits);
        least = min(least, select(0xffffffffu, key, usable));
        most = max(most, select(0u, key, usable));
        finite += select(0u, 1u, usable);
        others += select(1u, 0u, usable);
    }
    if local == 0u {
        atomicStore(&low, 0xffffffffu);
        atomicStore(&high, 0u);
        atomicStore(&finite_count, 0u);
        atomicStore(&other_count, 0u);
    }
    workgroupBarrier();
    atomicMin(&low, least);
    atomicMax(&high, most);
    atomicAdd(&finite_count, finite);
    atomicAdd(&other_count, others);
    workgroupBarrier();
    if local == 0u && chunk < params.chunks {
        atomicMin(&state[4u * ch], atomicLoad(&low));
        atomicMax(&state[4u * ch + 1u], atomicLoad(&high));
        atomicAdd(&state[4u * ch + 2u], atomicLoad(&finite_count));
        atomicAdd(&state[4u * ch + 3u], atomicLoad(&other_count));
    }
}
