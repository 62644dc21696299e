// y[i, j] = bias[j] + Σ_t x[i, t]·w[j, t]                      (int32)
//# include common/index.wgsl
//# include common/i8.wgsl
//# include common/subgroup_i8.wgsl
//# include common/subgroup_matrix.wgsl
//# include common/subgroup_tile.wgsl

// groups = 1; steps: Words of a row of x and w.
struct Params { m: u32, n: u32, tiles: u32, groups: u32, steps: u32 }
@group(0) @binding(0) var<storage, read> x: array<Word>;                // int8 [m, steps]
@group(0) @binding(1) var<storage, read> w: array<Word>;                // int8 [n, steps]
@group(0) @binding(2) var<storage, read> bias: array<i32>;              // [n]
@group(0) @binding(3) var<storage, read_write> y: array<i32>;           // [m, n]
@group(1) @binding(0) var<uniform> params: Params;

alias Column = i32;

fn column_of(j: u32) -> Column {
    return bias[j];
}

fn put(row: u32, column: u32, sums: array<Sum, PACK>, ends: array<Column, PACK>, lane: u32) {
    //# unroll
    for (var i = 0u; i < PACK; i++) {
        if column + i < params.n { y[row * params.n + column + i] = sums[i] + ends[i]; }
    }
}
