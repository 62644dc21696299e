//! resample: sizes up and down, words of every length, copies of any bits, results by hand.

use crate::harness::{by_hand, check};
use wizen::base::{DType, Range, Requant};
use wizen::kernels::resample::{Resample, ResampleI8, Taps};
use wizen::kernels::{Kernel, OutI8};

fn rows(size: usize, rows: Vec<Vec<(usize, f64)>>) -> Taps {
    Taps::new(size, rows).expect("places within the size")
}

/// Means of neighbours, `each` of them, at `len` places.
fn means(size: usize, len: usize, each: usize) -> Taps {
    let row = |i: usize| {
        let place = |k: usize| ((i * size / len + k) % size, 1.0 / each as f64);
        (0..each).map(place).collect()
    };
    rows(size, (0..len).map(row).collect())
}

fn select(size: usize, len: usize) -> Taps {
    Taps::select(size, (0..len).map(|i| i * 7 % size)).expect("places within the size")
}

fn float(x: [usize; 4], rows: &Taps, columns: &Taps, dtype: DType) -> Resample {
    let (rows, columns) = (rows.clone(), columns.clone());
    Resample {
        x,
        rows,
        columns,
        dtype,
    }
}

fn int8(x: [usize; 4], rows: &Taps, columns: &Taps, requant: Requant) -> ResampleI8 {
    let out = OutI8 {
        requant,
        zero_point: -10,
        range: Range::affine(8),
    };
    let (rows, columns) = (rows.clone(), columns.clone());
    ResampleI8 {
        x,
        rows,
        columns,
        x_zero_point: 7,
        scale: 1.1,
        out,
    }
}

#[test]
fn sizes_and_channels_of_every_kind() {
    for (x, y, each) in [
        ([1, 1, 1, 1], [3, 2], 1),
        ([2, 5, 7, 3], [9, 4], 2),
        ([1, 9, 4, 8], [2, 11], 4),
        ([3, 8, 8, 13], [16, 16], 2),
        ([1, 33, 17, 64], [7, 7], 5),
    ] {
        let [h, w] = [x[1], x[2]];
        let (rows, columns) = (means(h, y[0], each.min(h)), means(w, y[1], each.min(w)));
        let (moved, along) = (select(h, y[0]), select(w, y[1]));
        for dtype in [DType::F32, DType::F16, DType::I8] {
            check(Box::new(float(x, &moved, &along, dtype)));
            if dtype != DType::I8 {
                check(Box::new(float(x, &rows, &columns, dtype)));
                check(Box::new(float(x, &moved, &columns, dtype)));
                let back = [rows.transposed(), columns.transposed()];
                let from = [x[0], y[0], y[1], x[3]];
                check(Box::new(float(from, &back[0], &back[1], dtype)));
            }
        }
        for requant in [Requant::Float, Requant::Fixed] {
            check(Box::new(int8(x, &rows, &columns, requant)));
            check(Box::new(int8(x, &rows, &along, requant)));
        }
    }
}

#[test]
fn results_by_hand() {
    let x = [1, 2, 2, 1];
    let line = rows(2, vec![vec![(0, 0.25), (1, 0.75)], vec![(0, 1.0)]]);
    let image = [4., 8., 12., 16.];
    for dtype in [DType::F32, DType::F16] {
        let kernel = float(x, &line, &line, dtype);
        let table: [f64; 0] = [];
        by_hand(&kernel, &[&image, &table], &[(2, &[13., 10., 7., 4.])]);
    }
    let all = Taps::select(2, [1, 0, 1]).expect("fits");
    let kernel = float(x, &all, &line, DType::I8);
    assert!(kernel.launch(&wizen::gpu::Caps::portable()).is_err());
    let kernel = float(x, &all, &Taps::select(2, [1]).expect("fits"), DType::I8);
    by_hand(&kernel, &[&[1., 2., 3., 4.]], &[(2, &[4., 2., 4.])]);
}
