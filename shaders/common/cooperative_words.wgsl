// Words in workgroup memory for common/cooperative_tile.wgsl, as they are: matrices are loaded from Words.
const CELLS: u32 = 1u;
var<workgroup> left: array<Word, 2u * LEFT_HALF>;
var<workgroup> right: array<Word, 2u * RIGHT_HALF>;

fn keep_left(at: u32, word: Word) { left[at] = word; }

fn keep_right(at: u32, word: Word) { right[at] = word; }
