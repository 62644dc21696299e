// y[m,n] = relu?(Σ_k x[m,k] · w[n,k] + bias[n])
enable wgpu_cooperative_matrix;
// Matrices need control flow that is the same in a subgroup: naga cannot tell, and asks by this rule.
diagnostic(off, derivative_uniformity);
//# include common/index.wgsl
//# include common/cooperative_f32.wgsl
//# include common/workgroup_f32.wgsl
//# include common/matrix_rows.wgsl
//# include common/residual_none.wgsl
//# include common/workgroup_matrix.wgsl
//# include common/cooperative_words.wgsl
//# include common/cooperative_tile.wgsl

// steps: Words of a row of x and w.
struct Params { m: u32, n: u32, steps: u32 }
@group(0) @binding(0) var<storage, read> x: array<Word>;                // f32 [m, steps]
@group(0) @binding(1) var<storage, read> w: array<Word>;                // f32 [n, steps]
@group(0) @binding(2) var<storage, read> bias: array<f32>;              // [n]
@group(0) @binding(3) var<storage, read_write> y: array<f32>;           // [m, n]
@group(1) @binding(0) var<uniform> params: Params;
