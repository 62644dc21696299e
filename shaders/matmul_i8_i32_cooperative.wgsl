// y[i, j] = bias[j] + Σ_t x[i, t]·w[j, t]                      (int32)
enable f16;
enable wgpu_cooperative_matrix;
// Matrices need control flow that is the same in a subgroup: naga cannot tell, and asks by this rule.
diagnostic(off, derivative_uniformity);
//# include common/index.wgsl
//# include common/i8.wgsl
//# include common/workgroup_i8.wgsl
//# include common/workgroup_put_i32.wgsl
//# include common/matrix_rows.wgsl
//# include common/workgroup_matrix.wgsl
//# include common/cooperative_i8.wgsl
//# include common/cooperative_tile.wgsl

// steps: Words of a row of x and w.
struct Params { m: u32, n: u32, steps: u32 }
@group(0) @binding(0) var<storage, read> x: array<Word>;                // int8 [m, steps]
@group(0) @binding(1) var<storage, read> w: array<Word>;                // int8 [n, steps]
@group(0) @binding(2) var<storage, read> bias: array<i32>;              // [n]
@group(0) @binding(3) var<storage, read_write> y: array<i32>;           // [m, n]
@group(1) @binding(0) var<uniform> params: Params;
