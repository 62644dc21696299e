// A tile of sums in the registers of one subgroup, which is the whole workgroup: ROWS rows of x by
// LANES·COLUMNS columns (rows of w), of which a lane owns lane, lane + LANES, …
//
// Lane l loads the words of the rows l, l + LANES, … and shows them to all; of w it loads its own columns. Rows
// and columns past the end load the last one again: they are computed and not written. The kernel says what its
// operands are: `Factors`, `Sum`, `unpack`, `product`, `Row`, `row_of`, `place`, `x_at` and `put`.
const LANES: u32 = 8u;
const ROWS: u32 = 8u;
const OWN: u32 = 1u;      // ⌈ROWS / LANES⌉
const COLUMNS: u32 = 4u;
// What one load brings: u64 where rows of x and w have an even number of words, and HALVES is 2.
alias Word = u32;
const HALVES: u32 = 1u;

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(subgroup_invocation_id) lane: u32) {
    let group = linear_id(workgroup, 0u, groups, 1u);
    let tiles = (params.n + LANES * COLUMNS - 1u) / (LANES * COLUMNS);
    let row = group / tiles * ROWS;
    if row >= params.m { return; }
    let column = group % tiles * (LANES * COLUMNS) + lane;
    let w_steps = params.kernel_h * params.kernel_w * params.steps;
    var rows: array<Row, OWN>;
    //# unroll
    for (var p = 0u; p < OWN; p++) {
        rows[p] = row_of(min(row + p * LANES + lane, params.m - 1u));
    }
    var columns: array<u32, COLUMNS>;
    //# unroll
    for (var q = 0u; q < COLUMNS; q++) {
        columns[q] = min(column + q * LANES, params.n - 1u) * w_steps;
    }
    var acc: array<Sum, ROWS * COLUMNS>;
    var at = 0u;
    for (var ky = 0u; ky < params.kernel_h; ky++) {
        for (var kx = 0u; kx < params.kernel_w; kx++) {
            var places: array<u32, OWN>;
            //# unroll
            for (var p = 0u; p < OWN; p++) {
                places[p] = place(rows[p], ky, kx);
            }
            for (var t = 0u; t < params.steps; t++) {
                var left: array<Word, OWN>;
                //# unroll
                for (var p = 0u; p < OWN; p++) {
                    left[p] = x_at(places[p], t);
                }
                var right: array<Word, COLUMNS>;
                //# unroll
                for (var q = 0u; q < COLUMNS; q++) {
                    right[q] = w[columns[q] + at];
                }
                //# unroll
                for (var half = 0u; half < HALVES; half++) {
                    var ls: array<Factors, OWN>;
                    //# unroll
                    for (var p = 0u; p < OWN; p++) {
                        ls[p] = unpack(u32(left[p] >> (32u * half)));
                    }
                    var rs: array<Factors, COLUMNS>;
                    //# unroll
                    for (var q = 0u; q < COLUMNS; q++) {
                        rs[q] = unpack(u32(right[q] >> (32u * half)));
                    }
                    //# unroll
                    for (var p = 0u; p < ROWS; p++) {
                        let l = subgroupBroadcast(ls[p / LANES], p % LANES);
                        //# unroll
                        for (var q = 0u; q < COLUMNS; q++) {
                            acc[p * COLUMNS + q] += product(l, rs[q]);
                        }
                    }
                }
                at += 1u;
            }
        }
    }
    for (var p = 0u; p < min(ROWS, params.m - row); p++) {
        //# unroll
        for (var q = 0u; q < COLUMNS; q++) {
            put(row + p, column + q * LANES, acc[q], lane);
        }
        // The rows move up by one: an index into registers could not follow a loop.
        //# unroll
        for (var i = 0u; i < ROWS * COLUMNS; i++) {
            acc[i] = acc[min(i + COLUMNS, ROWS * COLUMNS - 1u)];
        }
    }
}
