// y = out(x · wᵀ + bias), or of a convolution without groups, in cooperative matrices.
//
// A tile of sums in the cooperative matrices of a workgroup's subgroups: PART_ROWS × PART_COLUMNS of them, each with
// ROW_BLOCKS × COLUMN_BLOCKS matrices of SIDE rows of x and SIDE columns (rows of w).
//
// The operands pass through workgroup memory, DEPTH Words of every row and column at a time: while they are
// multiplied, what comes next is loaded. Rows and columns past the end load the last one again: they are computed and
// not written. Words past the end of a row are zero in w. The sums leave through workgroup memory too: only there have
// they a known place. The parts say what matrices are made of and whether sums are gathered outside of them
// (`elements`), how Words lie in workgroup memory (`memory`), and as in workgroup.wgsl `rows` and `out`. A row is
// params.steps Words.
enable wgpu_cooperative_matrix;
// Matrices need control flow that is the same in a subgroup: naga cannot tell, and asks by this rule.
diagnostic(off, derivative_uniformity);
//# include common/index.wgsl
//# part elements common/product/cooperative_f32.wgsl
//# part rows common/product/rows_matrix.wgsl
//# part out common/product/out_f32.wgsl
//# part memory common/product/cooperative_words.wgsl
const SIDE: u32 = 16u;
const ROW_BLOCKS: u32 = 2u;
const COLUMN_BLOCKS: u32 = 2u;
const PART_ROWS: u32 = 2u;
const PART_COLUMNS: u32 = 2u;
// At least PART_ROWS · PART_COLUMNS subgroups; more of them only load.
const INVOCATIONS: u32 = 128u;
// Words of a row that are loaded at a time, and matrices that divide them among themselves.
const DEPTH: u32 = 16u;
const MATRICES: u32 = 2u;
// 16 bytes more than DEPTH: rows are aligned as matrices need it, and neighbours start in different banks.
const STRIDE: u32 = 20u;
// Words of a step that one invocation loads.
const ROW_LOADS: u32 = 8u;
const COLUMN_LOADS: u32 = 8u;
// Four neighbours of every matrix that one invocation writes, at most.
const QUADS: u32 = 2u;

const LINES: u32 = INVOCATIONS / DEPTH;
const ROWS: u32 = PART_ROWS * ROW_BLOCKS * SIDE;
const COLUMNS: u32 = PART_COLUMNS * COLUMN_BLOCKS * SIDE;
const LEFT: u32 = ROWS * STRIDE;
const RIGHT: u32 = COLUMNS * STRIDE;
const OUT: u32 = SIDE * SIDE;

@group(0) @binding(0) var<storage, read> x: array<Word>;  // [m, steps], or [n, h, w, steps] of a convolution
@group(0) @binding(1) var<storage, read> w: array<Word>;  // [n, steps], or [o, kh, kw, steps]
@group(1) @binding(0) var<uniform> params: Params;

// A matrix of every subgroup.
var<workgroup> sums: array<f32, PART_ROWS * PART_COLUMNS * OUT>;
var<workgroup> zeros: array<f32, OUT>;

fn w_word(first: u32, t: u32, inside: bool) -> Word {
    return select(Word(), w[select(0u, first + t, inside)], inside);
}

