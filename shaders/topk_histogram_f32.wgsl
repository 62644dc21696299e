// hist[digit(key_i)] += 1 over the unpruned i whose key agrees with the state on all higher digits
const WORKGROUP: u32 = 256u;
const BINS: u32 = 2048u;
// The digit is one of the index, hence the magnitude is fixed; otherwise it is one of the magnitude.
const BY_INDEX: bool = false;
// The highest digit: every unpruned element counts.
const FIRST: bool = true;
// An invocation takes 8 neighbours: one byte of the mask.
const TILE: u32 = WORKGROUP * 8u;

struct Params { len: u32, offset: u32, strip: u32, shift: u32, width: u32 }
// Read as bits: neither subnormals nor NaNs may change on the way.
@group(0) @binding(0) var<storage, read> w: array<u32>;                   // [len] f32
@group(0) @binding(1) var<storage, read> old: array<u32>;                 // [ceil(len / 32)]
@group(0) @binding(2) var<storage, read> state: array<u32>;               // [4] remaining, magnitude, index, status
@group(0) @binding(3) var<storage, read_write> hist: array<atomic<u32>>;  // [BINS]
@group(1) @binding(0) var<uniform> params: Params;

var<workgroup> bins: array<atomic<u32>, BINS>;

fn key(i: u32) -> u32 {
    return w[min(i, params.len - 1u)] & 0x7fffffffu;
}

fn count(i: u32) {
    let bits = select(key(i), params.offset + i, BY_INDEX);
    atomicAdd(&bins[(bits >> params.shift) & ((1u << params.width) - 1u)], 1u);
}

// Bit 0: the key of element i agrees with the state.
fn agrees(i: u32, magnitude: u32, index: u32) -> u32 {
    let above = params.shift + params.width;
    if BY_INDEX {
        return u32(key(i) == magnitude && (((params.offset + i) ^ index) >> above) == 0u);
    }
    return u32(((key(i) ^ magnitude) >> above) == 0u);
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let magnitude = state[1];
    let index = state[2];
    let searching = state[3] == 0u;
    if searching {
        for (var bin = local; bin < BINS; bin += WORKGROUP) {
            atomicStore(&bins[bin], 0u);
        }
    }
    workgroupBarrier();
    if searching {
        let start = group.x * params.strip;
        let end = min(start + params.strip, params.len);
        for (var tile = start; tile < end; tile += TILE) {
            let at = tile + local * 8u;
            let inside = params.len - min(at, params.len);
            var hits = old[min(at, params.len - 1u) >> 5u] >> (at & 24u);
            hits &= 0xffu >> (8u - min(inside, 8u));
            if FIRST {
                if (hits & 1u) != 0u { count(at); }
                if (hits & 2u) != 0u { count(at + 1u); }
                if (hits & 4u) != 0u { count(at + 2u); }
                if (hits & 8u) != 0u { count(at + 3u); }
                if (hits & 16u) != 0u { count(at + 4u); }
                if (hits & 32u) != 0u { count(at + 5u); }
                if (hits & 64u) != 0u { count(at + 6u); }
                if (hits & 128u) != 0u { count(at + 7u); }
            } else {
                // Few agree: look at all of them, then count in a loop that is mostly left at once.
                var same = agrees(at, magnitude, index);
                same |= agrees(at + 1u, magnitude, index) << 1u;
                same |= agrees(at + 2u, magnitude, index) << 2u;
                same |= agrees(at + 3u, magnitude, index) << 3u;
                same |= agrees(at + 4u, magnitude, index) << 4u;
                same |= agrees(at + 5u, magnitude, index) << 5u;
                same |= agrees(at + 6u, magnitude, index) << 6u;
                same |= agrees(at + 7u, magnitude, index) << 7u;
                hits &= same;
                while hits != 0u {
                    count(at + firstTrailingBit(hits));
                    hits &= hits - 1u;
                }
            }
        }
    }
    workgroupBarrier();
    if searching {
        for (var bin = local; bin < BINS; bin += WORKGROUP) {
            let here = atomicLoad(&bins[bin]);
            if here != 0u {
                atomicAdd(&hist[bin], here);
            }
        }
    }
}
