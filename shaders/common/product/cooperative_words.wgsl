// Words in workgroup memory for product/cooperative.wgsl, as they are: matrices are loaded from Words.
const CELLS: u32 = 1u;
var<workgroup> left: array<Word, LEFT>;
var<workgroup> right: array<Word, RIGHT>;

fn keep_left(at: u32, word: Word) { left[at] = word; }

fn keep_right(at: u32, word: Word) { right[at] = word; }
