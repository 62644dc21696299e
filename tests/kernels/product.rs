//! Products: tails of words, tiles and grids, the geometries that hurt, activations, int8 up to its ends.

use std::sync::Arc;

use crate::harness;
use wizen::base::{DType, Range, Requant, Rng, Tensor};
use wizen::gpu::{Caps, Launch};
use wizen::kernels::map::Unary;
use wizen::kernels::product::{
    By, Conv2d, Conv2dGradInput, Conv2dGradWeight, Conv2dI8, Float, Matmul, MatmulGrad, MatmulI8,
};
use wizen::kernels::{Agreement, Binding, Conv, Kernel, OutI8, ResidualI8, Variant};

const FLOATS: [Float; 2] = [Float::F32, Float::F16];

const ACTS: [Option<Unary>; 6] = [
    None,
    Some(Unary::Relu),
    Some(Unary::RELU6),
    Some(Unary::HardSwish),
    Some(Unary::Silu),
    Some(Unary::Sigmoid),
];

const FLOAT: OutI8 = OutI8 {
    requant: Requant::Float,
    zero_point: 9,
    range: Range::affine(8),
};
const FIXED: OutI8 = OutI8 {
    requant: Requant::Fixed,
    ..FLOAT
};
const OUTS: [Option<OutI8>; 3] = [Some(FLOAT), Some(FIXED), None];

/// A shape of `x`, one of `w`, and how one moves over the other.
type Case = ([usize; 4], [usize; 4], Conv);

/// `[stride, padding, dilation, groups]`, the same along both axes.
const fn square([stride, padding, dilation, groups]: [usize; 4]) -> Conv {
    Conv::square(stride, padding, dilation, groups)
}

const CASES: [Case; 12] = [
    // LeNet-5.
    ([3, 28, 28, 1], [6, 5, 5, 1], square([1, 2, 1, 1])),
    ([3, 14, 14, 6], [16, 5, 5, 6], square([1, 0, 1, 1])),
    // 1x1, also strided.
    ([2, 9, 7, 33], [13, 1, 1, 33], square([1, 0, 1, 1])),
    ([1, 9, 8, 8], [16, 1, 1, 8], square([2, 0, 1, 1])),
    // A stem: stride 2, padding 3, 7x7; and stride 3 with a filter that steps over pixels.
    ([1, 23, 22, 3], [11, 7, 7, 3], square([2, 3, 1, 1])),
    ([2, 11, 13, 2], [3, 2, 2, 2], square([3, 0, 1, 1])),
    // Padding beyond half the filter; filter as large as the padded image.
    ([1, 5, 4, 3], [9, 3, 3, 3], square([1, 3, 1, 1])),
    ([2, 3, 3, 5], [7, 5, 5, 5], square([1, 1, 1, 1])),
    // Dilation, with stride.
    ([1, 17, 19, 4], [5, 3, 3, 4], square([1, 2, 2, 1])),
    ([1, 16, 15, 3], [4, 3, 2, 3], square([2, 2, 3, 1])),
    // Groups: odd channels each, depthwise.
    ([2, 8, 9, 6], [10, 3, 3, 3], square([1, 1, 1, 2])),
    ([1, 10, 9, 7], [14, 3, 3, 1], square([2, 1, 1, 7])),
];

/// `x`, `w`, strides, padding, dilations, groups.
#[rustfmt::skip]
type Uneven = ([usize; 4], [usize; 4], [usize; 2], [usize; 4], [usize; 2], usize);

