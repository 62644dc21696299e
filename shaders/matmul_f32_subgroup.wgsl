// y[m,n] = relu?(Σ_k x[m,k] · w[n,k] + bias[n])
//# include common/index.wgsl
//# include common/subgroup_f32.wgsl
//# include common/subgroup_matrix.wgsl
//# include common/residual_none.wgsl
//# include common/subgroup_tile.wgsl

// groups = 1; steps: Words of a row of x and w.
struct Params { m: u32, n: u32, tiles: u32, groups: u32, steps: u32 }
@group(0) @binding(0) var<storage, read> x: array<Word>;                // f32 [m, steps]
@group(0) @binding(1) var<storage, read> w: array<Word>;                // f32 [n, steps]
@group(0) @binding(2) var<storage, read> bias: array<f32>;              // [n]
@group(0) @binding(3) var<storage, read_write> y: array<f32>;           // [m, n]
@group(1) @binding(0) var<uniform> params: Params;
