// loss = 1 / rows · Σ (log Σ exp(logits[r, k]) − logits[r, labels[r]]), the row's maximum subtracted first
// One workgroup: the order of the sum is the same on every run.
const WORKGROUP: u32 = 64u;

struct Params { rows: u32, classes: u32, inv_rows: f32 }
@group(0) @binding(0) var<storage, read> logits: array<f32>;  // [rows, classes]
@group(0) @binding(1) var<storage, read> labels: array<u32>;  // [rows], less than classes
@group(0) @binding(2) var<storage, read_write> loss: array<f32>;  // [1]
@group(1) @binding(0) var<uniform> params: Params;

var<workgroup> partial: array<f32, WORKGROUP>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(local_invocation_index) local: u32) {
    var sum = 0.0;
    for (var row = local; row < params.rows; row += WORKGROUP) {
        let begin = row * params.classes;
        let end = begin + params.classes;
        var largest = logits[begin];
        for (var i = begin + 1u; i < end; i++) {
            largest = max(largest, logits[i]);
        }
        var total = 0.0;
        for (var i = begin; i < end; i++) {
            total += exp(logits[i] - largest);
        }
        sum += log(total) - (logits[begin + labels[row]] - largest);
    }
    partial[local] = sum;
    workgroupBarrier();
    if local != 0u { return; }
    sum = 0.0;
    for (var lane = 0u; lane < min(WORKGROUP, params.rows); lane++) {
        sum += partial[lane];
    }
    loss[0] = sum * params.inv_rows;
}