/// Axes and sides that differ, with groups of odd channels, several outputs to a channel, long strides and dilations:
/// `x`, `w`, strides, padding, dilations, groups.
#[rustfmt::skip]
const UNEVEN: [Uneven; 12] = [
    ([2, 9, 8, 3], [5, 3, 2, 3], [1, 2], [1, 0, 2, 1], [1, 1], 1),
    ([1, 8, 11, 6], [10, 2, 3, 3], [2, 1], [0, 2, 1, 1], [1, 2], 2),
    ([1, 7, 9, 4], [8, 3, 3, 1], [2, 1], [0, 1, 1, 2], [1, 1], 4),
    ([2, 9, 7, 5], [15, 3, 2, 1], [1, 3], [3, 0, 0, 1], [2, 1], 5),
    ([1, 6, 7, 10], [6, 3, 3, 5], [1, 1], [1, 2, 0, 1], [1, 1], 2),
    ([1, 5, 9, 12], [8, 1, 3, 6], [1, 2], [0, 0, 0, 2], [1, 3], 2),
    ([1, 9, 5, 9], [9, 2, 1, 3], [3, 1], [1, 0, 1, 0], [1, 1], 3),
    ([1, 21, 9, 8], [9, 3, 3, 8], [1, 1], [36, 4, 18, 4], [18, 4], 1),
    ([1, 9, 70, 6], [6, 1, 3, 1], [1, 2], [0, 60, 0, 3], [1, 30], 6),
    ([1, 37, 41, 2], [4, 4, 4, 2], [20, 23], [1, 0, 0, 2], [1, 1], 1),
    ([1, 8, 50, 3], [6, 1, 2, 3], [1, 1], [0, 40, 0, 40], [1, 40], 1),
    ([2, 3, 4, 3], [4, 1, 1, 3], [1, 1], [1, 0, 1, 1], [5, 7], 1),
];

/// Filters that see one channel each: odd channels, several outputs to a channel, stride, dilation, padding beyond the
/// filter's reach, one pixel, filters of one tap and of many, tiles of every size; the last takes the plain variant.
const DEPTHWISE: [Case; 16] = [
    ([1, 1, 1, 5], [5, 3, 3, 1], square([1, 1, 1, 5])),
    ([1, 1, 1, 17], [34, 1, 1, 1], square([1, 0, 1, 17])),
    ([2, 7, 9, 5], [5, 3, 3, 1], square([1, 1, 1, 5])),
    ([1, 15, 33, 17], [17, 3, 3, 1], square([1, 1, 1, 17])),
    ([1, 15, 34, 17], [17, 3, 3, 1], square([2, 1, 1, 17])),
    ([1, 8, 9, 6], [12, 3, 3, 1], square([2, 1, 1, 6])),
    ([1, 8, 9, 7], [21, 3, 3, 1], square([1, 1, 1, 7])),
    ([1, 5, 6, 3], [15, 3, 3, 1], square([1, 1, 1, 3])),
    ([1, 5, 6, 2], [8, 2, 3, 1], square([3, 1, 1, 2])),
    ([1, 14, 15, 8], [8, 3, 3, 1], square([1, 2, 2, 8])),
    ([1, 14, 15, 9], [18, 3, 2, 1], square([2, 3, 3, 9])),
    ([1, 4, 5, 5], [5, 3, 3, 1], square([1, 3, 1, 5])),
    ([1, 9, 2, 12], [12, 5, 1, 1], square([1, 0, 1, 12])),
    ([1, 12, 11, 12], [12, 7, 7, 1], square([1, 3, 1, 12])),
    ([1, 64, 66, 36], [36, 3, 3, 1], square([1, 1, 1, 36])),
    ([1, 10, 9, 3], [3, 9, 9, 1], square([1, 4, 1, 3])),
];

