//! column_sum_f32: few columns with many rows, many columns, tails.

use crate::harness;
use wizen::kernels::column_sum_f32::ColumnSumF32;

#[test]
fn tails_of_rows_and_columns() {
    for (rows, cols) in [
        (1, 1),
        (1, 257),
        (3, 31),
        (65, 32),
        (255, 33),
        (50_176, 6),
        (6400, 16),
    ] {
        harness::check(Box::new(ColumnSumF32 { rows, cols }));
    }
}

#[test]
fn folded_grid() {
    let cols = 8 * 65_535 + 3;
    harness::check(Box::new(ColumnSumF32 { rows: 2, cols }));
}
