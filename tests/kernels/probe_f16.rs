//! probe_f16: packed everywhere, native where the device has it.

use crate::harness;
use wizen::gpu::Caps;
use wizen::kernels::Kernel;
use wizen::kernels::probe_f16::ProbeF16;

#[test]
fn chains_and_tails() {
    let kernel = |(len, steps, chains), native| ProbeF16 {
        len,
        steps,
        chains,
        native,
    };
    assert!(
        kernel((1, 1, 1), true).launch(&Caps::portable()).is_err(),
        "portable devices have no native f16"
    );
    for sizes in [(1, 1, 1), (63, 2, 3), (1031, 1, 8)] {
        harness::check(Box::new(kernel(sizes, false)));
        if harness::gpu().is_some_and(|gpu| gpu.caps().f16) {
            harness::check(Box::new(kernel(sizes, true)));
        }
    }
}