/// Groups of whole words and within words, of input and of output; what follows are wide channels and rows, one tap
/// along an axis, and enough output pixels for the largest tiles, of 64 channels and of fewer.
const OTHERS: [Case; 21] = [
    ([1, 6, 5, 8], [8, 3, 3, 4], square([1, 1, 1, 2])),
    ([1, 6, 5, 24], [24, 3, 3, 8], square([1, 1, 1, 3])),
    ([1, 6, 5, 24], [40, 3, 3, 12], square([1, 1, 1, 2])),
    ([1, 5, 6, 9], [12, 3, 3, 3], square([1, 1, 1, 3])),
    ([1, 5, 6, 6], [9, 3, 3, 2], square([1, 1, 1, 3])),
    ([1, 5, 6, 12], [18, 3, 3, 2], square([1, 1, 1, 6])),
    ([2, 6, 5, 8], [4, 3, 2, 2], square([2, 1, 1, 4])),
    ([2, 6, 5, 15], [9, 3, 2, 5], square([2, 1, 1, 3])),
    ([2, 6, 5, 14], [12, 3, 2, 7], square([2, 1, 1, 2])),
    ([2, 6, 5, 42], [14, 3, 2, 6], square([2, 1, 1, 7])),
    ([2, 6, 5, 18], [2, 3, 2, 9], square([2, 1, 1, 2])),
    ([1, 4, 5, 64], [72, 3, 3, 64], square([1, 1, 1, 1])),
    ([1, 4, 5, 24], [40, 3, 3, 24], square([1, 1, 1, 1])),
    ([1, 2, 131, 2], [9, 3, 3, 2], square([1, 1, 1, 1])),
    ([2, 9, 7, 3], [64, 3, 3, 3], square([3, 3, 1, 1])),
    ([2, 9, 7, 16], [17, 3, 3, 16], square([1, 2, 2, 1])),
    ([1, 5, 11, 4], [8, 1, 5, 4], square([1, 1, 1, 1])),
    ([1, 11, 5, 4], [8, 5, 1, 4], square([2, 1, 1, 1])),
    ([3, 1, 1, 65], [33, 1, 1, 65], square([1, 0, 1, 1])),
    ([1, 130, 129, 9], [65, 1, 2, 9], square([1, 0, 1, 1])),
    ([2, 183, 184, 3], [18, 3, 3, 3], square([2, 2, 2, 1])),
];

fn uneven() -> Vec<Case> {
    let case = |(x, w, stride, padding, dilation, groups)| {
        let conv = Conv {
            stride,
            padding,
            dilation,
            groups,
        };
        (x, w, conv)
    };
    UNEVEN.into_iter().map(case).collect()
}

/// The `i`-th of several: activations in turn, and a residual for most.
fn float_conv(i: usize, (x, w, conv): Case, float: Float) -> Conv2d {
    Conv2d {
        x,
        w,
        conv,
        float,
        act: ACTS[i % ACTS.len()],
        residual: !i.is_multiple_of(3),
    }
}

/// The `i`-th of several: both rules and the accumulators in turn, and a residual for some.
fn int8_conv(i: usize, (x, w, conv): Case) -> Conv2dI8 {
    let residual = ResidualI8 {
        zero_point: -30,
        shift: 9,
    };
    Conv2dI8 {
        x,
        w,
        conv,
        x_zero_point: -77,
        out: OUTS[i % 3],
        residual: (i % 4 < 2 && i % 3 != 2).then_some(residual),
    }
}

fn check_floats(cases: &[Case], float: Float) {
    for (i, &case) in cases.iter().enumerate() {
        harness::check(Box::new(float_conv(i, case, float)));
    }
}

fn check_int8(cases: &[Case]) {
    for (i, &case) in cases.iter().enumerate() {
        harness::check(Box::new(int8_conv(i, case)));
    }
}

#[test]
fn convolutions_of_f32() {
    check_floats(&CASES, Float::F32);
    check_floats(&uneven(), Float::F32);
    check_floats(&OTHERS, Float::F32);
    // More workgroups than one dimension of the grid holds: a row of one pixel to an invocation.
    let long = (
        [1, 64 * 65_535 + 3, 1, 1],
        [1, 1, 1, 1],
        square([1, 0, 1, 1]),
    );
    check_floats(&[long], Float::F32);
}

#[test]
fn convolutions_of_f16() {
    check_floats(&CASES, Float::F16);
    check_floats(&uneven(), Float::F16);
    check_floats(&OTHERS, Float::F16);
}

#[test]
fn convolutions_of_i8() {
    check_int8(&CASES);
    check_int8(&uneven());
    check_int8(&OTHERS);
}

