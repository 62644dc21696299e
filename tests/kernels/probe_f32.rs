//! probe_f32: every step counts, in every chain.

use crate::harness;
use wizen::kernels::probe_f32::ProbeF32;

#[test]
fn chains_and_tails() {
    for (len, steps, chains, fused) in [
        (1, 1, 1, false),
        (63, 1, 3, true),
        (1031, 2, 8, false),
        (64, 3, 10, true),
    ] {
        harness::check(Box::new(ProbeF32 {
            len,
            steps,
            chains,
            fused,
        }));
    }
}
