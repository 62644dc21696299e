//! quantize: exact ties, values that are not finite, every axis, empty ranges, results by hand.

use std::sync::Arc;

use crate::harness::{by_hand, check, check_with};
use wizen::base::{DType, Range, Rng, Tensor};
use wizen::kernels::quantize::{
    Dequantize, FakeQuant, FakeQuantGrad, FakeQuantScaleGrad, Quantize,
};
use wizen::kernels::{Caps, Kernel, chunks_for};

const INT8: Range = Range::affine(8);

fn quantize(shape: &[usize], axis: Option<usize>, range: Range) -> Quantize {
    Quantize {
        shape: shape.to_vec(),
        axis,
        range,
    }
}

fn dequantize(shape: &[usize], axis: Option<usize>, dtype: DType) -> Dequantize {
    Dequantize {
        shape: shape.to_vec(),
        axis,
        dtype,
    }
}

fn fake(shape: &[usize], axis: Option<usize>, range: Range) -> FakeQuant {
    FakeQuant {
        shape: shape.to_vec(),
        axis,
        range,
    }
}

fn grad(shape: &[usize], range: Range) -> FakeQuantGrad {
    FakeQuantGrad {
        shape: shape.to_vec(),
        axis: None,
        range,
    }
}

fn scale_grad(shape: &[usize], axis: Option<usize>, chunks: usize) -> FakeQuantScaleGrad {
    FakeQuantScaleGrad {
        shape: shape.to_vec(),
        axis,
        range: INT8,
        grad_factor: 0.01,
        chunks,
    }
}

fn floats(x: &[f32]) -> Tensor {
    Tensor::from_f32(&[x.len()], x).expect("fits")
}

fn integer(z: i32) -> Tensor {
    Tensor::from_i32(&[1], &[z]).expect("fits")
}

#[test]
fn every_axis() {
    for axis in [None, Some(0), Some(1), Some(2), Some(3)] {
        for shape in [[2, 3, 5, 6], [3, 1, 4, 1], [1, 2, 9, 33]] {
            check(Box::new(quantize(&shape, axis, INT8)));
            check(Box::new(dequantize(&shape, axis, DType::I8)));
            check(Box::new(dequantize(&shape, axis, DType::I32)));
        }
    }
}

#[test]
fn ties_round_to_even_before_an_odd_zero_point() {
    let x: Vec<f32> = (-300..300).map(|i| i as f32 * 0.25).collect();
    let y = Tensor::zeros(&[600], DType::I8);
    let args = vec![floats(&x), floats(&[2.0]), integer(7), y];
    check_with(Arc::new(quantize(&[600], None, INT8)), args);
}

#[test]
fn nan_gives_the_zero_point_within_the_range() {
    for (zero_point, bits) in [(0, 0x7fc0_0000u32), (-5, 0xffff_ffff), (100, 0x7f80_0001)] {
        let x = [f32::from_bits(bits), f32::INFINITY, f32::NEG_INFINITY, -0.0];
        let y = Tensor::zeros(&[4], DType::I8);
        let args = vec![floats(&x), floats(&[3.0]), integer(zero_point), y];
        check_with(Arc::new(quantize(&[4], None, Range::affine(6))), args);
    }
}

/// Ties of a product that is exact are no excuse: zero points of either parity, no step allowed.
#[test]
fn exact_ties_and_not_finite_values() {
    let mut x: Vec<f32> = (-600..600).map(|i| i as f32 / 8.0).collect();
    x.extend([
        f32::NAN,
        f32::INFINITY,
        f32::NEG_INFINITY,
        f32::MAX,
        -f32::MAX,
    ]);
    for zero_point in [-7, 0, 3, 127, -128] {
        let y = Tensor::zeros(&[x.len()], DType::F32);
        let z = integer(zero_point);
        let args = vec![floats(&x), floats(&[0.25]), floats(&[4.0]), z, y];
        check_with(Arc::new(fake(&[x.len()], None, INT8)), args);
    }
}

#[test]
fn channels_and_their_widths() {
    for inner in [1, 3, 63, 64, 65, 129] {
        for channels in [1, 2, 7, 63, 130] {
            check(Box::new(fake(&[2, channels, inner], Some(1), INT8)));
        }
    }
    // The grid is folded.
    check(Box::new(fake(&[65_536, 257], Some(0), Range::symmetric(8))));
}

#[test]
fn ends_of_the_range() {
    let mut x: Vec<f32> = (-100..100).map(|i| i as f32 / 8.0).collect();
    x.extend([f32::NAN, f32::INFINITY, f32::NEG_INFINITY]);
    let dy: Vec<f32> = (0..x.len()).map(|i| i as f32 + 1.0).collect();
    for (zero_point, range) in [
        (0, Range::affine(4)),
        (-3, Range::affine(4)),
        (7, Range::affine(4)),
        (0, Range::symmetric(2)),
        (-1, Range::affine(1)),
    ] {
        let dx = Tensor::zeros(&[x.len()], DType::F32);
        let args = vec![
            floats(&x),
            floats(&[1.0]),
            integer(zero_point),
            floats(&dy),
            dx,
        ];
        check_with(Arc::new(grad(&[x.len()], range)), args);
    }
}

