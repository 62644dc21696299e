// loss = factor · Σ_i term(i). One workgroup: the order of the sum is the same on every run. `term`, `params`, `loss` are
// the kernel's.
const WORKGROUP: u32 = 64u;

var<workgroup> partial: array<f32, WORKGROUP>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(local_invocation_index) local: u32) {
    var sum = 0.0;
    for (var i = local; i < params.terms; i += WORKGROUP) { sum += term(i); }
    partial[local] = sum;
    workgroupBarrier();
    if local != 0u { return; }
    sum = 0.0;
    for (var lane = 0u; lane < min(WORKGROUP, params.terms); lane++) { sum += partial[lane]; }
    loss[0] = sum * params.factor;
}
