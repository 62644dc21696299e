// out[i, j] = Σ_r left[i, r] · right[j, r]: the loop that the matrix products share.
//
// An invocation owns ROWS rows, neighbours in the workgroup apart by one, and 8·BLOCKS columns. The kernel says
// what its operands are: `left_word`, `shared_word` (of right), `columns_of` and `put`.
const WORKGROUP: u32 = 64u;
const ROWS: u32 = 4u;
const BLOCKS: u32 = 1u;

fn run(group: u32, local: u32, lane: u32) {
    let tiles = (params.n + 8u * BLOCKS - 1u) / (8u * BLOCKS);
    let row = group / tiles * (WORKGROUP * ROWS) + local;
    if group / tiles * (WORKGROUP * ROWS) >= params.m { return; }
    let column = group % tiles * (8u * BLOCKS);
    var acc: array<Sums, ROWS * BLOCKS * 2u>;
    for (var r = 0u; r < params.steps; r++) {
        var ls: array<Left, ROWS>;
        //# unroll
        for (var p = 0u; p < ROWS; p++) {
            ls[p] = left_of(left_word(min(row + p * WORKGROUP, params.m - 1u), r));
        }
        //# unroll
        for (var block = 0u; block < BLOCKS; block++) {
            let words = eight(column + 8u * block, r, lane);
            let a = right_of(words.a);
            let b = right_of(words.b);
            //# unroll
            for (var p = 0u; p < ROWS; p++) {
                acc[(p * BLOCKS + block) * 2u] += products(ls[p], a);
                acc[(p * BLOCKS + block) * 2u + 1u] += products(ls[p], b);
            }
        }
    }
    //# unroll
    for (var q = 0u; q < 2u * BLOCKS; q++) {
        let first = column + 4u * q;
        let ends = columns_of(min(vec4(first) + vec4(0u, 1u, 2u, 3u), vec4(params.n - 1u)));
        //# unroll
        for (var p = 0u; p < ROWS; p++) {
            if row + p * WORKGROUP < params.m && first < params.n {
                put(row + p * WORKGROUP, first, params.n, acc[p * BLOCKS * 2u + q], ends);
            }
        }
    }
}
