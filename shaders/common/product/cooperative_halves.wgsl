// Words of int8 in workgroup memory for product/cooperative.wgsl, as f16.
// Four elements to a cell of workgroup memory.
const CELLS: u32 = 1u;
var<workgroup> left: array<vec4<f16>, CELLS * LEFT>;
var<workgroup> right: array<vec4<f16>, CELLS * RIGHT>;

// b + 128 in the lowest bits of the f16 1024; the first and the third element, then the others: rows of x and of w are
// in the same disorder.
fn halves(word: u32) -> vec4<f16> {
    let b = word ^ 0x80808080u;
    let even = unpack2x16float((b & 0x00ff00ffu) | 0x64006400u);
    let odd = unpack2x16float(((b >> 8u) & 0x00ff00ffu) | 0x64006400u);
    return vec4<f16>(vec4(even, odd)) - vec4<f16>(1152.0h);
}

fn keep_left(at: u32, word: Word) {
    //# unroll
    for (var i = 0u; i < CELLS; i++) {
        left[CELLS * at + i] = halves(vec2<u32>(word)[i]);
    }
}

fn keep_right(at: u32, word: Word) {
    //# unroll
    for (var i = 0u; i < CELLS; i++) {
        right[CELLS * at + i] = halves(vec2<u32>(word)[i]);
    }
}
