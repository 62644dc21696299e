// range takes in the minimum and maximum of batch, counts moves into it, batch starts anew; one workgroup
//# include common/float_bits.wgsl
const WORKGROUP: u32 = 256u;
const BINS: u32 = 2048u;

struct Params { unused: u32 }
@group(0) @binding(0) var<storage, read_write> batch: array<u32>;   // [1, 4]: keys of min and max, counts
@group(0) @binding(1) var<storage, read_write> range: array<u32>;   // [4]: keys of min and max, first bin, exponent
@group(0) @binding(2) var<storage, read_write> counts: array<u32>;  // [BINS]
@group(1) @binding(0) var<uniform> params: Params;

var<workgroup> moved: array<atomic<u32>, BINS>;

fn biased_exponent(bits: u32) -> i32 {
    return i32((bits >> 23u) & 255u);
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(local_invocation_index) local: u32) {
    let bins = i32(BINS);
    // Every invocation finds the new range for itself.
    let low_key = min(range[0], batch[0]);
    let high_key = max(range[1], batch[1]);
    let seen = low_key <= high_key;
    let had_seen = range[0] <= range[1];
    let old_first = bitcast<i32>(range[2]);
    let old_exponent = bitcast<i32>(range[3]);
    var first = old_first;
    var exponent = old_exponent;
    if seen {
        let low = bits_of_key(low_key);
        let high = bits_of_key(high_key);
        exponent = max(exponent, max(biased_exponent(low), biased_exponent(high)) - 148);
        // Bins are numbered within ±2^22: 23 doublings bring any two into neighbouring bins.
        for (var n = 0; n < 24 && bin_of(high, exponent) - bin_of(low, exponent) >= bins; n++) {
            exponent++;
        }
        let a = bin_of(low, exponent);
        let b = bin_of(high, exponent);
        let stays = had_seen && exponent == old_exponent && a >= old_first && b < old_first + bins;
        if !stays { first = a - (bins - 1 - (b - a)) / 2; }
    }
    let shift = u32(min(exponent - old_exponent, 31));

    for (var i = local; i < BINS; i += WORKGROUP) { atomicStore(&moved[i], 0u); }
    workgroupBarrier();
    for (var i = local; i < BINS; i += WORKGROUP) {
        let bin = clamp(((old_first + i32(i)) >> shift) - first, 0, bins - 1);
        atomicAdd(&moved[bin], counts[i]);
    }
    storageBarrier();
    workgroupBarrier();
    for (var i = local; i < BINS; i += WORKGROUP) { counts[i] = atomicLoad(&moved[i]); }
    if local == 0u {
        range[0] = low_key;
        range[1] = high_key;
        range[2] = bitcast<u32>(first);
        range[3] = bitcast<u32>(exponent);
        batch[0] = 0xffffffffu;
        batch[1] = 0u;
        batch[2] = 0u;
        batch[3] = 0u;
    }
}
