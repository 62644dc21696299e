// state[ch] takes in the minimum, the maximum and the counts of channel ch of x; one workgroup per chunk of it
//# include common/index.wgsl
//# include common/float_bits.wgsl
const WORKGROUP: u32 = 64u;
const CONTIGUOUS: bool = false;     // the elements of a channel lie side by side
// Channels are the last axis, and many: neighbours in the workgroup own neighbouring channels.
const LAST: bool = false;
const EACH: u32 = 4u;  // elements that an invocation loads at once

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

fn add(ch: u32, least: u32, most: u32, finite: u32, others: u32) {
    atomicMin(&state[4u * ch], least);
    atomicMax(&state[4u * ch + 1u], most);
    atomicAdd(&state[4u * ch + 2u], finite);
    atomicAdd(&state[4u * ch + 3u], others);
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32,
        @builtin(num_workgroups) groups: vec3<u32>) {
    // The fold of the grid may launch a few groups too many: they see nothing and add nothing.
    let job = linear_id(group, 0u, groups, 1u);
    let tiles = select(params.channels, (params.channels + WORKGROUP - 1u) / WORKGROUP, LAST);
    let chunk = job / tiles;
    let tile = job - chunk * tiles;
    let ch = select(tile, min(tile * WORKGROUP + local, params.channels - 1u), LAST);
    let end = select(0u, min((chunk + 1u) * params.chunk, params.len), chunk < params.chunks);

    var least = 0xffffffffu;
    var most = 0u;
    var finite = 0u;
    var others = 0u;
    let step = select(WORKGROUP, 1u, LAST);
    for (var at = chunk * params.chunk + select(local, 0u, LAST); at < end; at += EACH * step) {
        //# registers
        var words: array<u32, EACH>;
        //# unroll
        for (var k = 0u; k < EACH; k++) {
            let e = min(at + k * step, params.len - 1u);
            var i = ch * params.inner + e;
            if LAST {
                i = e * params.channels + ch;
            } else if !CONTIGUOUS {
                let row = e / params.inner;
                i = (row * params.channels + ch) * params.inner + (e - row * params.inner);
            }
            words[k] = x[i];
        }
        //# unroll
        for (var k = 0u; k < EACH; k++) {
            let inside = at + k * step < end;
            let key = key_of(words[k]);
            let usable = inside && is_finite(words[k]);
            least = min(least, select(0xffffffffu, key, usable));
            most = max(most, select(0u, key, usable));
            finite += select(0u, 1u, usable);
            others += select(0u, 1u, inside && !usable);
        }
    }
    if LAST {
        if tile * WORKGROUP + local < params.channels && chunk < params.chunks {
            add(ch, least, most, finite, others);
        }
        return;
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
        add(ch, atomicLoad(&low), atomicLoad(&high), atomicLoad(&finite_count), atomicLoad(&other_count));
    }
}
