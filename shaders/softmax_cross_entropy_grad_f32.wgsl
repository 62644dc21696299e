// dlogits[r, k] = (exp(logits[r, k]) / Σ exp(logits[r, ·]) − (k = labels[r])) / rows, the row's maximum subtracted first
//# include common/index.wgsl
const WORKGROUP: u32 = 32u;  // one row to an invocation

struct Params { rows: u32, classes: u32, inv_rows: f32 }
@group(0) @binding(0) var<storage, read> logits: array<f32>;  // [rows, classes]
@group(0) @binding(1) var<storage, read> labels: array<u32>;  // [rows], less than classes
@group(0) @binding(2) var<storage, read_write> dlogits: array<f32>;  // [rows, classes]
@group(1) @binding(0) var<uniform> params: Params;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32,
        @builtin(num_workgroups) groups: vec3<u32>) {
    let row = linear_id(group, local, groups, WORKGROUP);
    if row >= params.rows { return; }
    let begin = row * params.classes;
    let end = begin + params.classes;
    let hot = begin + labels[row];
    var largest = logits[begin];
    for (var i = begin + 1u; i < end; i++) {
        largest = max(largest, logits[i]);
    }
    var total = 0.0;
    for (var i = begin; i < end; i++) {
        total += exp(logits[i] - largest);
    }
    let inv_total = 1.0 / total;
    for (var i = begin; i < end; i++) {
        let probability = exp(logits[i] - largest) * inv_total;
        dlogits[i] = (probability - select(0.0, 1.0, i == hot)) * params.inv_rows;
    }
}
