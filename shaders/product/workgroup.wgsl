// y = out(x · wᵀ + bias), or of a convolution without groups, through workgroup memory.
//
// A tile of sums in the registers of a workgroup, SLICES times 8 × 8 invocations: 32·ROW_QUADS rows of x by
// 32·COLUMN_QUADS columns (rows of w). An invocation owns every eighth quad, four neighbours, of the rows and of the
// columns. Every slice computes the whole tile from its share of the words; in the end the slices are added up.
//
// The operands pass through workgroup memory, DEPTH words of every row and column at a time: while one half of it
// is multiplied, what comes next is loaded for the other half. Rows and columns past the end load the last one
// again: they are computed and not written. Words past the end of a row are zero in w. The parts say what its operands
// are: `elements` Left, left_of, Right, right_of, products; `rows` Params, Row, row_of, Place, place_of, next_place,
// x_word; `out` Sums, Columns, columns_of and put. A row is params.steps words.
//# include common/index.wgsl
//# part elements common/product/quad_f32.wgsl
//# part rows common/product/rows_matrix.wgsl
//# part out common/product/out_f32.wgsl
alias Word = u32;
const ROW_QUADS: u32 = 2u;
const COLUMN_QUADS: u32 = 2u;
const DEPTH: u32 = 8u;
// Words of DEPTH whose products are written out.
const UNROLL: u32 = 4u;
// A power of two. Only tiles of one quad by one have more than one: their sums fit where the operands were.
const SLICES: u32 = 1u;
// One quad more than there are: what neighbouring invocations write then lies in different banks.
const ROW_STRIDE: u32 = 8u * ROW_QUADS + 1u;
const COLUMN_STRIDE: u32 = 8u * COLUMN_QUADS + 1u;

@group(0) @binding(0) var<storage, read> x: array<Word>;  // [m, steps], or [n, h, w, steps] of a convolution
@group(0) @binding(1) var<storage, read> w: array<Word>;  // [n, steps], or [o, kh, kw, steps]
@group(1) @binding(0) var<uniform> params: Params;

// Of every slice two halves of DEPTH words, each of all quads.
var<workgroup> left: array<vec4<u32>, 2u * DEPTH * ROW_STRIDE * SLICES>;
var<workgroup> right: array<vec4<u32>, 2u * DEPTH * COLUMN_STRIDE * SLICES>;

fn outside() -> Word {
    return outside_word();
}

fn w_word(first: u32, t: u32, inside: bool) -> u32 {
    return select(0u, w[select(0u, first + t, inside)], inside);
}

