// y[i, j] = bias[j] + Σ_t x[i, t]·w[j, t]                      (int32)
//# include common/index.wgsl
//# include common/i8.wgsl
//# include common/workgroup_i8.wgsl
//# include common/workgroup_put_i32.wgsl
//# include common/matrix_rows.wgsl
//# include common/workgroup_matrix.wgsl
//# include common/workgroup_tile.wgsl

// steps: words of a row of x and w.
struct Params { m: u32, n: u32, steps: u32 }
@group(0) @binding(0) var<storage, read> x: array<u32>;                 // int8 [m, steps]
@group(0) @binding(1) var<storage, read> w: array<u32>;                 // int8 [n, steps]
@group(0) @binding(2) var<storage, read> bias: array<i32>;              // [n]
@group(0) @binding(3) var<storage, read_write> y: array<i32>;           // [m, n]
@group(1) @binding(0) var<uniform> params: Params;
