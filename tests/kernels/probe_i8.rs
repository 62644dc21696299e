//! probe_i8: every step counts, in every chain.

use crate::harness;
use wizen::kernels::probe_i8::ProbeI8;

#[test]
fn chains_and_tails() {
    for (len, steps) in [(1, 1), (63, 3), (1031, 2)] {
        harness::check(Box::new(ProbeI8 { len, steps }));
    }
}
