//! map: every function where it bends and where it overflows, odd rows, folded grids, all integers.

use std::sync::Arc;

use crate::harness;
use wizen::base::{DType, QParams, Range, Tensor};
use wizen::kernels::map::{Cast, Map, MapGrad, MapI8, MapInPlace, Unary, table};

const FLOATS: [DType; 2] = [DType::F32, DType::F16];

#[test]
fn tails_odd_rows_and_folded_grids() {
    let f = Unary::Sigmoid;
    for shape in [
        vec![1],
        vec![3, 1],
        vec![3, 5, 129],
        vec![257],
        vec![20_011],
    ] {
        for dtype in FLOATS {
            let shape = shape.clone();
            harness::check(Box::new(Map { shape, dtype, f }));
        }
        harness::check(Box::new(MapInPlace {
            len: shape.iter().product(),
            f,
        }));
        harness::check(Box::new(MapI8 {
            shape: shape.clone(),
        }));
        harness::check(Box::new(MapGrad { shape, f }));
    }
    let (shape, f) = (vec![2 * 256 * 65_535 + 1], Unary::Relu);
    harness::check(Box::new(Map {
        shape,
        dtype: DType::F16,
        f,
    }));
    for (from, to) in [(DType::F32, DType::F16), (DType::F16, DType::F32)] {
        for shape in [vec![127], vec![3, 5, 7], vec![2, 64 * 65_535 + 1]] {
            harness::check(Box::new(Cast { shape, from, to }));
        }
    }
}

/// Around bends, at zero, in the tails, and where `e^x` is beyond f32.
#[test]
fn bends_tails_and_overflow() {
    let mut x = vec![0.0, -0.0, 1e-3, 87.0, 89.0, 100.0, 104.0, 1e4, 6e4];
    for bend in [0.5f32, 1.0, 2.5, 3.0, 6.0] {
        x.extend([bend.next_down(), bend, bend.next_up(), 1.1 * bend]);
    }
    let both: Vec<f32> = x.iter().flat_map(|x| [*x, -x]).collect();
    let (alpha, beta) = (1.0 / 6.0, 0.5);
    let torch = Unary::HardSigmoid { alpha, beta };
    let powers = [-2.0, -0.5, 0.5, 2.5, 11.0, 12.0].map(|exponent| Unary::Pow { exponent });
    for f in Unary::examples().into_iter().chain([torch]).chain(powers) {
        for (dtype, most) in [(DType::F32, 1e38), (DType::F16, 6e4)] {
            let fits = |x: &f32| {
                let x = f64::from(*x);
                f.is_defined_at(x) && x >= -1e4 && f.f64(x).abs() < most
            };
            let x: Vec<f32> = both.iter().copied().filter(fits).collect();
            let shape = vec![x.len()];
            let of = |values| match dtype {
                DType::F16 => Tensor::from_f32_as_f16(&shape, values),
                _ => Tensor::from_f32(&shape, values),
            };
            let args = vec![of(&x).expect("fits"), Tensor::zeros(&shape, dtype)];
            let kernel = Map { shape, dtype, f };
            harness::check_with(Arc::new(kernel), args);
        }
        let fits = |x: &f32| {
            let x = f64::from(*x);
            f.is_defined_at(x) && x >= -1e4 && f.derivative(x).abs() < 1e38
        };
        let x: Vec<f32> = both.iter().copied().filter(fits).collect();
        let shape = vec![x.len()];
        let args = [x.clone(), vec![-1.5; x.len()], vec![0.0; x.len()]];
        let args = args.map(|values| Tensor::from_f32(&shape, &values).expect("fits"));
        harness::check_with(Arc::new(MapGrad { shape, f }), args.into());
    }
}

#[test]
fn half_precision_small_large_and_halfway() {
    let x = [
        1e-7,
        -3e-6,
        6.2e-5,
        65504.0,
        -65000.0,
        1.0 + 1.0 / 2048.0,
        0.0,
        -0.0,
        2049.0,
    ];
    let args = vec![
        Tensor::from_f32(&[9], &x).expect("fits"),
        Tensor::zeros(&[9], DType::F16),
    ];
    let (shape, from, to) = (vec![9], DType::F32, DType::F16);
    harness::check_with(Arc::new(Cast { shape, from, to }), args);
}

#[test]
fn every_integer_through_every_function() {
    let q = |scale, zero_point, bits| QParams {
        scale,
        zero_point,
        range: Range::affine(bits),
    };
    let all: Vec<i8> = (0..=255u8).map(|byte| byte as i8).collect();
    let x = Tensor::from_i8(&[256], &all).expect("fits");
    for f in Unary::examples() {
        for (qx, qy) in [
            (q(0.05, 3, 8), q(0.02, -100, 8)),
            (q(0.3, -128, 8), q(0.9, 1, 4)),
        ] {
            let table = table(|x| f.f64(f64::from(x)) as f32, qx, qy);
            let args = vec![x.clone(), table, Tensor::zeros(&[256], DType::I8)];
            harness::check_with(Arc::new(MapI8 { shape: vec![256] }), args);
        }
    }
}
