// out[i, j] = Σ_r left[i, r] · right[j, r]: the loop that the matrix products share.
//
// An invocation owns ROWS rows, neighbours in the workgroup apart by one, and 8·BLOCKS columns. The kernel says
// what its operands are: `left_word`, `shared_word` (of right), `multiply` and `put`.
const WORKGROUP: u32 = 64u;
const ROWS: u32 = 4u;
const BLOCKS: u32 = 1u;

const RIGHT: u32 = 0u;
const BIAS: u32 = 1u;

fn run(group: u32, local: u32, lane: u32) {
    let tiles = (params.columns + 8u * BLOCKS - 1u) / (8u * BLOCKS);
    let row = group / tiles * (WORKGROUP * ROWS) + local;
    if group / tiles * (WORKGROUP * ROWS) >= params.rows { return; }
    let column = group % tiles * (8u * BLOCKS);
    var acc: array<vec4<f32>, ROWS * BLOCKS * 2u>;
    for (var r = 0u; r < params.steps; r++) {
        var ls: array<u32, ROWS>;
        //# unroll
        for (var p = 0u; p < ROWS; p++) {
            ls[p] = left_word(min(row + p * WORKGROUP, params.rows - 1u), r);
        }
        //# unroll
        for (var block = 0u; block < BLOCKS; block++) {
            let rs = eight(RIGHT, column + 8u * block, r, lane);
            //# unroll
            for (var p = 0u; p < ROWS; p++) {
                acc[(p * BLOCKS + block) * 2u] += multiply(ls[p], rs.a);
                acc[(p * BLOCKS + block) * 2u + 1u] += multiply(ls[p], rs.b);
            }
        }
    }
    //# unroll
    for (var block = 0u; block < BLOCKS; block++) {
        let start = eight(BIAS, column + 8u * block, 0u, lane);
        //# unroll
        for (var p = 0u; p < ROWS; p++) {
            if row + p * WORKGROUP < params.rows {
                let at = (p * BLOCKS + block) * 2u;
                put(row + p * WORKGROUP, column + 8u * block, acc[at] + bitcast<vec4<f32>>(start.a));
                put(row + p * WORKGROUP, column + 8u * block + 4u, acc[at + 1u] + bitcast<vec4<f32>>(start.b));
            }
        }
    }
}
