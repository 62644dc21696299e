// dx[r, k] = (q[r, k] − p[r, k]) · factor, p and q the softmax of wanted and x by temperature
struct Params { terms: u32, classes: u32, factor: f32, inv_temperature: f32 }
@group(0) @binding(0) var<storage, read> x: array<f32>;  // [terms, classes]
@group(0) @binding(1) var<storage, read> wanted: array<f32>;  // [terms, classes]
@group(0) @binding(2) var<storage, read_write> dx: array<f32>;  // [terms, classes]
@group(1) @binding(0) var<uniform> params: Params;
//# include common/logits.wgsl
//# include common/each.wgsl

fn logit(i: u32, teacher: bool) -> f32 {
    if teacher { return wanted[i]; }
    return x[i];
}

fn run(row: u32) {
    let p = largest_and_total(row, true);
    let q = largest_and_total(row, false);
    let inv_p = 1.0 / p.y;
    let inv_q = 1.0 / q.y;
    let begin = row * params.classes;
    for (var i = begin; i < begin + params.classes; i++) {
        let teacher = exp((wanted[i] - p.x) * params.inv_temperature) * inv_p;
        dx[i] = (exp((x[i] - q.x) * params.inv_temperature) * inv_q - teacher) * params.factor;
    }
}
