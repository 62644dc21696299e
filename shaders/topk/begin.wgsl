// state = (k, 0, 0, k == 0 ? nothing : searching), hist = 0
const WORKGROUP: u32 = 64u;
const BINS: u32 = 2048u;
const STATE: u32 = 4u;

struct Params { fill: u32 }
@group(0) @binding(0) var<storage, read> k: array<u32>;            // [1]
@group(0) @binding(1) var<storage, read_write> state: array<u32>;  // [STATE] remaining, magnitude, index, status
@group(0) @binding(2) var<storage, read_write> hist: array<u32>;   // [BINS]
@group(1) @binding(0) var<uniform> params: Params;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(local_invocation_index) local: u32) {
    for (var bin = local; bin < BINS; bin += WORKGROUP) {
        hist[bin] = params.fill;
    }
    if local < STATE {
        let status = select(0u, 2u, k[0] == 0u);
        var value = select(0u, status, local == 3u);
        value = select(value, k[0], local == 0u);
        state[local] = value;
    }
}
