// d = the digit in which the `remaining`-th smallest key lies; state narrows to it; hist = 0
const WORKGROUP: u32 = 256u;
const BINS: u32 = 2048u;
const PER_INVOCATION: u32 = BINS / WORKGROUP;
const BY_INDEX: bool = false;

struct Params { shift: u32 }
@group(0) @binding(0) var<storage, read_write> state: array<u32>;  // [4] remaining, magnitude, index, status
@group(0) @binding(1) var<storage, read_write> hist: array<u32>;   // [BINS]
@group(1) @binding(0) var<uniform> params: Params;

var<workgroup> sums: array<u32, WORKGROUP>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(local_invocation_index) local: u32) {
    let remaining = state[0];
    let searching = state[3] == 0u;
    let first = local * PER_INVOCATION;
    var counts: array<u32, PER_INVOCATION>;
    var sum = 0u;
    for (var j = 0u; j < PER_INVOCATION; j++) {
        counts[j] = hist[first + j];
        sum += counts[j];
        hist[first + j] = 0u;
    }
    sums[local] = sum;
    // Everybody has read the state before anybody writes it.
    storageBarrier();
    workgroupBarrier();
    var before = 0u;
    for (var other = 0u; other < local; other++) {
        before += sums[other];
    }
    if !searching { return; }
    if before < remaining && remaining <= before + sum {
        var bin = 0u;
        var rank = remaining - before;
        while rank > counts[bin] {
            rank -= counts[bin];
            bin++;
        }
        // All of the bin goes: whatever the lower digits are.
        let whole = rank == counts[bin];
        let low = select(0u, (1u << params.shift) - 1u, whole);
        let digit = ((first + bin) << params.shift) | low;
        state[0] = rank;
        if BY_INDEX {
            state[2] |= digit;
        } else {
            state[1] |= digit;
            state[2] = select(0u, 0xffffffffu, whole);
        }
        state[3] = u32(whole);
    } else if local == WORKGROUP - 1u && before + sum < remaining {
        // More than there are: all of them.
        state[1] = 0x7fffffffu;
        state[2] = 0xffffffffu;
        state[3] = 1u;
    }
}
