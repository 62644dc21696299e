//! movement: slices, pads and parts at every place of a word, rows of every length against each other.

use crate::harness;
use wizen::base::DType;
use wizen::gpu::Caps;
use wizen::kernels::Kernel;
use wizen::kernels::movement::{Copy, Gather, Permute, Place, Repack};

const DTYPES: [DType; 3] = [DType::F32, DType::F16, DType::I8];

fn check(kernel: wizen::Result<impl Kernel + 'static>) {
    harness::check(Box::new(kernel.expect("fits")));
}

#[test]
fn slices_from_every_place_in_every_step() {
    for dtype in DTYPES {
        for start in 0..5usize {
            for step in 1..4 {
                for size in 1..=(13 - start).div_ceil(step) {
                    let taken: [&[usize]; 3] = [&[1, start], &[2, step], &[3, size]];
                    check(Gather::slice(&[6, 13], taken, dtype));
                    if dtype == DType::F32 {
                        check(Gather::slice_grad(&[6, 13], taken));
                    }
                }
            }
        }
    }
}

fn pad(x: &[usize], around: [&[usize]; 2], fill: f32, dtype: DType) {
    check(Gather::pad(x, around, fill, dtype));
}

#[test]
fn pads_of_every_width() {
    for dtype in DTYPES {
        for before in 0..5 {
            for after in 0..5 {
                let fill = [0.0, -3.0][(before + after) % 2];
                pad(&[3, 2, 5], [&[1, 0, before], &[0, 2, after]], fill, dtype);
                pad(
                    &[2, 3, 4, 8],
                    [&[0, before, 1, 0], &[0, 0, after, 0]],
                    fill,
                    dtype,
                );
            }
        }
    }
    let six = [1, 1, 1, 1, 1, 2];
    pad(&[2, 1, 2, 1, 2, 3], [&six, &six], 1.0, DType::I8);
    for dtype in [DType::U32, DType::I32] {
        pad(&[5], [&[1], &[2]], 7.0, dtype);
    }
}

fn place(x: &[usize], y: &[usize], axis: usize, start: usize, dtype: DType) -> Place {
    let (x, y) = (x.to_vec(), y.to_vec());
    Place {
        x,
        y,
        axis,
        start,
        dtype,
    }
}

#[test]
fn parts_at_every_place() {
    for dtype in DTYPES {
        for start in 0..9 {
            for size in 1..=9 - start {
                check(Ok(place(&[3, size], &[3, 9], 1, start, dtype)));
                check(Ok(place(&[2, size, 5], &[2, 9, 5], 1, start, dtype)));
            }
        }
    }
}

/// Parts one after the other are a concatenation, whatever was there before.
#[test]
fn parts_make_a_whole() {
    use wizen::base::Tensor;
    let sizes = [3, 1, 6, 2, 1];
    let mut y = Tensor::from_words(&[2, 13], DType::I8, vec![0x7f7f_7f7f; 8]).expect("fits");
    let mut start = 0;
    for (i, size) in sizes.into_iter().enumerate() {
        let x = Tensor::from_i8(&[2, size], &vec![i as i8; 2 * size]).expect("fits");
        let kernel = place(&[2, size], &[2, 13], 1, start, DType::I8);
        let mut args = [x, y];
        kernel.cpu(&mut args).expect("fits");
        [_, y] = args;
        start += size;
    }
    let row = [0, 0, 0, 1, 2, 2, 2, 2, 2, 2, 3, 3, 4];
    assert_eq!(y.to_i8().expect("i8"), [row, row].concat());
    assert_eq!(y.words()[3], 4, "padding is zero");
}

#[test]
fn rows_of_every_length() {
    for a in 1..=9 {
        for b in 1..=9 {
            for dtype in [DType::F16, DType::I8] {
                let (from, to) = (vec![3, b, a], vec![3, a, b]);
                harness::check(Box::new(Repack { from, to, dtype }));
            }
        }
    }
    let (from, to, dtype) = (vec![2, 3], vec![5], DType::I8);
    let error = Repack { from, to, dtype }.launch(&Caps::portable());
    assert_eq!(
        error.expect_err("6 is not 5").to_string(),
        "repack_i8: `y` has shape [5], expected as many elements as `x` of shape [2, 3]"
    );
}

/// Every order of axes of every size around a word.
#[test]
fn axes_in_every_order() {
    let orders = [
        [0, 1, 2],
        [0, 2, 1],
        [1, 0, 2],
        [1, 2, 0],
        [2, 0, 1],
        [2, 1, 0],
    ];
    for dtype in DTYPES {
        for order in orders {
            for shape in [[1, 3, 5], [3, 1, 4], [5, 2, 1], [4, 5, 9], [2, 8, 12]] {
                check(Permute::new(&shape, &order, dtype));
            }
        }
        check(Permute::new(&[2, 9, 7, 13], &[0, 3, 1, 2], dtype));
        check(Permute::new(
            &[2, 3, 1, 2, 3, 2, 2],
            &[6, 2, 4, 0, 5, 3, 1],
            dtype,
        ));
    }
    let eight = [2; 9];
    let order = [8, 6, 4, 2, 0, 7, 5, 3, 1];
    let kernel = Permute::new(&eight, &order, DType::F32).expect("an order");
    let error = kernel.launch(&Caps::portable()).expect_err("too many axes");
    assert!(error.to_string().contains("more than 7 axes"), "{error}");
}

#[test]
fn folded_grids() {
    for rows in [1, 63, 255, 256, 257, 256 * 65_535 / 16 + 1] {
        harness::check(Box::new(Copy { rows }));
    }
    let taken: [&[usize]; 3] = [&[0, 1], &[1, 1], &[70_000, 63]];
    check(Gather::slice(&[70_000, 65], taken, DType::F32));
}
