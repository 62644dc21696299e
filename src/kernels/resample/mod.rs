//! Images whose every pixel is a weighted sum of pixels of another, row by row and column by column: other sizes, edges
//! that go on.
//!
//! ```text
//! y[n, i, j, c] = Σ_a Σ_b wh[i, a] · ww[j, b] · x[n, ih[i, a], iw[j, b], c]
//! ```
//!
//! `x`: `[n, h, w, c]`, `y`: `[n, oh, ow, c]`, f32, f16 (packed) or int8. Places and weights are two tables ([`Taps`])
//! that the host makes. What weighs nothing is not read. Where every result is one element, words are copied: exact
//! for every type.

mod mean;
mod mean_i8;
mod taps;

pub use mean::Resample;
pub use mean_i8::ResampleI8;
pub use taps::Taps;

use super::{Binding, Kernel, Spec};
use crate::base::{DType, MAX_ELEMENTS, num_elements, words_for};
use crate::error::{Error, Result};

/// Shape of `y`.
fn output(x: [usize; 4], [rows, columns]: [&Taps; 2]) -> [usize; 4] {
    [x[0], rows.len(), columns.len(), x[3]]
}

/// `x`, the tables of both axes one after the other, `y`.
fn bindings(x: [usize; 4], taps: [&Taps; 2], dtype: DType) -> Vec<Binding> {
    let entries: usize = taps.iter().map(|taps| taps.len() * taps.each()).sum();
    vec![
        Binding::read("x", dtype, x),
        Binding::read("table", DType::U32, [entries, 2]),
        Binding::write("y", dtype, output(x, taps)),
    ]
}

/// Checks that the tables are those of this image.
fn check(op: &str, x: [usize; 4], [rows, columns]: [&Taps; 2]) -> Result<()> {
    if [rows.size(), columns.size()] != [x[1], x[2]] || num_elements(&x) == 0 {
        let expected = format!(
            "[n, {}, {}, c], none of them 0",
            rows.size(),
            columns.size()
        );
        return Err(Error::shape(op, "x", expected, &x));
    }
    let y = output(x, [rows, columns]);
    if num_elements(&y) > MAX_ELEMENTS {
        let expected = format!("at most {MAX_ELEMENTS} elements");
        return Err(Error::shape(op, "y", expected, &y));
    }
    Ok(())
}

/// The constants of the geometry.
fn spec(x: [usize; 4], [rows, columns]: [&Taps; 2], dtype: DType) -> Spec {
    Spec::new()
        .with("IN_H", x[1] as u32)
        .with("IN_W", x[2] as u32)
        .with("OUT_H", rows.len() as u32)
        .with("OUT_W", columns.len() as u32)
        .with("TAPS_H", rows.each() as u32)
        .with("TAPS_W", columns.each() as u32)
        .with("WORDS", words_for(&x[3..], dtype) as u32)
}

/// Upwards and downwards, one pixel, sharp and soft edges, weights below zero, odd channels.
fn cases() -> [([usize; 4], [Taps; 2]); 6] {
    let rows = |size: usize, rows: &[&[(usize, f64)]]| {
        let rows = rows.iter().map(|row| row.to_vec()).collect();
        Taps::new(size, rows).expect("places within the size")
    };
    let select = |size, places: &[usize]| {
        Taps::select(size, places.iter().copied()).expect("places within the size")
    };
    let soft = rows(
        4,
        &[
            &[(0, 1.0)],
            &[(0, 0.75), (1, 0.25)],
            &[(1, 0.3), (2, 0.7)],
            &[(3, 0.0), (3, 1.0)],
            &[(0, -0.1), (1, 0.6), (2, 0.6), (3, -0.1)],
        ],
    );
    let mean = rows(
        6,
        &[
            &[(0, 1.0 / 3.0), (1, 1.0 / 3.0), (2, 1.0 / 3.0)],
            &[(5, 1.0)],
        ],
    );
    let none = rows(3, &[&[], &[(2, 2.0), (0, 1.0)]]);
    [
        ([1, 1, 1, 1], [select(1, &[0]), select(1, &[0])]),
        (
            [2, 4, 3, 5],
            [select(4, &[2, 0, 0, 3, 1]), select(3, &[0, 2])],
        ),
        ([2, 4, 6, 7], [soft.clone(), mean.clone()]),
        ([1, 6, 4, 33], [mean, soft.clone()]),
        ([3, 4, 4, 8], [select(4, &[3, 3, 0]), soft.clone()]),
        ([1, 3, 4, 2], [none, soft]),
    ]
}

/// Samples of the family.
pub fn samples() -> Vec<Box<dyn Kernel>> {
    mean::samples()
        .into_iter()
        .chain(mean_i8::samples())
        .collect()
}
