//! probe: chains and tails of every arithmetic, results by hand.

use crate::harness::{by_hand, check, gpu};
use wizen::kernels::probe::{Arithmetic, Probe};
use wizen::kernels::{Caps, Kernel};

fn probe(len: usize, steps: usize, chains: usize, arithmetic: Arithmetic) -> Probe {
    Probe {
        len,
        steps,
        chains,
        arithmetic,
    }
}

#[test]
fn chains_and_tails() {
    use Arithmetic::{F16, F16Native, F32, F32Fused, I8};
    for (len, steps, chains) in [(1, 1, 1), (63, 1, 3), (1031, 2, 8), (64, 3, 10)] {
        for arithmetic in [F32, F32Fused, F16, I8] {
            check(Box::new(probe(len, steps, chains, arithmetic)));
        }
        if gpu().is_some_and(|gpu| gpu.caps().f16) && chains <= 8 {
            check(Box::new(probe(len, 1, chains, F16Native)));
        }
    }
    // Portable devices have no native f16.
    assert!(probe(1, 1, 1, F16Native).launch(&Caps::portable()).is_err());
}

#[test]
fn results_by_hand() {
    // 0.5 and 1.5, 32 times 0.5 added to each.
    let kernel = probe(1, 1, 2, Arithmetic::F32);
    by_hand(&kernel, &[&[1.], &[0.5]], &[(2, &[34.])]);
    assert_eq!(kernel.operations(), 128.0);
    // 0.5 and 16 times as much again; 3, however often.
    let kernel = probe(1, 1, 1, Arithmetic::F16);
    by_hand(&kernel, &[&[1., 0.], &[0.5, 3.]], &[(2, &[11.5])]);
    assert_eq!(kernel.operations(), 64.0);
    // x = 0: every b is 0, and nothing is added. x = 1: b_c = 2c + 1 has one byte. The lowest bytes of a, signed, each
    // times the sum of all b, 64; and 1 from the start of each chain.
    let kernel = probe(1, 1, 8, Arithmetic::I8);
    by_hand(&kernel, &[&[0., 0., 0., 0.]], &[(1, &[0.])]);
    let add = 0x9e37_79b9u32;
    let lowest = (1..=8u32).map(|u| i32::from(add.wrapping_mul(u).wrapping_add(1) as u8 as i8));
    let want = f64::from(8 + 64 * lowest.sum::<i32>());
    by_hand(&kernel, &[&[1., 0., 0., 0.]], &[(1, &[want])]);
    assert_eq!(kernel.operations(), 512.0);
}
