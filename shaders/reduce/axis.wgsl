// y[o, 0, i] = sum, mean, largest or smallest over k of x[o, k, i]
//
// A workgroup owns COLUMNS words of y; its invocations share their terms, then a tree combines what they have.
//# include common/index.wgsl
//# part lanes common/reduce_f32.wgsl
const WORKGROUP: u32 = 64u;
const COLUMNS: u32 = 1u;
const KIND: u32 = 0u;      // 0: sum, 1: mean, 2: largest, 3: smallest
const LAST: bool = false;  // the last axis is reduced: the lanes of a word are terms of one result

struct Params {
    outputs: u32, terms: u32, inner: u32,  // words of y, words of x for each of them, words from one of these to the next
    len: u32, row: u32, row_words: u32,    // elements that are reduced; elements and words of a row of y
    x_zero_point: i32, zero_point: i32, qmin: i32, qmax: i32, multiplier: u32, shift: u32,  // of integers
}
@group(0) @binding(0) var<storage, read> x: array<u32>;        // [outer, terms, inner]
@group(0) @binding(1) var<storage, read_write> y: array<u32>;  // [outputs]
@group(1) @binding(0) var<uniform> params: Params;

var<workgroup> partial: array<Lanes, WORKGROUP>;

fn combined(a: Lanes, b: Lanes) -> Lanes {
    if KIND == 2u { return max(a, b); }
    if KIND == 3u { return min(a, b); }
    return a + b;
}

fn term(first: u32, r: u32) -> Lanes {
    let value = lanes(x[first + r * params.inner]);
    if LAST && PER_WORD > 1u { return only(value, params.len - r * PER_WORD); }
    return value;
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32,
        @builtin(num_workgroups) groups: vec3<u32>) {
    let column = linear_id(group, 0u, groups, 1u) * COLUMNS + local % COLUMNS;
    let at = min(column, params.outputs - 1u);
    const APART: u32 = WORKGROUP / COLUMNS;
    let outer = at / params.inner;
    let first = outer * params.terms * params.inner + at - outer * params.inner;
    var acc = Lanes();
    // Taken twice, the first term changes no extreme.
    if KIND > 1u { acc = term(first, 0u); }
    for (var r = local / COLUMNS; r < params.terms; r += APART) {
        acc = combined(acc, term(first, r));
    }
    if COLUMNS < WORKGROUP {
        partial[local] = acc;
        workgroupBarrier();
        for (var half = WORKGROUP / 2u; half >= COLUMNS; half /= 2u) {
            if local < half { partial[local] = combined(partial[local], partial[local + half]); }
            workgroupBarrier();
        }
        acc = partial[local];
    }
    if local >= COLUMNS || column >= params.outputs { return; }
    if LAST && PER_WORD > 1u { acc = across(acc); }
    y[column] = finished(acc, params.row - column % params.row_words * PER_WORD);
}
