//! Every sample of every kernel, on random arguments.

use crate::harness;

#[test]
fn every_sample_agrees_with_its_cpu_twin() {
    let kernels = wizen::kernels::all();
    assert!(!kernels.is_empty(), "no kernels were checked");
    for kernel in kernels {
        harness::check(kernel);
    }
}
