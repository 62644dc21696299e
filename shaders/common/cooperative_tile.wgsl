// A tile of sums in the cooperative matrices of a workgroup's subgroups: PARTS × PARTS of them, each with
// ROW_BLOCKS × COLUMN_BLOCKS matrices of SIDE rows of x and SIDE columns (rows of w).
//
// The operands pass through workgroup memory, DEPTH Words of every row and column at a time: while one half of it
// is multiplied, what comes next is loaded for the other half. Rows and columns past the end load the last one
// again: they are computed and not written. Words past the end of a row are zero. The sums leave through workgroup
// memory too: only there have they a known place. The kernel says what its operands are: `Row`, `row_of`, `Place`,
// `place_of`, `next_place`, `x_word`, `Columns`, `columns_of` and `put`; common/cooperative_*.wgsl how Words lie in
// workgroup memory. A row is params.steps Words.
const SIDE: u32 = 16u;
const ROW_BLOCKS: u32 = 2u;
const COLUMN_BLOCKS: u32 = 2u;
const PARTS: u32 = 2u;
// At least PARTS · PARTS subgroups; more of them only load.
const INVOCATIONS: u32 = 128u;
// 64 bytes of a row, and what one matrix takes of them.
const DEPTH: u32 = 16u;
const SIDE_WORDS: u32 = 8u;
// 16 bytes more than DEPTH: rows are aligned as matrices need it, and neighbours start in different banks.
const STRIDE: u32 = 20u;
// Words of a step that one invocation loads.
const ROW_LOADS: u32 = 8u;
const COLUMN_LOADS: u32 = 8u;

const LINES: u32 = INVOCATIONS / DEPTH;
const ROWS: u32 = PARTS * ROW_BLOCKS * SIDE;
const COLUMNS: u32 = PARTS * COLUMN_BLOCKS * SIDE;
const LEFT_HALF: u32 = ROWS * STRIDE;
const RIGHT_HALF: u32 = COLUMNS * STRIDE;
// Columns of a subgroup, and where its sums start.
const WIDTH: u32 = COLUMN_BLOCKS * SIDE;
const OUT: u32 = SIDE * WIDTH;

// A row of matrices of every subgroup.
var<workgroup> out: array<f32, PARTS * PARTS * OUT>;

fn w_word(first: u32, t: u32, inside: bool) -> Word {
    return select(Word(), w[select(0u, first + t, inside)], inside);
}

@compute @workgroup_size(INVOCATIONS)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) local: u32, @builtin(subgroup_id) subgroup: u32,
        @builtin(subgroup_invocation_id) lane: u32, @builtin(subgroup_size) lanes: u32) {
    let group = linear_id(workgroup, 0u, groups, 1u);
    let tiles = (params.n + COLUMNS - 1u) / COLUMNS;
    let row = group / tiles * ROWS;
    let column = group % tiles * COLUMNS;
    // The same for the whole workgroup: no one waits at a barrier for those who have left.
    if row >= params.m { return; }

    // What this invocation loads: one Word of every step, of every LINES-th row. Neighbours load neighbouring Words.
    let word = local % DEPTH;
    let line = local / DEPTH;
    var rows: array<Row, ROW_LOADS>;
    //# unroll
    for (var p = 0u; p < ROW_LOADS; p++) {
        rows[p] = row_of(min(row + line + p * LINES, params.m - 1u));
    }
    var columns: array<u32, COLUMN_LOADS>;
    //# unroll
    for (var q = 0u; q < COLUMN_LOADS; q++) {
        columns[q] = min(column + line + q * LINES, params.n - 1u) * params.steps;
    }
    var place = place_of(word);
    var t = word;

    // What this subgroup multiplies.
    let works = subgroup < PARTS * PARTS;
    let part_row = subgroup / PARTS * (ROW_BLOCKS * SIDE);
    let part_column = subgroup % PARTS * WIDTH;
    for (var i = local; i < PARTS * PARTS * OUT; i += INVOCATIONS) {
        out[i] = 0.0;
    }
    workgroupBarrier();
    var acc: array<YMatrix, ROW_BLOCKS * COLUMN_BLOCKS>;
    if works {
        //# unroll
        for (var i = 0u; i < ROW_BLOCKS * COLUMN_BLOCKS; i++) {
            acc[i] = coopLoadT<YMatrix>(&out[subgroup * OUT], WIDTH);
        }
    }

    let steps = (params.steps + DEPTH - 1u) / DEPTH;
    // Step s loads its Words and multiplies those of step s − 1.
    for (var step = 0u; step <= steps; step++) {
        let inside = t < params.steps;
        var xs: array<Word, ROW_LOADS>;
        //# unroll
        for (var p = 0u; p < ROW_LOADS; p++) {
            xs[p] = x_word(rows[p], place, inside);
        }
        var ws: array<Word, COLUMN_LOADS>;
        //# unroll
        for (var q = 0u; q < COLUMN_LOADS; q++) {
            ws[q] = w_word(columns[q], t, inside);
        }
        if works && step > 0u {
            let half = (step - 1u) % 2u;
            let left_at = half * LEFT_HALF + part_row * STRIDE;
            let right_at = half * RIGHT_HALF + part_column * STRIDE;
            for (var k = 0u; k < DEPTH; k += SIDE_WORDS) {
                var a: array<XMatrix, ROW_BLOCKS>;
                //# unroll
                for (var p = 0u; p < ROW_BLOCKS; p++) {
                    a[p] = coopLoadT<XMatrix>(&left[CELLS * (left_at + p * SIDE * STRIDE + k)], CELLS * STRIDE);
                }
                //# unroll
                for (var q = 0u; q < COLUMN_BLOCKS; q++) {
                    let b = coopLoad<WMatrix>(&right[CELLS * (right_at + q * SIDE * STRIDE + k)], CELLS * STRIDE);
                    //# unroll
                    for (var p = 0u; p < ROW_BLOCKS; p++) {
                        acc[p * COLUMN_BLOCKS + q] = coopMultiplyAdd(a[p], b, acc[p * COLUMN_BLOCKS + q]);
                    }
                }
            }
        }
        let half = step % 2u;
        //# unroll
        for (var p = 0u; p < ROW_LOADS; p++) {
            keep_left(half * LEFT_HALF + (line + p * LINES) * STRIDE + word, xs[p]);
        }
        //# unroll
        for (var q = 0u; q < COLUMN_LOADS; q++) {
            keep_right(half * RIGHT_HALF + (line + q * LINES) * STRIDE + word, ws[q]);
        }
        workgroupBarrier();
        place = next_place(place, DEPTH);
        t += DEPTH;
    }

    let last = vec4(params.n - 1u);
    //# unroll
    for (var p = 0u; p < ROW_BLOCKS; p++) {
        if works {
            //# unroll
            for (var q = 0u; q < COLUMN_BLOCKS; q++) {
                coopStoreT(acc[p * COLUMN_BLOCKS + q], &out[subgroup * OUT + q * SIDE], WIDTH);
            }
        }
        workgroupBarrier();
        if works {
            for (var i = lane; i < OUT / 4u; i += lanes) {
                let at = subgroup * OUT + 4u * i;
                let i_row = row + part_row + p * SIDE + 4u * i / WIDTH;
                let first = column + part_column + 4u * i % WIDTH;
                if i_row < params.m && first < params.n {
                    let ends = columns_of(min(first + vec4(0u, 1u, 2u, 3u), last));
                    put(i_row, first, vec4(out[at], out[at + 1u], out[at + 2u], out[at + 3u]), ends);
                }
            }
        }
        workgroupBarrier();
    }
}