#[test]
fn depthwise() {
    for (x, w, conv) in DEPTHWISE {
        let offered = float_conv(0, (x, w, conv), Float::F32).variants(&Caps::portable());
        let fits = w[1] * w[2] <= 64;
        assert_eq!(offered[0] == Variant::Depthwise, fits, "{x:?} {w:?}");
    }
    check_floats(&DEPTHWISE, Float::F32);
    check_floats(&DEPTHWISE, Float::F16);
    check_int8(&DEPTHWISE);
}

/// The largest sums that there are, under a multiplier that shows their last bit, and a bias that wraps.
#[test]
fn depthwise_sums_are_exact() {
    let case = ([1, 10, 9, 5], [5, 8, 8, 1], square([1, 4, 1, 5]));
    let kernel = Conv2dI8 {
        x_zero_point: -128,
        out: Some(FIXED),
        residual: None,
        ..int8_conv(0, case)
    };
    let mut args = kernel.example_args(&mut Rng::new(harness::seed()));
    for arg in args.iter_mut().take(2) {
        let least = vec![-128; arg.len()];
        *arg = Tensor::from_i8(arg.shape(), &least).expect("fits");
    }
    let sum = 64 * 128 * 128;
    let bias = [-sum, 1 - sum, 101 - sum, -100 - sum, i32::MAX];
    args[2] = Tensor::from_i32(&[5], &bias).expect("fits");
    args[3] = FIXED.multipliers(&[1.0; 5]);
    harness::check_with(Arc::new(kernel), args);
}

#[test]
fn gradients_of_convolutions() {
    let wide: Case = ([1, 4, 5, 24], [40, 3, 3, 24], square([1, 1, 1, 1]));
    let long: Case = ([8, 28, 28, 1], [6, 5, 5, 1], square([1, 2, 1, 1]));
    let cases = CASES.into_iter().chain(uneven()).chain([wide, long]);
    for (x, w, conv) in cases {
        harness::check(Box::new(Conv2dGradInput { x, w, conv }));
        let parts = x[0].min(3);
        harness::check(Box::new(Conv2dGradWeight { x, w, conv, parts }));
    }
}

#[test]
fn geometry_that_does_not_fit_is_an_error() {
    let wrong = int8_conv(0, ([1, 3, 3, 4], [4, 5, 5, 4], square([1, 0, 1, 1])));
    let error = wrong.launch(&Caps::portable()).expect_err("5 > 3");
    assert!(error.to_string().contains("spans 5 pixels"), "{error}");
}

#[test]
fn native_products() {
    let float = Float::NativeF16;
    let matmul = |m, n, k| Matmul {
        m,
        n,
        k,
        float,
        act: None,
    };
    let one = ([1, 1, 1, 1], [1, 1, 1, 1], square([1, 0, 1, 1]));
    assert!(matmul(1, 1, 1).launch(&Caps::portable()).is_err());
    let refused = float_conv(0, one, float).launch(&Caps::portable());
    assert!(refused.is_err());
    let Some(gpu) = harness::gpu() else { return };
    if gpu.caps().f16 {
        check_floats(&[CASES[1], CASES[2], CASES[10], CASES[11]], float);
        check_floats(&DEPTHWISE[..6], float);
        for (m, n, k) in [(1, 1, 1), (17, 33, 65), (64, 10, 84)] {
            harness::check(Box::new(matmul(m, n, k)));
        }
    }
}

/// Tails of both tiles, odd rows of words, long sums, more workgroups than one dimension of the grid holds, and enough of
/// them for the largest tiles: of both sides, of rows, of columns.
const SIZES: [[usize; 3]; 14] = [
    [1, 1, 1],
    [1, 1000, 7],
    [64, 32, 1],
    [67, 33, 13],
    [5, 1000, 8],
    [129, 5, 31],
    [8, 84, 120],
    [3, 34, 1009],
    [3, 5, 10_007],
    [16_400, 65, 11],
    [16_400, 20, 9],
    [20, 16_400, 9],
    [66_000, 130, 4],
    [1, 32 * 65_535 + 40, 1],
];

