//! The layers of LeNet-5, ResNet18 and MobileNetV2, kernel by kernel.

use std::sync::Arc;

use wizen::base::{DType, QParams, Requant};
use wizen::kernels::binary::{BinaryI8, BinaryOp};
use wizen::kernels::map::Unary;
use wizen::kernels::pool::{AvgPoolI8, MaxPool};
use wizen::kernels::product::{Conv2d, Conv2dI8, Float, MatmulI8};
use wizen::kernels::quantize::Quantize;
use wizen::kernels::{Conv, Pool};

use crate::shapes::{Case, OUT, Product, product, products};

/// The linear layers of ResNet18 (one image) and LeNet-5 (64 images).
pub fn linear() -> Vec<Case> {
    let mut cases = Vec::new();
    for [m, n, k] in [[1, 1000, 512], [64, 120, 400]] {
        let [f32, f16, _] = products([m, n, k]);
        let i8: Product = |[m, n, k]| Arc::new(MatmulI8 { m, n, k, out: None });
        cases.extend([f32, f16, product("matmul_i8_i32", [m, n, k], i8)]);
    }
    cases
}

type Layer = (&'static str, [usize; 4], [usize; 4], [usize; 2]);

/// The convolutions of LeNet-5 (64 images): name, x, w, stride and padding.
pub const LENET5: [Layer; 2] = [
    ("lenet5_conv1_b64", [64, 28, 28, 1], [6, 5, 5, 1], [1, 2]),
    ("lenet5_conv2_b64", [64, 14, 14, 6], [16, 5, 5, 6], [1, 0]),
];

/// The convolutions of ResNet18 (one image).
pub const RESNET18: [Layer; 9] = [
    ("resnet18_stem", [1, 224, 224, 3], [64, 7, 7, 3], [2, 3]),
    ("resnet18_56x56x64", [1, 56, 56, 64], [64, 3, 3, 64], [1, 1]),
    (
        "resnet18_56x56x64_s2",
        [1, 56, 56, 64],
        [128, 3, 3, 64],
        [2, 1],
    ),
    (
        "resnet18_56x56x64_1x1_s2",
        [1, 56, 56, 64],
        [128, 1, 1, 64],
        [2, 0],
    ),
    (
        "resnet18_28x28x128",
        [1, 28, 28, 128],
        [128, 3, 3, 128],
        [1, 1],
    ),
    (
        "resnet18_28x28x128_s2",
        [1, 28, 28, 128],
        [256, 3, 3, 128],
        [2, 1],
    ),
    (
        "resnet18_14x14x256",
        [1, 14, 14, 256],
        [256, 3, 3, 256],
        [1, 1],
    ),
    (
        "resnet18_14x14x256_s2",
        [1, 14, 14, 256],
        [512, 3, 3, 256],
        [2, 1],
    ),
    ("resnet18_7x7x512", [1, 7, 7, 512], [512, 3, 3, 512], [1, 1]),
];

/// Depthwise convolutions of MobileNetV2 (one image): a filter of one channel each.
pub const MOBILENET: [Layer; 4] = [
    (
        "mobilenet_112x112x32",
        [1, 112, 112, 32],
        [32, 3, 3, 1],
        [1, 1],
    ),
    (
        "mobilenet_56x56x144_s2",
        [1, 56, 56, 144],
        [144, 3, 3, 1],
        [2, 1],
    ),
    (
        "mobilenet_14x14x384",
        [1, 14, 14, 384],
        [384, 3, 3, 1],
        [1, 1],
    ),
    ("mobilenet_7x7x960", [1, 7, 7, 960], [960, 3, 3, 1], [1, 1]),
];

/// A convolution at every precision: f32, f16, int8.
pub fn convolution((name, x, w, [stride, padding]): Layer) -> [Case; 3] {
    let conv = Conv::square(stride, padding, 1, x[3] / w[3]);
    let float = |float| Conv2d {
        x,
        w,
        conv,
        float,
        act: Some(Unary::Relu),
        residual: false,
    };
    let i8 = Conv2dI8 {
        x,
        w,
        conv,
        x_zero_point: -128,
        out: Some(OUT),
        residual: None,
    };
    [
        Case::new(format!("conv2d_f32/{name}"), float(Float::F32)),
        Case::new(format!("conv2d_f16/{name}"), float(Float::F16)),
        Case::new(format!("conv2d_i8/{name}"), i8),
    ]
}

/// What lies between the products of a ResNet18 in int8 (one image).
pub fn between() -> Vec<Case> {
    let q = QParams {
        scale: 0.1,
        zero_point: 3,
        range: OUT.range,
    };
    let add = BinaryI8 {
        op: BinaryOp::Add,
        a: vec![1, 56, 56, 64],
        b: vec![1, 56, 56, 64],
        qa: q,
        qb: q,
        qy: q,
        requant: Requant::Float,
    };
    let pool = Pool::square(3, 2, 1);
    let max_pool = MaxPool {
        x: [1, 112, 112, 64],
        pool,
        dtype: DType::I8,
    };
    let average = AvgPoolI8 {
        x: [1, 7, 7, 512],
        pool: Pool::whole(7, 7),
        x_zero_point: 3,
        scale: 1.0,
        out: OUT,
    };
    let quantize = Quantize {
        shape: vec![1, 224, 224, 3],
        axis: None,
        range: OUT.range,
    };
    vec![
        Case::new("add_i8/56x56x64", add),
        Case::new("max_pool_i8/112x112x64", max_pool),
        Case::new("quantize_i8/224x224x3", quantize),
        Case::new("avg_pool_i8/7x7x512", average),
    ]
}
