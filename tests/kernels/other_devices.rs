//! Kernels adapt their tiles to the device. Here this device runs them as others would.

use std::sync::Arc;

use crate::harness;
use wizen::base::{DType, Range, Requant, Rng, Tensor};
use wizen::gpu::{Caps, Const};
use wizen::kernels::map::Unary;
use wizen::kernels::observe::ObserveMinMax;
use wizen::kernels::product::{Conv2d, Conv2dI8, Float, Matmul, MatmulI8};
use wizen::kernels::{Agreement, Binding, Conv, Kernel, Launch, OutI8, ResidualI8, Variant};

/// A kernel that is launched for other capabilities than the device has.
#[derive(Debug)]
struct AsOn {
    kernel: Arc<dyn Kernel>,
    caps: Caps,
    variant: Variant,
}

impl Kernel for AsOn {
    fn name(&self) -> &'static str {
        self.kernel.name()
    }
    fn bindings(&self) -> Vec<Binding> {
        self.kernel.bindings()
    }
    fn launch(&self, _: &Caps) -> wizen::Result<Launch> {
        self.kernel.launch_as(&self.caps, self.variant)
    }
    fn cpu(&self, args: &mut [Tensor]) -> wizen::Result<()> {
        self.kernel.cpu(args)
    }
    fn agreement(&self, args: &[Tensor]) -> wizen::Result<Vec<Agreement>> {
        self.kernel.agreement(args)
    }
    fn operations(&self) -> f64 {
        self.kernel.operations()
    }
    fn example_args(&self, rng: &mut Rng) -> Vec<Tensor> {
        self.kernel.example_args(rng)
    }
}

/// Checks every variant of every sample whose launch differs from this device's own.
fn check_as(caps: &Caps) {
    let Some(gpu) = harness::gpu() else { return };
    for kernel in wizen::kernels::all() {
        let kernel: Arc<dyn Kernel> = kernel.into();
        let own = kernel.variants(gpu.caps());
        for variant in kernel.variants(caps) {
            let launch = |caps| {
                let launch = kernel.launch_as(caps, variant);
                let launch = launch.expect("samples run anywhere");
                (launch.source, launch.spec)
            };
            if own.contains(&variant) && launch(gpu.caps()) == launch(caps) {
                continue;
            }
            let kernel: Arc<dyn Kernel> = Arc::new(AsOn {
                kernel: Arc::clone(&kernel),
                caps: caps.clone(),
                variant,
            });
            let args = kernel.example_args(&mut Rng::new(harness::seed()));
            harness::check_with(kernel, args);
        }
    }
}

#[test]
fn without_subgroups() {
    check_as(&Caps::portable());
}

#[test]
fn with_the_tiles_of_wide_subgroups() {
    let Some(gpu) = harness::gpu() else { return };
    if gpu.caps().subgroups.is_some_and(|(min, _)| min >= 8) {
        check_as(&Caps {
            subgroups: Some((8, 32)),
            ..Caps::portable()
        });
    }
}

/// Checks the cooperative variants for a device that differs from this one, which has to have them.
fn check_cooperative(kernels: Vec<Arc<dyn Kernel>>, differs: impl Fn(&mut Caps)) {
    let Some(gpu) = harness::gpu() else { return };
    if gpu.caps().cooperative_f16.is_none() {
        return;
    }
    let mut caps = gpu.caps().clone();
    differs(&mut caps);
    for kernel in kernels {
        if caps.backend == "metal" && kernel.bindings()[0].dtype == DType::I8 {
            continue; // the only device that has matrices, and none of int8
        }
        let kernel: Arc<dyn Kernel> = Arc::new(AsOn {
            kernel,
            caps: caps.clone(),
            variant: Variant::Cooperative,
        });
        let args = kernel.example_args(&mut Rng::new(harness::seed()));
        harness::check_with(kernel, args);
    }
}

fn matmul(m: usize, n: usize, k: usize) -> Arc<dyn Kernel> {
    Arc::new(Matmul {
        m,
        n,
        k,
        float: Float::F16,
        act: (n == 70).then_some(Unary::Silu),
    })
}

const OUT: OutI8 = OutI8 {
    requant: Requant::Fixed,
    zero_point: 3,
    range: Range {
        qmin: -128,
        qmax: 127,
    },
};

const RESIDUAL: ResidualI8 = ResidualI8 {
    zero_point: -30,
    shift: 9,
};

fn conv(dilation: usize) -> Conv {
    Conv::square(2, 2, dilation, 1)
}

/// Tails of the tile, of its steps and of what one load brings, which is of either width.
fn matrices() -> Vec<Arc<dyn Kernel>> {
    let sizes = [(1, 1, 1), (33, 70, 34), (97, 31, 96), (16, 16, 131)];
    let products = sizes.map(|(m, n, k)| matmul(m, n, k));
    let convolutions = [(1, 1), (6, 2), (12, 1), (40, 2)].map(|(channels, dilation)| {
        Arc::new(Conv2d {
            x: [2, 9, 7, channels],
            w: [35, 3, 2, channels],
            conv: conv(dilation),
            float: Float::F16,
            act: Some(Unary::Relu),
            residual: dilation == 1,
        }) as Arc<dyn Kernel>
    });
    products.into_iter().chain(convolutions).collect()
}

