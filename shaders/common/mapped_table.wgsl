// What an int8 result goes through: a table, the last buffer of the program.
const TABLE: u32 = 5u;                                             // its binding
@group(0) @binding(TABLE) var<storage, read> table: array<u32>;    // i8 x 4 [64], the result of byte b at b

fn mapped(q: i32) -> i32 {
    let byte = u32(q) & 255u;
    return extractBits(i32(table[byte / 4u]), byte % 4u * 8u, 8u);
}
