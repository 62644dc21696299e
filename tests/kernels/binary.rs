//! binary: shapes that broadcast in every way, all pairs of integers, sums back to every shape.

use std::sync::Arc;

use crate::harness;
use wizen::base::{DType, QParams, Range, Requant, Tensor};
use wizen::gpu::Caps;
use wizen::kernels::Kernel as _;
use wizen::kernels::binary::{Accumulate, ApplyMask, Binary, BinaryI8, BinaryOp, SumTo};
use wizen::kernels::map::Unary;

const RULES: [Requant; 2] = [Requant::Float, Requant::Fixed];

fn q(scale: f32, zero_point: i32) -> QParams {
    let range = Range::affine(8);
    QParams {
        scale,
        zero_point,
        range,
    }
}

/// Every way that three axes can meet, with rows of every length of the last word.
#[test]
fn every_way_to_broadcast() {
    for last in [1, 2, 3, 4, 5] {
        for ways in 0..64 {
            let axes = |bits: usize| -> Vec<usize> {
                let size = |(i, n)| if bits >> i & 1 == 1 { 1 } else { n };
                [3, 2, last].into_iter().enumerate().map(size).collect()
            };
            let (a, b) = (axes(ways % 8), axes(ways / 8));
            let (op, act) = (
                BinaryOp::ALL[ways % BinaryOp::ALL.len()],
                [None, Some(Unary::Sigmoid)][ways / 8 % 2],
            );
            for dtype in [DType::F32, DType::F16] {
                let (a, b) = (a.clone(), b.clone());
                harness::check(Box::new(Binary {
                    op,
                    a,
                    b,
                    dtype,
                    act,
                }));
            }
            let op = if op.has_integers() { op } else { BinaryOp::Add };
            let (qa, qb, requant) = (q(0.11, 4), q(0.3, -8), RULES[ways / 2 % 2]);
            let qy = if op == BinaryOp::Add {
                q(0.35, 0)
            } else {
                q(2.0, 9)
            };
            harness::check(Box::new(BinaryI8 {
                op,
                a: a.clone(),
                b,
                qa,
                qb,
                qy,
                requant,
            }));
            harness::check(Box::new(SumTo {
                from: vec![3, 2, last],
                to: a,
            }));
        }
    }
}

#[test]
fn tails_and_folded_grids() {
    for len in [1, 31, 32, 33, 255, 257, 1009, 20_011] {
        let shape = vec![len];
        harness::check(Box::new(Accumulate { len }));
        harness::check(Box::new(ApplyMask {
            shape: shape.clone(),
        }));
        harness::check(Box::new(SumTo {
            from: shape.clone(),
            to: vec![],
        }));
        harness::check(Box::new(SumTo {
            from: vec![70, len],
            to: shape,
        }));
    }
    let (a, b, dtype, act) = (vec![70_000, 251], vec![251], DType::F32, Some(Unary::Relu));
    harness::check(Box::new(Binary {
        op: BinaryOp::Mul,
        a,
        b,
        dtype,
        act,
    }));
}

#[test]
fn every_pair_of_integers() {
    let a: Vec<i8> = (0..65_536u32).map(|i| (i >> 8) as u8 as i8).collect();
    let b: Vec<i8> = (0..65_536u32).map(|i| i as u8 as i8).collect();
    let shape = vec![256, 256];
    let scales = [
        [q(0.1, 3), q(0.07, -50), q(0.13, 20)],
        [q(1.0, -128), q(1.0, 127), q(2.0, 0)],
        [q(1e-4, 0), q(5.0, 1), q(4.0, -1)],
        [q(300.0, -128), q(299.0, -128), q(1.0, 0)],
    ];
    for &op in BinaryOp::ALL.iter().filter(|op| op.has_integers()) {
        for [qa, qb, qy] in scales {
            for requant in RULES {
                let (a_shape, b_shape) = (shape.clone(), shape.clone());
                let kernel = BinaryI8 {
                    op,
                    a: a_shape,
                    b: b_shape,
                    qa,
                    qb,
                    qy,
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
}

/// Whole powers of negative numbers and of 0, and where both operands are the same.
#[test]
fn powers_signs_and_ties() {
    let a = [-2.0, -2.0, -2.0, -0.5, 0.0, 0.0, 3.0, -1.5, 1.5, 0.0];
    let b = [3.0, 2.0, -3.0, -2.0, 0.0, 2.5, 0.5, -1.0, 1.5, 1.0];
    let shape = vec![a.len()];
    for &op in BinaryOp::ALL {
        for (dtype, of) in [
            (DType::F32, Tensor::from_f32 as fn(&[usize], &[f32]) -> _),
            (DType::F16, Tensor::from_f32_as_f16),
        ] {
            let mut b = b;
            if op == BinaryOp::Div {
                b[4] = 1.0;
            }
            let kernel = Binary {
                op,
                a: shape.clone(),
                b: shape.clone(),
                dtype,
                act: None,
            };
            let args = [&a, &b].map(|values| of(&shape, values).expect("fits"));
            let [a, b] = args;
            harness::check_with(Arc::new(kernel), vec![a, b, Tensor::zeros(&shape, dtype)]);
        }
    }
}

#[test]
fn shapes_that_do_not_meet_are_an_error() {
    let (a, b, dtype, act) = (vec![2, 3], vec![2, 2], DType::F32, None);
    let kernel = Binary {
        op: BinaryOp::Add,
        a,
        b,
        dtype,
        act,
    };
    let error = kernel.launch(&Caps::portable()).expect_err("3 is not 2");
    assert_eq!(
        error.to_string(),
        "add: `b` has shape [2, 2], expected sizes of [2, 3] or 1, from the last axis on"
    );
}