#[test]
fn gradients_of_scales_in_layers_and_chunks() {
    let many = chunks_for(2 * 56 * 56 * 48);
    check(Box::new(scale_grad(&[2, 56, 56, 48], None, many)));
    for shape in [&[64, 3, 3, 64], &[10, 84, 1, 1], &[6, 5, 5, 1]] {
        check(Box::new(scale_grad(shape, Some(0), 1)));
    }
    for chunks in [1, 2, 3, 64, 65, 1000] {
        check(Box::new(scale_grad(&[3, 7, 131], Some(1), chunks)));
    }
}

#[test]
fn storage_by_hand() {
    let infinity = f64::INFINITY;
    let x = [0.5, 1.5, f64::NAN, infinity, 0.5, -1.25, -0.0, -1e30];
    let y = [3., 5., 3., 127., 0., -3., -1., -128.];
    let kernel = quantize(&[2, 4], Some(0), INT8);
    by_hand(&kernel, &[&x, &[1., 2.], &[3., -1.]], &[(3, &y)]);
    for dtype in [DType::I8, DType::I32] {
        let args: [&[f64]; 3] = [&[1., 2., 3., -1., -2., -3.], &[1., 0.5, 2.], &[0., 2., -1.]];
        let y = [1., 0., 8., -1., -2., -4.];
        by_hand(&dequantize(&[2, 3], Some(1), dtype), &args, &[(3, &y)]);
    }
}

#[test]
fn fake_quantization_by_hand() {
    // Ties go to the even integer before the zero point is added; 3 − 1 = 2 steps are the most.
    let x = [0.25, 0.75, 9.0, -1.0, f64::NAN, -9.0];
    let kernel = fake(&[2, 3], Some(0), Range::affine(3));
    let args: [&[f64]; 4] = [&x, &[0.5, 2.], &[2., 0.5], &[1., 0.]];
    by_hand(&kernel, &args, &[(4, &[0., 1., 1., 0., 0., -8.])]);
    // Half a step beyond the end still passes.
    let args: [&[f64]; 4] = [
        &[3.25, 3.75, -4.5, -4.75, f64::INFINITY],
        &[1.],
        &[0.],
        &[1., 2., 3., 4., 5.],
    ];
    by_hand(
        &grad(&[5], Range::affine(3)),
        &args,
        &[(4, &[1., 0., 3., 0., 0.])],
    );
    let kernel = FakeQuantScaleGrad {
        range: Range::affine(3),
        grad_factor: 0.5,
        ..scale_grad(&[4], None, 2)
    };
    // Above: 3 + 1 = 4. Below: −4 + 1 = −3, times 10. Inside: (0.5 − 0.625) · 2 · 100.
    let args: [&[f64]; 5] = [
        &[9., -9., 0.625, 2.5],
        &[0.5],
        &[2.],
        &[-1.],
        &[1., 10., 100., 0.],
    ];
    by_hand(&kernel, &args, &[(5, &[-13., -12.5])]);
}

#[test]
fn what_cannot_be_is_an_error() {
    let caps = Caps::portable();
    let empty = Range { qmin: 5, qmax: 4 };
    let wide = Range {
        qmin: -129,
        qmax: 4,
    };
    let with_range = |range| FakeQuantScaleGrad {
        range,
        ..scale_grad(&[2, 3], None, 1)
    };
    let kernels: [Box<dyn Kernel>; 10] = [
        Box::new(quantize(&[2, 3], None, empty)),
        Box::new(quantize(&[2, 3], None, wide)),
        Box::new(quantize(&[2, 3], Some(2), INT8)),
        Box::new(dequantize(&[2, 3], Some(2), DType::I8)),
        Box::new(dequantize(&[2, 3], Some(2), DType::I32)),
        Box::new(fake(&[2, 3], None, empty)),
        Box::new(fake(&[2, 3], Some(2), INT8)),
        Box::new(grad(&[2, 3], empty)),
        Box::new(with_range(empty)),
        Box::new(scale_grad(&[2, 3], Some(2), 1)),
    ];
    for kernel in kernels {
        let error = kernel.launch(&caps).expect_err("wrong").to_string();
        assert!(error.starts_with(kernel.name()), "{error}");
        let bindings = kernel.bindings();
        let mut args = wizen::kernels::random_args(&bindings, &mut Rng::new(1));
        assert!(kernel.cpu(&mut args).is_err(), "{kernel:?}");
    }
    for dtype in [DType::F32, DType::F16, DType::U32] {
        assert!(dequantize(&[2], None, dtype).launch(&caps).is_err());
    }
}
