//! matmul_i8: tails of words, tiles and grids; the fixed rule over all of int32.

use std::sync::Arc;

use crate::harness;
use wizen::base::{DType, Range, Requant, Rng, Tensor};
use wizen::gpu::{Caps, Launch};
use wizen::kernels::matmul_i8::MatmulI8;
use wizen::kernels::{Agreement, Binding, Kernel, OutI8, Variant};

const FLOAT: OutI8 = OutI8 {
    requant: Requant::Float,
    zero_point: 9,
    range: Range::affine(8),
};
const FIXED: OutI8 = OutI8 {
    requant: Requant::Fixed,
    ..FLOAT
};

#[test]
fn tails_of_rows_columns_and_words() {
    for (i, m) in [1, 2, 4, 5, 8, 9, 17, 33].into_iter().enumerate() {
        for (n, k) in [(1, 5), (6, 1), (8, 4), (15, 31), (70, 9)] {
            let out = [FLOAT, FIXED][i % 2];
            harness::check(Box::new(MatmulI8 { m, n, k, out }));
        }
    }
}

#[test]
fn more_workgroups_than_one_dimension_has() {
    let (m, n, k, out) = (66_000, 130, 4, FIXED);
    harness::check(Box::new(MatmulI8 { m, n, k, out }));
}

/// The same kernel, tiled as for a device without subgroups.
#[derive(Debug)]
struct TiledForGpu(MatmulI8);

impl Kernel for TiledForGpu {
    fn name(&self) -> &'static str {
        self.0.name()
    }
    fn bindings(&self) -> Vec<Binding> {
        self.0.bindings()
    }
    fn launch(&self, caps: &Caps) -> wizen::Result<Launch> {
        let caps = Caps {
            subgroups: None,
            ..caps.clone()
        };
        self.0.launch_as(&caps, Variant::Plain)
    }
    fn cpu(&self, args: &mut [Tensor]) -> wizen::Result<()> {
        self.0.cpu(args)
    }
    fn agreement(&self, args: &[Tensor]) -> wizen::Result<Vec<Agreement>> {
        self.0.agreement(args)
    }
    fn operations(&self) -> f64 {
        self.0.operations()
    }
    fn example_args(&self, rng: &mut Rng) -> Vec<Tensor> {
        self.0.example_args(rng)
    }
}

#[test]
fn tiles_of_other_devices() {
    for (m, n, k) in [(1, 5, 3), (7, 9, 70), (70, 66, 13), (900, 1200, 5)] {
        harness::check(Box::new(TiledForGpu(MatmulI8 {
            m,
            n,
            k,
            out: FLOAT,
        })));
    }
}

/// `x` is 0, so that the accumulators are the biases: any int32. Outputs keep the low byte of the requantised value,
/// and the shifts bring every byte of it there.
#[test]
fn the_fixed_rule_is_equal_over_all_of_int32() {
    let n = 40_000;
    let out = OutI8 {
        requant: Requant::Fixed,
        zero_point: 0,
        range: Range {
            qmin: i32::MIN,
            qmax: i32::MAX,
        },
    };
    let mut rng = Rng::new(harness::seed());
    let edges = [i32::MIN, i32::MIN + 1, i32::MAX, -1, 0, 1, 1 << 30];
    let bias: Vec<i32> = (0..n)
        .map(|i| match i % 4 {
            0 => edges[rng.below(edges.len())],
            1 => rng.next_u32() as i32,
            _ => rng.next_u32() as i32 >> rng.below(32),
        })
        .collect();
    let words: Vec<u32> = (0..n)
        .flat_map(|_| {
            let multiplier = match rng.below(8) {
                0 => 0x7fff_ffff,
                1 => 0x4000_0000,
                2 => 0,
                _ => (rng.next_u32() >> 2) | 0x4000_0000,
            };
            [multiplier, 1 + rng.below(62) as u32]
        })
        .collect();
    let kernel = MatmulI8 { m: 1, n, k: 1, out };
    let args = vec![
        Tensor::zeros(&[1, 1], DType::I8),
        Tensor::zeros(&[n, 1], DType::I8),
        Tensor::from_i32(&[n], &bias).expect("fits"),
        Tensor::from_u32(&[n, 2], &words).expect("fits"),
        Tensor::zeros(&[1, n], DType::I8),
    ];
    harness::check_with(Arc::new(kernel), args);
}

/// The zero point must not wrap what the rule saturated, and NaN-free infinities must saturate.
#[test]
fn huge_accumulators_saturate() {
    let n = 64;
    for out in [FLOAT, FIXED] {
        for (zero_point, m) in [(-128, 1.0), (127, 1.0), (5, 1e9), (0, 1e-30)] {
            let out = OutI8 { zero_point, ..out };
            let bias: Vec<i32> = (0..n)
                .map(|i| [i32::MIN, i32::MAX][i % 2].wrapping_add(i as i32))
                .collect();
            let kernel = MatmulI8 { m: 1, n, k: 1, out };
            let args = vec![
                Tensor::zeros(&[1, 1], DType::I8),
                Tensor::zeros(&[n, 1], DType::I8),
                Tensor::from_i32(&[n], &bias).expect("fits"),
                out.multipliers(&vec![m; n]),
                Tensor::zeros(&[1, n], DType::I8),
            ];
            harness::check_with(Arc::new(kernel), args);
        }
    }
}

/// Enough workgroups for the largest tiles: of both sides, of rows, of columns.
#[test]
fn large_tiles() {
    for (m, n, k) in [(16_400, 65, 11), (16_400, 20, 9), (20, 16_400, 9)] {
        harness::check(Box::new(MatmulI8 {
            m,
            n,
            k,
            out: FIXED,
        }));
    }
}
