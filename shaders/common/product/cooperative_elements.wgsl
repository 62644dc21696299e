// Words in workgroup memory for product/cooperative.wgsl, element by element: where matrices are loaded from
// elements only.
const CELLS: u32 = 2u;      // elements of a Word
var<workgroup> left: array<Element, CELLS * LEFT>;
var<workgroup> right: array<Element, CELLS * RIGHT>;

fn keep_left(at: u32, word: Word) {
    //# unroll
    for (var i = 0u; i < CELLS; i++) {
        left[CELLS * at + i] = word[i];
    }
}

fn keep_right(at: u32, word: Word) {
    //# unroll
    for (var i = 0u; i < CELLS; i++) {
        right[CELLS * at + i] = word[i];
    }
}