#[test]
fn matrix_products_of_floats() {
    for float in FLOATS {
        for (i, [m, n, k]) in SIZES.into_iter().enumerate() {
            let act = ACTS[i % ACTS.len()];
            harness::check(Box::new(Matmul {
                m,
                n,
                k,
                float,
                act,
            }));
        }
    }
}

#[test]
fn every_activation_of_a_product() {
    let (alpha, beta) = (0.2, 0.5);
    let (m, n, k) = (19, 7, 23);
    for act in [
        Unary::Tanh,
        Unary::HardSigmoid { alpha, beta },
        Unary::Sigmoid,
        Unary::Silu,
        Unary::HardSwish,
        Unary::RELU6,
    ] {
        for float in FLOATS {
            let act = Some(act);
            harness::check(Box::new(Matmul {
                m,
                n,
                k,
                float,
                act,
            }));
        }
    }
}

#[test]
fn gradients_of_matrix_products() {
    for by in [By::Input, By::Weight] {
        for [m, n, k] in [
            [1, 1, 1],
            [67, 33, 13],
            [129, 5, 31],
            [2, 1000, 65],
            [64, 10, 84],
            [3, 10_007, 5],
            [10_007, 3, 5],
        ] {
            harness::check(Box::new(MatmulGrad { m, n, k, by }));
        }
    }
}

#[test]
fn matrix_products_of_i8() {
    for (i, [m, n, k]) in SIZES.into_iter().enumerate() {
        let out = OUTS[i % 3];
        harness::check(Box::new(MatmulI8 { m, n, k, out }));
    }
    for (i, m) in [1, 2, 4, 5, 8, 9, 17, 33].into_iter().enumerate() {
        for (n, k) in [(1, 5), (6, 1), (8, 4), (15, 31), (70, 257)] {
            let out = OUTS[(i + n) % 3];
            harness::check(Box::new(MatmulI8 { m, n, k, out }));
        }
    }
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
        let out = Some(FLOAT);
        harness::check(Box::new(TiledForGpu(MatmulI8 { m, n, k, out })));
    }
}

/// One row, whose accumulators are the biases.
fn biases_alone(out: OutI8, bias: &[i32], multipliers: Tensor) {
    let n = bias.len();
    let (m, k) = (1, 1);
    let args = vec![
        Tensor::zeros(&[1, 1], DType::I8),
        Tensor::zeros(&[n, 1], DType::I8),
        Tensor::from_i32(&[n], bias).expect("fits"),
        multipliers,
        Tensor::zeros(&[1, n], DType::I8),
    ];
    let out = Some(out);
    harness::check_with(Arc::new(MatmulI8 { m, n, k, out }), args);
}

/// Outputs keep the low byte of the requantised value, and the shifts bring every byte of it there.
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
    let words = Tensor::from_u32(&[n, 2], &words).expect("fits");
    biases_alone(out, &bias, words);
}

/// The zero point must not wrap what the rule saturated, and NaN-free infinities must saturate.
#[test]
fn huge_accumulators_saturate() {
    for out in [FLOAT, FIXED] {
        for (zero_point, m) in [(-128, 1.0), (127, 1.0), (5, 1e9), (0, 1e-30)] {
            let out = OutI8 { zero_point, ..out };
            let bias: Vec<i32> = (0..64)
                .map(|i| [i32::MIN, i32::MAX][i % 2].wrapping_add(i as i32))
                .collect();
            biases_alone(out, &bias, out.multipliers(&[m; 64]));
        }
    }
}

#[test]
fn accumulators_wrap() {
    let (m, n, k, out) = (3, 5, 4608, None);
    let args = vec![
        Tensor::from_i8(&[m, k], &vec![-128; m * k]).expect("fits"),
        Tensor::from_i8(&[n, k], &vec![-128; n * k]).expect("fits"),
        Tensor::from_i32(&[n], &[i32::MAX, i32::MIN, 0, -1, i32::MAX - 7]).expect("fits"),
        Tensor::zeros(&[m, n], DType::I32),
    ];
    harness::check_with(Arc::new(MatmulI8 { m, n, k, out }), args);
}
