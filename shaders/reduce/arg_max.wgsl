// y[o, 0, i] = the first k for which x[o, k, i] is the largest
//
// A workgroup owns COLUMNS results; its invocations share their terms, then a tree finds the best of what they have.
//# include common/index.wgsl
//# include common/float_bits.wgsl
//# part element common/element_f32.wgsl
const WORKGROUP: u32 = 64u;
const COLUMNS: u32 = 1u;
const LAST: bool = false;  // the last axis is reduced: the lanes of a word are terms of one result

struct Params {
    outputs: u32, len: u32, inner: u32,      // results, elements that are compared, results that share an outer index
    row: u32, row_words: u32, step: u32,     // elements and words of a row of x, words from one term to the next
}
@group(0) @binding(0) var<storage, read> x: array<u32>;        // [outer, len, .., row_words]
@group(0) @binding(1) var<storage, read_write> y: array<i32>;  // [outputs]
@group(1) @binding(0) var<uniform> params: Params;

var<workgroup> keys: array<u32, WORKGROUP>;
var<workgroup> places: array<u32, WORKGROUP>;

// Grows with the float; zeros are equal, NaN is the largest.
fn key(word: u32, lane: u32) -> u32 {
    let bits = bitcast<u32>(element(word, lane));
    let size = bits & 0x7fffffffu;
    if size > 0x7f800000u { return 0xffffffffu; }
    return key_of(select(bits, 0u, size == 0u));
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32,
        @builtin(num_workgroups) groups: vec3<u32>) {
    let column = linear_id(group, 0u, groups, 1u) * COLUMNS + local % COLUMNS;
    let at = min(column, params.outputs - 1u);
    const APART: u32 = WORKGROUP / COLUMNS;
    let outer = at / params.inner;
    let inner = at - outer * params.inner;
    let line = inner / params.row;
    let c = inner - line * params.row;
    let first = outer * select(params.len * params.step, params.row_words, LAST) + line * params.row_words + c / PER_WORD;
    var best = 0u;
    var place = params.len;
    for (var k = local / COLUMNS; k < params.len; k += APART) {
        var own: u32;
        if LAST {
            own = key(x[first + k / PER_WORD], k % PER_WORD);
        } else {
            own = key(x[first + k * params.step], c % PER_WORD);
        }
        if own > best {
            best = own;
            place = k;
        }
    }
    if COLUMNS < WORKGROUP {
        keys[local] = best;
        places[local] = place;
        workgroupBarrier();
        for (var half = WORKGROUP / 2u; half >= COLUMNS; half /= 2u) {
            if local < half {
                let other = keys[local + half];
                let there = places[local + half];
                if other > keys[local] || (other == keys[local] && there < places[local]) {
                    keys[local] = other;
                    places[local] = there;
                }
            }
            workgroupBarrier();
        }
        place = places[local];
    }
    if local < COLUMNS && column < params.outputs { y[column] = i32(place); }
}
