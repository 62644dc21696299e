// y = out(x · wᵀ + bias), or of a convolution without groups, by one subgroup.
//
// A tile of sums in the registers of one subgroup, which is the whole workgroup: ROWS rows of the output by
// LANES·COLUMNS columns (rows of w), of which a lane owns PACK neighbours in every LANES·PACK.
//
// The lanes load words of x in turn and show them to all; of w each loads its own columns. Rows and columns past
// the end load the last one again: they are computed and not written. Every row of the output is the sum of
// params.groups·TAPS products of params.steps Words. The TAPS of a group lie side by side in x, so that what is
// loaded for one serves its neighbours too: a line of RUN rows needs SPAN pixels of x.
//
// The parts say what its operands are: `elements` Left, left_of, Right, right_of, Sum, product, surplus (what every
// product with a word of w has too much); `rows` Params, Pixel, pixel_of, Place, place_of, x_at, row_of; `out` Column,
// column_of and put.
//# include common/index.wgsl
//# part elements common/product/element_f32.wgsl
//# part rows common/product/subgroup_matrix.wgsl
//# part out common/product/subgroup_out_f32.wgsl
const LANES: u32 = 8u;
const RUN: u32 = 8u;
const ROWS: u32 = 8u;     // lines of RUN
const TAPS: u32 = 1u;
const STRIDE: u32 = 1u;   // pixels of SPAN from one row to the next
const SPAN: u32 = 8u;     // (RUN − 1)·STRIDE + TAPS
const OWN: u32 = 1u;      // ⌈SPAN·lines / LANES⌉
const COLUMNS: u32 = 4u;
// Divides COLUMNS; what makes a word of y, if it can be.
const PACK: u32 = 1u;
// Elements of a word; where a row of x is one word, those that it has.
const LIVE: u32 = 4u;
// What one load brings: u64 where rows of x and w have an even number of words, and HALVES is 2.
alias Word = u32;
const HALVES: u32 = 1u;

@group(0) @binding(0) var<storage, read> x: array<Word>;  // [m, steps], or [n, h, w, steps] of a convolution
@group(0) @binding(1) var<storage, read> w: array<Word>;  // [n, steps], or [o, kh, kw, steps]
@group(1) @binding(0) var<uniform> params: Params;

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(subgroup_invocation_id) lane: u32) {
    let id = linear_id(workgroup, 0u, groups, 1u);
    let tiles = (params.n + LANES * COLUMNS - 1u) / (LANES * COLUMNS);
    let tile = id / tiles;
    if tile >= params.tiles { return; }
    let column = id % tiles * (LANES * COLUMNS) + lane * PACK;
    //# registers
    var pixels: array<Pixel, OWN>;
    //# unroll
    for (var p = 0u; p < OWN; p++) {
        pixels[p] = pixel_of(tile, min(p * LANES + lane, ROWS / RUN * SPAN - 1u));
    }
    //# registers
    var columns: array<u32, COLUMNS>;
    //# unroll
    for (var q = 0u; q < COLUMNS; q++) {
        columns[q] = min(column + q / PACK * (LANES * PACK) + q % PACK, params.n - 1u) * (params.groups * TAPS * params.steps);
    }
    //# registers
    var acc: array<Sum, ROWS * COLUMNS>;
    //# registers
    var over: array<Sum, COLUMNS>;
    for (var group = 0u; group < params.groups; group++) {
        //# registers
        var places: array<Place, OWN>;
        //# unroll
        for (var p = 0u; p < OWN; p++) {
            places[p] = place_of(pixels[p], group);
        }
        for (var t = 0u; t < params.steps; t++) {
            //# registers
            var left: array<Word, OWN>;
            //# unroll
            for (var p = 0u; p < OWN; p++) {
                left[p] = x_at(places[p], t);
            }
            //# registers
            var right: array<Word, TAPS * COLUMNS>;
            //# unroll
            for (var k = 0u; k < TAPS; k++) {
                //# unroll
                for (var q = 0u; q < COLUMNS; q++) {
                    right[k * COLUMNS + q] = w[columns[q] + (group * TAPS + k) * params.steps + t];
                }
            }
            //# registers
            var ls: array<Left, OWN * HALVES>;
            //# registers
            var rs: array<Right, TAPS * COLUMNS * HALVES>;
            //# unroll
            for (var half = 0u; half < HALVES; half++) {
                //# unroll
                for (var p = 0u; p < OWN; p++) {
                    ls[p * HALVES + half] = left_of(u32(left[p] >> (32u * half)));
                }
                //# unroll
                for (var q = 0u; q < TAPS * COLUMNS; q++) {
                    rs[q * HALVES + half] = right_of(u32(right[q] >> (32u * half)));
                    over[q % COLUMNS] += surplus(rs[q * HALVES + half]);
                }
            }
            //# unroll
            for (var p = 0u; p < ROWS; p++) {
                //# registers
                var row: array<Left, TAPS * HALVES>;
                //# unroll
                for (var k = 0u; k < TAPS; k++) {
                    //# unroll
                    for (var half = 0u; half < HALVES; half++) {
                        row[k * HALVES + half] = subgroupBroadcast(
                            ls[(p / RUN * SPAN + p % RUN * STRIDE + k) / LANES * HALVES + half],
                            (p / RUN * SPAN + p % RUN * STRIDE + k) % LANES);
                    }
                }
                //# unroll
                for (var q = 0u; q < COLUMNS; q++) {
                    //# unroll
                    for (var k = 0u; k < TAPS * HALVES; k++) {
                        acc[p * COLUMNS + q] += product(row[k], rs[(k / HALVES * COLUMNS + q) * HALVES + k % HALVES]);
                    }
                }
            }
        }
    }
    //# registers
    var ends: array<Column, COLUMNS>;
    //# unroll
    for (var q = 0u; q < COLUMNS; q++) {
        ends[q] = column_of(min(column + q / PACK * (LANES * PACK) + q % PACK, params.n - 1u));
    }
    for (var p = 0u; p < ROWS; p++) {
        let at = row_of(tile, p);
        if at < params.m {
            //# unroll
            for (var q = 0u; q < COLUMNS / PACK; q++) {
                var sums: array<Sum, PACK>;
                var own: array<Column, PACK>;
                //# unroll
                for (var i = 0u; i < PACK; i++) {
                    sums[i] = acc[q * PACK + i] - over[q * PACK + i];
                    own[i] = ends[q * PACK + i];
                }
                put(at, column + q * (LANES * PACK), sums, own, lane);
            }
        }
        // The rows move up by one: an index into registers could not follow a loop.
        //# unroll
        for (var i = 0u; i < ROWS * COLUMNS; i++) {
            acc[i] = acc[min(i + COLUMNS, ROWS * COLUMNS - 1u)];
        }
    }
}
