//! add_i8: all pairs of integers, scales far apart, both rules.

use std::sync::Arc;

use crate::harness;
use wizen::base::{DType, QParams, Range, Requant, Tensor};
use wizen::kernels::add_i8::AddI8;

fn q(scale: f32, zero_point: i32) -> QParams {
    QParams {
        scale,
        zero_point,
        range: Range::affine(8),
    }
}

#[test]
fn every_pair_of_integers() {
    let a: Vec<i8> = (0..65_536u32).map(|i| (i >> 8) as u8 as i8).collect();
    let b: Vec<i8> = (0..65_536u32).map(|i| i as u8 as i8).collect();
    let shape = [256, 256];
    let cases = [
        [q(0.1, 3), q(0.07, -50), q(0.13, 20)],
        [q(1.0, -128), q(1.0, 127), q(2.0, 0)],
        [q(1e-4, 0), q(5.0, 1), q(4.0, -1)],
        [q(300.0, -128), q(299.0, -128), q(1.0, 0)],
    ];
    for [qa, qb, qy] in cases {
        for requant in [Requant::Float, Requant::Fixed] {
            let kernel = AddI8 {
                shape: shape.to_vec(),
                a: qa,
                b: qb,
                y: qy,
                requant,
            };
            let args = vec![
                Tensor::from_i8(&shape, &a).expect("fits"),
                Tensor::from_i8(&shape, &b).expect("fits"),
                Tensor::zeros(&shape, DType::I8),
            ];
            harness::check_with(Arc::new(kernel), args);
        }
    }
}

#[test]
fn tails() {
    for shape in [vec![3], vec![5, 1], vec![2, 9, 6], vec![257, 255]] {
        harness::check(Box::new(AddI8 {
            shape,
            a: q(0.11, 4),
            b: q(0.3, -8),
            y: q(0.35, 0),
            requant: Requant::Fixed,
        }));
    }
}
