// dx[i] = (x[i] − wanted[i]) · factor
struct Params { terms: u32, classes: u32, factor: f32, inv_temperature: f32 }
@group(0) @binding(0) var<storage, read> x: array<f32>;  // [terms]
@group(0) @binding(1) var<storage, read> wanted: array<f32>;  // [terms]
@group(0) @binding(2) var<storage, read_write> dx: array<f32>;  // [terms]
@group(1) @binding(0) var<uniform> params: Params;
//# include common/each.wgsl

fn run(i: u32) {
    dx[i] = (x[i] - wanted[i]) * params.factor;
}
