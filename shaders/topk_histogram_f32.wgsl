// hist[digit(key_i)] += 1 over the unpruned i whose key agrees with the state on all higher digits
const WORKGROUP: u32 = 256u;
const BINS: u32 = 2048u;
// The digit is one of the index, hence the magnitude is fixed; otherwise it is one of the magnitude.
const BY_INDEX: bool = false;

struct Params { len: u32, offset: u32, strip: u32, shift: u32, width: u32 }
// Read as bits: neither subnormals nor NaNs may change on the way.
@group(0) @binding(0) var<storage, read> w: array<u32>;                   // [len] f32
@group(0) @binding(1) var<storage, read> old: array<u32>;                 // [ceil(len / 32)]
@group(0) @binding(2) var<storage, read> state: array<u32>;               // [4] remaining, magnitude, index, status
@group(0) @binding(3) var<storage, read_write> hist: array<atomic<u32>>;  // [BINS]
@group(1) @binding(0) var<uniform> params: Params;

var<workgroup> bins: array<atomic<u32>, BINS>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    for (var bin = local; bin < BINS; bin += WORKGROUP) {
        atomicStore(&bins[bin], 0u);
    }
    workgroupBarrier();
    if state[3] == 0u {
        let magnitude = state[1];
        let index = state[2];
        let start = group.x * params.strip;
        let end = min(start + params.strip, params.len);
        let digit_mask = (1u << params.width) - 1u;
        let above = params.shift + params.width;
        for (var i = start + local; i < end; i += WORKGROUP) {
            let key = w[i] & 0x7fffffffu;
            var counts = ((old[i >> 5u] >> (i & 31u)) & 1u) == 1u;
            var digit: u32;
            if BY_INDEX {
                let at = params.offset + i;
                counts = counts && key == magnitude && ((at ^ index) >> above) == 0u;
                digit = (at >> params.shift) & digit_mask;
            } else {
                counts = counts && ((key ^ magnitude) >> above) == 0u;
                digit = (key >> params.shift) & digit_mask;
            }
            if counts {
                atomicAdd(&bins[digit], 1u);
            }
        }
    }
    workgroupBarrier();
    for (var bin = local; bin < BINS; bin += WORKGROUP) {
        let count = atomicLoad(&bins[bin]);
        if count != 0u {
            atomicAdd(&hist[bin], count);
        }
    }
}
