// counts[floor(x[i] · 2^-exponent) − first] += 1 for every finite x[i]; one workgroup per chunk of x
//# include common/index.wgsl
//# include common/float_bits.wgsl
//# include common/halves.wgsl
const WORKGROUP: u32 = 256u;
const BINS: u32 = 2048u;
const EACH: u32 = 4u;

struct Params { len: u32, chunk: u32 }
@group(0) @binding(0) var<storage, read> x: array<Word>;                    // [len], bits of f32
@group(0) @binding(1) var<storage, read> range: array<u32>;                 // [4]: _, _, first bin, exponent
@group(0) @binding(2) var<storage, read_write> counts: array<atomic<u32>>;  // [BINS]
@group(1) @binding(0) var<uniform> params: Params;

var<workgroup> mine: array<atomic<u32>, BINS>;

fn place(bits: u32, first: i32, exponent: i32) -> u32 {
    return u32(clamp(bin_of(bits, exponent) - first, 0, i32(BINS) - 1));
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32,
        @builtin(num_workgroups) groups: vec3<u32>) {
    let start = linear_id(group, 0u, groups, 1u) * params.chunk;
    let end = min(start + params.chunk, params.len);
    for (var i = local; i < BINS; i += WORKGROUP) { atomicStore(&mine[i], 0u); }
    workgroupBarrier();
    let first = bitcast<i32>(range[2]);
    let exponent = bitcast<i32>(range[3]);
    // Zeros (half of what a ReLU leaves) are counted apart: one contended bin is slow.
    var zeros = 0u;
    for (var at = start + HALVES * local; at < end; at += HALVES * EACH * WORKGROUP) {
        //# registers
        var words: array<Word, EACH>;
        //# unroll
        for (var k = 0u; k < EACH; k++) {
            words[k] = x[min(at + k * HALVES * WORKGROUP, params.len - 1u) / HALVES];
        }
        //# unroll
        for (var k = 0u; k < EACH; k++) {
            //# unroll
            for (var half = 0u; half < HALVES; half++) {
                let bits = bits_of_half(words[k], half);
                let inside = at + k * HALVES * WORKGROUP + half < end;
                let zero = (bits << 1u) == 0u;
                zeros += select(0u, 1u, inside && zero);
                if inside && !zero && is_finite(bits) {
                    atomicAdd(&mine[place(bits, first, exponent)], 1u);
                }
            }
        }
    }
    if zeros != 0u { atomicAdd(&mine[place(0u, first, exponent)], zeros); }
    workgroupBarrier();
    for (var i = local; i < BINS; i += WORKGROUP) {
        let n = atomicLoad(&mine[i]);
        if n != 0u { atomicAdd(&counts[i], n); }
    }
}