/// The same in int8: rows of whole and of half words, and sums that are gathered none, one or several times.
fn matrices_of_i8() -> Vec<Arc<dyn Kernel>> {
    let mut kernels: Vec<Arc<dyn Kernel>> = Vec::new();
    let sizes = [
        (1, 1, 1),
        (33, 70, 36),
        (97, 31, 1024),
        (40, 40, 1025),
        (16, 16, 3333),
    ];
    for (m, n, k) in sizes {
        kernels.push(Arc::new(MatmulI8 {
            m,
            n,
            k,
            out: Some(OUT),
        }));
        kernels.push(Arc::new(MatmulI8 { m, n, k, out: None }));
    }
    for (channels, dilation) in [(1, 1), (12, 2), (24, 1), (200, 1)] {
        kernels.push(Arc::new(Conv2dI8 {
            x: [2, 9, 7, channels],
            w: [35, 3, 2, channels],
            conv: conv(dilation),
            x_zero_point: -77,
            out: Some(OUT),
            residual: (channels == 24).then_some(RESIDUAL),
        }));
    }
    kernels
}

#[test]
fn extreme_sums_of_matrices_are_exact() {
    let Some(gpu) = harness::gpu() else { return };
    if gpu.caps().cooperative_f16.is_none() {
        return;
    }
    // Every product is 2¹⁴: the sums reach the end of what f32 holds exactly.
    for k in [1024, 1040, 4608] {
        let (m, n) = (17, 33);
        let kernel: Arc<dyn Kernel> = Arc::new(AsOn {
            kernel: Arc::new(MatmulI8 { m, n, k, out: None }),
            caps: gpu.caps().clone(),
            variant: Variant::Cooperative,
        });
        let mut args = kernel.example_args(&mut Rng::new(harness::seed()));
        args[0] = Tensor::from_i8(&[m, k], &vec![-128; m * k]).expect("fits");
        args[1] = Tensor::from_i8(&[n, k], &vec![-128; n * k]).expect("fits");
        harness::check_with(kernel, args);
    }
}

#[test]
fn matrices_as_they_are() {
    check_cooperative(matrices(), |_| {});
    check_cooperative(matrices_of_i8(), |_| {});
}

#[test]
fn matrices_from_single_elements() {
    check_cooperative(matrices(), |caps| caps.backend = "metal".into());
}

#[test]
fn with_subgroups_that_only_load() {
    for kernels in [matrices(), matrices_of_i8()] {
        check_cooperative(kernels, |caps| {
            caps.subgroups = caps.subgroups.map(|(min, max)| (min, 2 * max));
        });
    }
}

#[test]
fn large_tiles_of_matrices() {
    // Just enough workgroups of 64 × 32, of 64 × 64, of 128 × 64 and of 128 × 128.
    let sizes = [(961, 481), (961, 1024), (1921, 1000), (1921, 2000)];
    let products = sizes.map(|(m, n)| matmul(m, n, 33));
    check_cooperative(products.into(), |caps| caps.software = false);
    let product = |m, n| {
        Arc::new(MatmulI8 {
            m,
            n,
            k: 65,
            out: None,
        }) as Arc<dyn Kernel>
    };
    let products = sizes.map(|(m, n)| product(m, n));
    check_cooperative(products.into(), |caps| caps.software = false);
}

#[test]
fn slices_of_sums() {
    let Some(gpu) = harness::gpu() else { return };
    // Two, four and eight slices, as far as this device has room for them, of unequal lengths.
    let conv = conv(1);
    let (x, w) = ([2, 9, 7, 60], [35, 3, 2, 60]);
    let mut kernels: Vec<Arc<dyn Kernel>> = vec![
        Arc::new(Conv2d {
            x,
            w,
            conv,
            float: Float::F32,
            act: Some(Unary::Relu),
            residual: true,
        }),
        Arc::new(Conv2d {
            x,
            w,
            conv,
            float: Float::F16,
            act: None,
            residual: true,
        }),
        Arc::new(Conv2dI8 {
            x: [2, 9, 7, 180],
            w: [35, 3, 2, 180],
            conv,
            x_zero_point: -77,
            out: Some(OUT),
            residual: Some(RESIDUAL),
        }),
    ];
    for k in [300, 600, 1061] {
        let (m, n) = (33, 70);
        kernels.push(Arc::new(Matmul {
            m,
            n,
            k,
            float: Float::F32,
            act: (k == 600).then_some(Unary::Relu),
        }));
        kernels.push(matmul(m, n, 2 * k));
        kernels.push(Arc::new(MatmulI8 {
            m,
            n,
            k: 4 * k,
            out: Some(OUT),
        }));
        kernels.push(Arc::new(MatmulI8 {
            m,
            n,
            k: 4 * k,
            out: None,
        }));
    }
    let caps = Caps {
        software: false,
        ..gpu.caps().clone()
    };
    for kernel in kernels {
        let launch = kernel.launch_as(&caps, Variant::Workgroup).expect("fits");
        let slices = launch.spec.iter().find(|(name, _)| *name == "SLICES");
        let several = |slices| matches!(slices, Some((_, Const::U32(2..))));
        assert!(several(slices), "{kernel:?} has one slice");
        let kernel: Arc<dyn Kernel> = Arc::new(AsOn {
            kernel,
            caps: caps.clone(),
            variant: Variant::Workgroup,
        });
        let args = kernel.example_args(&mut Rng::new(harness::seed()));
        harness::check_with(kernel, args);
    }
}

#[test]
fn observers_with_a_thousand_chunks() {
    let Some(gpu) = harness::gpu() else { return };
    let caps = Caps {
        software: false,
        ..gpu.caps().clone()
    };
    let kernel: Arc<dyn Kernel> = Arc::new(AsOn {
        kernel: Arc::new(ObserveMinMax {
            shape: vec![1050, 4099],
            axis: None,
        }),
        caps,
        variant: Variant::Plain,
    });
    let args = kernel.example_args(&mut Rng::new(harness::seed()));
    harness::check_with(kernel, args);
}
