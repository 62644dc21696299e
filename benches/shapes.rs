//! Matrix products of all sizes, and kernels that should run at the speed of a copy.

use std::sync::Arc;

use wizen::base::{DType, Range, Requant};
use wizen::graph::Peaks;
use wizen::kernels::map::{Map, Unary};
use wizen::kernels::movement::Copy;
use wizen::kernels::observe::{ObserveHistogram, ObserveMinMax, ObserveMovingAverage};
use wizen::kernels::product::{Float, Matmul, MatmulI8};
use wizen::kernels::quantize::{FakeQuant, Quantize};
use wizen::kernels::{Kernel, OutI8};

use crate::naive;

/// The kernel for another number of rows.
pub type WithRows = Box<dyn Fn(usize) -> Arc<dyn Kernel>>;

/// A kernel under the name of its shape.
pub struct Case {
    /// `<kernel>/<shape>`.
    pub name: String,
    /// What is timed.
    pub kernel: Arc<dyn Kernel>,
    /// Products whose CPU twin takes long: some rows are checked, by the kernel for so many.
    pub rows: Option<WithRows>,
}

impl Case {
    pub fn new(name: impl Into<String>, kernel: impl Kernel + 'static) -> Self {
        Self {
            name: name.into(),
            kernel: Arc::new(kernel),
            rows: None,
        }
    }
}

/// What int8 kernels write.
pub const OUT: OutI8 = OutI8 {
    requant: Requant::Float,
    zero_point: 0,
    range: Range {
        qmin: -128,
        qmax: 127,
    },
};

/// Products of this size and smaller are checked whole.
const WHOLE: usize = 512;

/// A matrix product, as [`products`] makes it.
pub type Product = fn([usize; 3]) -> Arc<dyn Kernel>;

/// A product that has its rows checked if it is large.
pub fn product(name: &str, [m, n, k]: [usize; 3], make: Product) -> Case {
    let shape = if m == n && n == k {
        n.to_string()
    } else {
        format!("{m}x{n}x{k}")
    };
    let rows: WithRows = Box::new(move |rows| make([rows, n, k]));
    Case {
        name: format!("{name}/{shape}"),
        kernel: make([m, n, k]),
        rows: (m > WHOLE).then_some(rows),
    }
}

/// The sizes of square products that take no longer than so many seconds at a device's peak.
pub fn square_sizes(peaks: &Peaks, seconds: f64) -> Vec<usize> {
    let at_peak = |n: usize| 2e-9 * (n as f64).powi(3) / peaks.f32_gops;
    let sizes = [256, 512, 1024, 2048, 4096].into_iter();
    sizes.filter(|&n| at_peak(n) < seconds).collect()
}

/// A product of floats.
pub fn matmul([m, n, k]: [usize; 3], float: Float) -> Matmul {
    Matmul {
        m,
        n,
        k,
        float,
        act: None,
    }
}

/// `m` by `n` outputs, each the sum of `k` products, at every precision: f32, f16, int8.
pub fn products(sizes: [usize; 3]) -> [Case; 3] {
    let f32: Product = |sizes| Arc::new(matmul(sizes, Float::F32));
    let f16: Product = |sizes| Arc::new(matmul(sizes, Float::F16));
    let i8: Product = |[m, n, k]| {
        Arc::new(MatmulI8 {
            m,
            n,
            k,
            out: Some(OUT),
        })
    };
    [
        product("matmul_f32", sizes, f32),
        product("matmul_f16", sizes, f16),
        product("matmul_i8", sizes, i8),
    ]
}

/// What [`products`] are measured against, in the same order.
pub fn naive_products(n: usize) -> [Case; 3] {
    let f32: Product = |sizes| Arc::new(naive::f32(sizes));
    let f16: Product = |sizes| Arc::new(naive::f16(sizes));
    let i8: Product = |sizes| Arc::new(naive::i8(sizes));
    [
        product("naive_f32", [n; 3], f32),
        product("naive_f16", [n; 3], f16),
        product("naive_i8", [n; 3], i8),
    ]
}

/// Kernels that move more than they compute, on the outputs of the first convolution of ResNet18 for
/// `images` images, the copy of as many bytes first.
pub fn memory(images: usize) -> Vec<Case> {
    let shape = vec![images, 112, 112, 64];
    let len: usize = shape.iter().product();
    let name = |kernel: &str| format!("{kernel}/{images}x112x112x64");
    let (range, bins) = (OUT.range, 2048);
    let min_max = |axis| ObserveMinMax {
        shape: shape.clone(),
        axis,
    };
    let quantize = |axis| Quantize {
        shape: shape.clone(),
        axis,
        range,
    };
    let fake_quant = |axis| FakeQuant {
        shape: shape.clone(),
        axis,
        range,
    };
    let histogram = ObserveHistogram {
        shape: shape.clone(),
        bins,
    };
    let average = ObserveMovingAverage {
        channels: 64,
        constant: 0.01,
    };
    let relu = Map {
        shape: shape.clone(),
        dtype: DType::F32,
        f: Unary::Relu,
    };
    vec![
        Case::new(name("copy_u32"), Copy { rows: len / 4 }),
        Case::new(name("observe_min_max_f32"), min_max(None)),
        Case::new(name("observe_min_max_f32 by channel"), min_max(Some(3))),
        Case::new(name("observe_histogram_f32"), histogram),
        Case::new("observe_moving_average_f32/64", average),
        Case::new(name("quantize_i8"), quantize(None)),
        Case::new(name("quantize_i8 by channel"), quantize(Some(3))),
        Case::new(name("fake_quant_f32"), fake_quant(None)),
        Case::new(name("fake_quant_f32 by channel"), fake_quant(Some(3))),
        Case::new(name("relu_f32"), relu),
    ]
}
