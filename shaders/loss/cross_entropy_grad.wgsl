// dx[r, k] = (exp(x[r, k]) / Σ exp(x[r, ·]) − (k = wanted[r])) · factor, the row's maximum subtracted first
struct Params { terms: u32, classes: u32, factor: f32, inv_temperature: f32 }
@group(0) @binding(0) var<storage, read> x: array<f32>;  // [terms, classes]
@group(0) @binding(1) var<storage, read> wanted: array<u32>;  // [terms], less than classes
@group(0) @binding(2) var<storage, read_write> dx: array<f32>;  // [terms, classes]
@group(1) @binding(0) var<uniform> params: Params;
//# include common/logits.wgsl
//# include common/each.wgsl

fn logit(i: u32, teacher: bool) -> f32 {
    return x[i];
}

fn run(row: u32) {
    let q = largest_and_total(row, false);
    let inv_total = 1.0 / q.y;
    let begin = row * params.classes;
    for (var i = begin; i < begin + params.classes; i++) {
        let hot = select(0.0, 1.0, i == begin + wanted[row]);
        dx[i] = (exp(x[i] - q.x) * inv_total - hot) * params.factor;
    }
}
