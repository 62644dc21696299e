// loss = factor · Σ_r Σ_k p[r, k] · (log p[r, k] − log q[r, k]), p and q the softmax of wanted and x by temperature
struct Params { terms: u32, classes: u32, factor: f32, inv_temperature: f32 }
@group(0) @binding(0) var<storage, read> x: array<f32>;  // [terms, classes]
@group(0) @binding(1) var<storage, read> wanted: array<f32>;  // [terms, classes]
@group(0) @binding(2) var<storage, read_write> loss: array<f32>;  // [1]
@group(1) @binding(0) var<uniform> params: Params;
//# include common/logits.wgsl
//# include common/loss.wgsl

fn logit(i: u32, teacher: bool) -> f32 {
    if teacher { return wanted[i]; }
    return x[i];
}

fn term(row: u32) -> f32 {
    let p = largest_and_total(row, true);
    let q = largest_and_total(row, false);
    let begin = row * params.classes;
    var sum = 0.0;
    for (var i = begin; i < begin + params.classes; i++) {
        let a = (wanted[i] - p.x) * params.inv_temperature;
        let b = (x[i] - q.x) * params.inv_temperature;
        sum += exp(a) * (a - b);
    }
    return sum / p.y + log(q.y) - log(p.y);
}
