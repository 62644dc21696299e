// hist[digit(key_i)] += 1 over the unpruned i whose key agrees with the state on all higher digits
//# include common/halves.wgsl
//# include common/magnitudes.wgsl
const WORKGROUP: u32 = 256u;
const BINS: u32 = 2048u;
// The digit is one of the index, hence the magnitude is fixed; otherwise it is one of the magnitude.
const BY_INDEX: bool = false;
// The highest digit: every unpruned element counts.
const FIRST: bool = true;
// An invocation takes 8 neighbours: one byte of the mask.
const TILE: u32 = WORKGROUP * 8u;

struct Params { len: u32, offset: u32, strip: u32, shift: u32, width: u32 }
@group(0) @binding(0) var<storage, read> w: array<Word>;                  // [len] f32
@group(0) @binding(1) var<storage, read> old: array<u32>;                 // [ceil(len / 32)]
@group(0) @binding(2) var<storage, read> state: array<u32>;               // [4] remaining, magnitude, index, status
@group(0) @binding(3) var<storage, read_write> hist: array<atomic<u32>>;  // [BINS]
@group(1) @binding(0) var<uniform> params: Params;

var<workgroup> bins: array<atomic<u32>, BINS>;

fn count(i: u32, key: u32) {
    let bits = select(key, params.offset + i, BY_INDEX);
    atomicAdd(&bins[(bits >> params.shift) & ((1u << params.width) - 1u)], 1u);
}

// Bit 0: the key of element i agrees with the state.
fn agrees(i: u32, key: u32, magnitude: u32, index: u32) -> u32 {
    let above = params.shift + params.width;
    if BY_INDEX {
        return u32(key == magnitude && (((params.offset + i) ^ index) >> above) == 0u);
    }
    return u32(((key ^ magnitude) >> above) == 0u);
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
            //# registers
            var key: array<u32, 8>;
            //# unroll
            for (var j = 0u; j < 4u; j++) {
                let pair = magnitudes(at + 2u * j);
                key[2u * j] = pair.x;
                key[2u * j + 1u] = pair.y;
            }
            if FIRST {
                //# unroll
                for (var j = 0u; j < 8u; j++) {
                    if (hits & (1u << j)) != 0u { count(at + j, key[j]); }
                }
            } else {
                // Few agree: look at all of them, then count those.
                var same = 0u;
                //# unroll
                for (var j = 0u; j < 8u; j++) {
                    same |= agrees(at + j, key[j], magnitude, index) << j;
                }
                hits &= same;
                if hits != 0u {
                    //# unroll
                    for (var j = 0u; j < 8u; j++) {
                        if (hits & (1u << j)) != 0u { count(at + j, key[j]); }
                    }
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
