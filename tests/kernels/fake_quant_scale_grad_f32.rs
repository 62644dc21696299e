//! fake_quant_scale_grad_f32: the sizes of real layers, chunks that do not divide.

use crate::harness;
use wizen::base::Range;
use wizen::kernels::fake_quant_scale_grad_f32::{FakeQuantScaleGradF32, chunks_for};

fn check(shape: &[usize], axis: Option<usize>, chunks: usize) {
    harness::check(Box::new(FakeQuantScaleGradF32 {
        shape: shape.to_vec(),
        axis,
        range: Range::affine(8),
        grad_factor: 0.01,
        chunks,
    }));
}

#[test]
fn layers() {
    check(&[2, 56, 56, 48], None, chunks_for(2 * 56 * 56 * 48));
    check(&[64, 3, 3, 64], Some(0), 1);
    check(&[10, 84], Some(0), 1);
    check(&[6, 5, 5, 1], Some(0), 1);
}

#[test]
fn chunks() {
    for chunks in [1, 2, 3, 64, 65, 1000] {
        check(&[3, 7, 131], Some(1), chunks);
    }
}
