// loss = factor · Σ (log Σ exp(x[r, k]) − x[r, wanted[r]]), the row's maximum subtracted first
struct Params { terms: u32, classes: u32, factor: f32, inv_temperature: f32 }
@group(0) @binding(0) var<storage, read> x: array<f32>;  // [terms, classes]
@group(0) @binding(1) var<storage, read> wanted: array<u32>;  // [terms], less than classes
@group(0) @binding(2) var<storage, read_write> loss: array<f32>;  // [1]
@group(1) @binding(0) var<uniform> params: Params;
//# include common/logits.wgsl
//# include common/loss.wgsl

fn logit(i: u32, teacher: bool) -> f32 {
    return x[i];
}

fn term(row: u32) -> f32 {
    let q = largest_and_total(row, false);
    return log(q.y) - (x[row * params.classes + wanted[row]] - q.x);
}
