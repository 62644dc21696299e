//! relu_grad_f32: tails, and zeros whose gradient is zero.

use crate::harness;
use wizen::kernels::relu_grad_f32::ReluGradF32;

#[test]
fn tails_and_several_workgroups() {
    for len in [1, 63, 65, 256, 257, 1009, 20_011] {
        harness::check(Box::new(ReluGradF32 { shape: vec![len] }));
    }
}
