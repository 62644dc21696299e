// loss = factor · Σ (x[i] − wanted[i])²
struct Params { terms: u32, classes: u32, factor: f32, inv_temperature: f32 }
@group(0) @binding(0) var<storage, read> x: array<f32>;  // [terms]
@group(0) @binding(1) var<storage, read> wanted: array<f32>;  // [terms]
@group(0) @binding(2) var<storage, read_write> loss: array<f32>;  // [1]
@group(1) @binding(0) var<uniform> params: Params;
//# include common/loss.wgsl

fn term(i: u32) -> f32 {
    let distance = x[i] - wanted[i];
    return distance * distance;
}