@compute @workgroup_size(64u * SLICES)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) invocation: u32) {
    let group = linear_id(workgroup, 0u, groups, 1u);
    let tiles = (params.n + 32u * COLUMN_QUADS - 1u) / (32u * COLUMN_QUADS);
    let row = group / tiles * (32u * ROW_QUADS);
    let column = group % tiles * (32u * COLUMN_QUADS);
    // The same for the whole workgroup: no one waits at a barrier for those who have left.
    if row >= params.m { return; }

    let slice = invocation / 64u;
    let local = invocation % 64u;

    // What this invocation loads: one word of every step, of as many quads as it owns. Neighbours load neighbouring
    // words of the same row.
    let word = local % DEPTH;
    let quad = local / DEPTH;
    //# registers
    var rows: array<Row, ROW_QUADS * 4u>;
    //# unroll
    for (var p = 0u; p < ROW_QUADS * 4u; p++) {
        rows[p] = row_of(min(row + 4u * quad + p / 4u * 32u + p % 4u, params.m - 1u));
    }
    //# registers
    var columns: array<u32, COLUMN_QUADS * 4u>;
    //# unroll
    for (var q = 0u; q < COLUMN_QUADS * 4u; q++) {
        columns[q] = min(column + 4u * quad + q / 4u * 32u + q % 4u, params.n - 1u) * params.steps;
    }
    var place = place_of(slice * DEPTH + word);
    var t = slice * DEPTH + word;

    // The quads of rows and columns that it owns.
    let own_row = local / 8u;
    let own_column = local % 8u;
    //# registers
    var acc: array<Sums, ROW_QUADS * COLUMN_QUADS * 4u>;
    let steps = (params.steps + DEPTH * SLICES - 1u) / (DEPTH * SLICES);
    // Step s loads its words and multiplies those of step s − 1.
    for (var step = 0u; step <= steps; step++) {
        let inside = t < params.steps;
        //# registers
        var xs: array<vec4<u32>, ROW_QUADS>;
        //# unroll
        for (var p = 0u; p < ROW_QUADS; p++) {
            xs[p] = vec4(x_word(rows[4u * p], place, inside), x_word(rows[4u * p + 1u], place, inside),
                         x_word(rows[4u * p + 2u], place, inside), x_word(rows[4u * p + 3u], place, inside));
        }
        //# registers
        var ws: array<vec4<u32>, COLUMN_QUADS>;
        //# unroll
        for (var q = 0u; q < COLUMN_QUADS; q++) {
            ws[q] = vec4(w_word(columns[4u * q], t, inside), w_word(columns[4u * q + 1u], t, inside),
                         w_word(columns[4u * q + 2u], t, inside), w_word(columns[4u * q + 3u], t, inside));
        }
        if step > 0u {
            let half = (2u * slice + (step - 1u) % 2u) * DEPTH;
            for (var k = 0u; k < DEPTH; k += UNROLL) {
                //# unroll
                for (var i = 0u; i < UNROLL; i++) {
                    //# registers
                    var rs: array<Right, COLUMN_QUADS>;
                    //# unroll
                    for (var q = 0u; q < COLUMN_QUADS; q++) {
                        rs[q] = right_of(right[(half + k + i) * COLUMN_STRIDE + own_column + 8u * q]);
                    }
                    //# unroll
                    for (var p = 0u; p < ROW_QUADS; p++) {
                        let ls = left[(half + k + i) * ROW_STRIDE + own_row + 8u * p];
                        //# unroll
                        for (var j = 0u; j < 4u; j++) {
                            let l = left_of(ls[j]);
                            //# unroll
                            for (var q = 0u; q < COLUMN_QUADS; q++) {
                                acc[(4u * p + j) * COLUMN_QUADS + q] += products(l, rs[q]);
                            }
                        }
                    }
                }
            }
        }
        let half = (2u * slice + step % 2u) * DEPTH;
        //# unroll
        for (var p = 0u; p < ROW_QUADS; p++) {
            left[(half + word) * ROW_STRIDE + quad + 8u * p] = xs[p];
        }
        //# unroll
        for (var q = 0u; q < COLUMN_QUADS; q++) {
            right[(half + word) * COLUMN_STRIDE + quad + 8u * q] = ws[q];
        }
        workgroupBarrier();
        place = next_place(place, DEPTH * SLICES);
        t += DEPTH * SLICES;
    }
    // The upper half of the slices is added to the lower half, until one is left. Operands are not needed any more.
    for (var half = SLICES / 2u; half > 0u; half /= 2u) {
        if slice >= half && slice < 2u * half {
            //# unroll
            for (var i = 0u; i < ROW_QUADS * COLUMN_QUADS * 4u; i++) {
                left[((slice - half) * ROW_QUADS * COLUMN_QUADS * 4u + i) * 64u + local] = bitcast<vec4<u32>>(acc[i]);
            }
        }
        workgroupBarrier();
        if slice < half {
            //# unroll
            for (var i = 0u; i < ROW_QUADS * COLUMN_QUADS * 4u; i++) {
                acc[i] += bitcast<Sums>(left[(slice * ROW_QUADS * COLUMN_QUADS * 4u + i) * 64u + local]);
            }
        }
        workgroupBarrier();
    }
    if slice > 0u { return; }

    //# unroll
    for (var q = 0u; q < COLUMN_QUADS; q++) {
        let first = column + 4u * own_column + 32u * q;
        let last = vec4(params.n - 1u);
        let ends = columns_of(min(first + vec4(0u, 1u, 2u, 3u), last));
        //# unroll
        for (var p = 0u; p < ROW_QUADS * 4u; p++) {
            let at = row + 4u * own_row + p / 4u * 32u + p % 4u;
            if at < params.m && first < params.n { put(at, first, params.n, acc[p * COLUMN_QUADS + q], ends); }
        }
    }
}
