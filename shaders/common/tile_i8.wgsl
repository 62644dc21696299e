// A tile of int32 sums in registers: ROWS rows of x by 4·WORDS columns (output channels) per invocation.
// Its users declare `w` (rows of packed int8, one per column) and `bias`.
const ROWS: u32 = 16u;  // 1, 4, 8 or 16
const WORDS: u32 = 4u;  // 1, 2 or 4

// Sixteen of something, for the rows or the columns; those past ROWS or 4·WORDS are not used.
struct Sixteen { a: vec4<u32>, b: vec4<u32>, c: vec4<u32>, d: vec4<u32> }
struct Sums { a: vec4<i32>, b: vec4<i32>, c: vec4<i32>, d: vec4<i32> }
struct Tile {
    s0: Sums, s1: Sums, s2: Sums, s3: Sums,
    s4: Sums, s5: Sums, s6: Sums, s7: Sums,
    s8: Sums, s9: Sums, s10: Sums, s11: Sums,
    s12: Sums, s13: Sums, s14: Sums, s15: Sums,
}

// first, first + 1, …; past the end the last one again: it is computed and not written.
fn sixteen(first: u32, end: u32) -> Sixteen {
    let i = vec4(first) + vec4(0u, 1u, 2u, 3u);
    let last = vec4(end - 1u);
    return Sixteen(min(i, last), min(i + 4u, last), min(i + 8u, last), min(i + 12u, last));
}

fn times(i: Sixteen, factor: u32) -> Sixteen {
    return Sixteen(i.a * factor, i.b * factor, i.c * factor, i.d * factor);
}

fn bias_at(i: vec4<u32>) -> vec4<i32> {
    return vec4(bias[i.x], bias[i.y], bias[i.z], bias[i.w]);
}

fn w_at(i: vec4<u32>) -> vec4<u32> {
    return vec4(w[i.x], w[i.y], w[i.z], w[i.w]);
}

fn start(columns: Sixteen) -> Tile {
    var s = Sums(bias_at(columns.a), vec4(0), vec4(0), vec4(0));
    if WORDS > 1u { s.b = bias_at(columns.b); }
    if WORDS > 2u {
        s.c = bias_at(columns.c);
        s.d = bias_at(columns.d);
    }
    return Tile(s, s, s, s, s, s, s, s, s, s, s, s, s, s, s, s);
}

// Word `t` of the columns' weights, which start at `first`.
fn weights(first: Sixteen, t: u32) -> Sixteen {
    var q = Sixteen(w_at(first.a + t), vec4(0u), vec4(0u), vec4(0u));
    if WORDS > 1u { q.b = w_at(first.b + t); }
    if WORDS > 2u {
        q.c = w_at(first.c + t);
        q.d = w_at(first.d + t);
    }
    return q;
}

fn dots(x: u32, q: vec4<u32>) -> vec4<i32> {
    return vec4(dot4I8Packed(x, q.x), dot4I8Packed(x, q.y), dot4I8Packed(x, q.z), dot4I8Packed(x, q.w));
}

fn add_row(s: ptr<function, Sums>, x: u32, q: Sixteen) {
    (*s).a += dots(x, q.a);
    if WORDS > 1u { (*s).b += dots(x, q.b); }
    if WORDS > 2u {
        (*s).c += dots(x, q.c);
        (*s).d += dots(x, q.d);
    }
}

// sums[row] += x[row] · weights, for a word of x per row.
fn add_words(tile: ptr<function, Tile>, x: Sixteen, q: Sixteen) {
    var s0 = (*tile).s0; add_row(&s0, x.a.x, q); (*tile).s0 = s0;
    if ROWS > 1u {
        var s1 = (*tile).s1; add_row(&s1, x.a.y, q); (*tile).s1 = s1;
        var s2 = (*tile).s2; add_row(&s2, x.a.z, q); (*tile).s2 = s2;
        var s3 = (*tile).s3; add_row(&s3, x.a.w, q); (*tile).s3 = s3;
    }
    if ROWS > 4u {
        var s4 = (*tile).s4; add_row(&s4, x.b.x, q); (*tile).s4 = s4;
        var s5 = (*tile).s5; add_row(&s5, x.b.y, q); (*tile).s5 = s5;
        var s6 = (*tile).s6; add_row(&s6, x.b.z, q); (*tile).s6 = s6;
        var s7 = (*tile).s7; add_row(&s7, x.b.w, q); (*tile).s7 = s7;
    }
    if ROWS > 8u {
        var s8 = (*tile).s8; add_row(&s8, x.c.x, q); (*tile).s8 = s8;
        var s9 = (*tile).s9; add_row(&s9, x.c.y, q); (*tile).s9 = s9;
        var s10 = (*tile).s10; add_row(&s10, x.c.z, q); (*tile).s10 = s10;
        var s11 = (*tile).s11; add_row(&s11, x.c.w, q); (*tile).s11 = s11;
        var s12 = (*tile).s12; add_row(&s12, x.d.x, q); (*tile).s12 = s12;
        var s13 = (*tile).s13; add_row(&s13, x.d.y, q); (*tile).s13 = s13;
        var s14 = (*tile).s14; add_row(&s14, x.d.z, q); (*tile).s14 = s14;
        var s15 = (*tile).s15; add_row(&s15, x.d.w, q); (*tile).s15 = s15;
    }
}

// The rows move up by one: so a loop reads them all from s0, which an index into registers could not.
fn next_row(tile: ptr<function, Tile>) {
    if ROWS > 1u {
        (*tile).s0 = (*tile).s1;
        (*tile).s1 = (*tile).s2;
        (*tile).s2 = (*tile).s3;
    }
    if ROWS > 4u {
        (*tile).s3 = (*tile).s4;
        (*tile).s4 = (*tile).s5;
        (*tile).s5 = (*tile).s6;
        (*tile).s6 = (*tile).s7;
    }
    if ROWS > 8u {
        (*tile).s7 = (*tile).s8;
        (*tile).s8 = (*tile).s9;
        (*tile).s9 = (*tile).s10;
        (*tile).s10 = (*tile).s11;
        (*tile).s11 = (*tile).s12;
        (*tile).s12 = (*tile).s13;
        (*tile).s13 = (*tile).s14;
        (*tile).s14 = (*tile).s15;
    }
}