// Four neighbours of this subgroup's matrix.
fn quad_of_sums(own: u32, i: u32) -> vec4<f32> {
    let at = own + min(4u * i, OUT - 4u);
    return vec4(sums[at], sums[at + 1u], sums[at + 2u], sums[at + 3u]);
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
    //# registers
    var rows: array<Row, ROW_LOADS>;
    //# unroll
    for (var p = 0u; p < ROW_LOADS; p++) {
        rows[p] = row_of(min(row + line + p * LINES, params.m - 1u));
    }
    //# registers
    var columns: array<u32, COLUMN_LOADS>;
    //# unroll
    for (var q = 0u; q < COLUMN_LOADS; q++) {
        columns[q] = min(column + line + q * LINES, params.n - 1u) * params.steps;
    }
    var place = place_of(word);
    var t = word;

    // What this subgroup multiplies.
    let works = subgroup < PART_ROWS * PART_COLUMNS;
    let part_row = subgroup / PART_COLUMNS * (ROW_BLOCKS * SIDE);
    let part_column = subgroup % PART_COLUMNS * (COLUMN_BLOCKS * SIDE);
    let own = subgroup * OUT;
    for (var i = local; i < OUT; i += INVOCATIONS) {
        zeros[i] = 0.0;
    }
    workgroupBarrier();
    //# registers
    var acc: array<YMatrix, ROW_BLOCKS * COLUMN_BLOCKS>;
    //# registers
    var totals: array<Sums, ROW_BLOCKS * COLUMN_BLOCKS * QUADS>;
    if works {
        //# unroll
        for (var i = 0u; i < ROW_BLOCKS * COLUMN_BLOCKS; i++) {
            acc[i] = coopLoadT<YMatrix>(&zeros[0], SIDE);
        }
    }

    let steps = (params.steps + DEPTH - 1u) / DEPTH;
    // Step s loads its Words and multiplies those of step s − 1.
    for (var step = 0u; step <= steps; step++) {
        let inside = t < params.steps;
        //# registers
        var xs: array<Word, ROW_LOADS>;
        //# unroll
        for (var p = 0u; p < ROW_LOADS; p++) {
            xs[p] = x_word(rows[p], place, inside);
        }
        //# registers
        var ws: array<Word, COLUMN_LOADS>;
        //# unroll
        for (var q = 0u; q < COLUMN_LOADS; q++) {
            ws[q] = w_word(columns[q], t, inside);
        }
        if works && step > 0u {
            let left_at = part_row * STRIDE;
            let right_at = part_column * STRIDE;
            //# unroll
            for (var k = 0u; k < MATRICES; k++) {
                let at = k * (DEPTH / MATRICES);
                //# registers
                var a: array<XMatrix, ROW_BLOCKS>;
                //# unroll
                for (var p = 0u; p < ROW_BLOCKS; p++) {
                    a[p] = coopLoadT<XMatrix>(&left[CELLS * (left_at + p * SIDE * STRIDE + at)], CELLS * STRIDE);
                }
                //# unroll
                for (var q = 0u; q < COLUMN_BLOCKS; q++) {
                    let b = coopLoad<WMatrix>(&right[CELLS * (right_at + q * SIDE * STRIDE + at)], CELLS * STRIDE);
                    //# unroll
                    for (var p = 0u; p < ROW_BLOCKS; p++) {
                        acc[p * COLUMN_BLOCKS + q] = coopMultiplyAdd(a[p], b, acc[p * COLUMN_BLOCKS + q]);
                    }
                }
            }
        }
        workgroupBarrier();
        //# unroll
        for (var p = 0u; p < ROW_LOADS; p++) {
            keep_left((line + p * LINES) * STRIDE + word, xs[p]);
        }
        //# unroll
        for (var q = 0u; q < COLUMN_LOADS; q++) {
            keep_right((line + q * LINES) * STRIDE + word, ws[q]);
        }
        workgroupBarrier();
        place = next_place(place, DEPTH);
        t += DEPTH;
        // Here nothing loaded is waiting.
        if GATHER && step > 0u && step % GATHER_STEPS == 0u {
            //# unroll
            for (var i = 0u; i < ROW_BLOCKS * COLUMN_BLOCKS; i++) {
                if works { coopStoreT(acc[i], &sums[own], SIDE); }
                workgroupBarrier();
                if works {
                    //# unroll
                    for (var j = 0u; j < QUADS; j++) {
                        totals[i * QUADS + j] = added(totals[i * QUADS + j], quad_of_sums(own, lane + j * lanes));
                    }
                    acc[i] = coopLoadT<YMatrix>(&zeros[0], SIDE);
                }
                workgroupBarrier();
            }
        }
    }

    let last = vec4(params.n - 1u);
    //# unroll
    for (var p = 0u; p < ROW_BLOCKS; p++) {
        //# unroll
        for (var q = 0u; q < COLUMN_BLOCKS; q++) {
            if works { coopStoreT(acc[p * COLUMN_BLOCKS + q], &sums[own], SIDE); }
            workgroupBarrier();
            if works {
                //# unroll
                for (var j = 0u; j < QUADS; j++) {
                    let i = 4u * (lane + j * lanes);
                    let i_row = row + part_row + p * SIDE + i / SIDE;
                    let first = column + part_column + q * SIDE + i % SIDE;
                    if i < OUT && i_row < params.m && first < params.n {
                        let ends = columns_of(min(first + vec4(0u, 1u, 2u, 3u), last));
                        let quad = quad_of_sums(own, lane + j * lanes);
                        put(i_row, first, params.n, added(totals[(p * COLUMN_BLOCKS + q) * QUADS + j], quad), ends);
                    }
                }
            }
            workgroupBarrier();
        }
    }
}
