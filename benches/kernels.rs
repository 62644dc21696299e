//! Kernels at the shapes of real layers, on the device that `wizen devices` marks.
//!
//! `cargo bench --bench kernels`; with `-- --test` each runs once. Results are checked against the CPU
//! reference before anything is timed. A sample is 16 launches in one submission; criterion's throughput
//! counts operations (a multiply-accumulate is two), so `Gelem/s` reads as GOP/s.

use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use wizen::base::{Range, Requant, Rng, Tensor};
use wizen::gpu::Gpu;
use wizen::graph::{Device, Kind, Plan, Session, SessionOptions};
use wizen::kernels::conv2d_f16::Conv2dF16;
use wizen::kernels::conv2d_f32::Conv2dF32;
use wizen::kernels::conv2d_i8::Conv2dI8;
use wizen::kernels::matmul_f16::MatmulF16;
use wizen::kernels::matmul_f32::MatmulF32;
use wizen::kernels::matmul_i8::MatmulI8;
use wizen::kernels::{Conv, Kernel, OutI8};
use wizen::prune::{Amount, MaskPlan, Scope, kept};

const LAUNCHES: usize = 16;

/// Name and kernel of every bench.
fn cases() -> Vec<(String, Arc<dyn Kernel>)> {
    let out = OutI8 {
        requant: Requant::Float,
        zero_point: 0,
        range: Range::affine(8),
    };
    let mut cases: Vec<(String, Arc<dyn Kernel>)> = Vec::new();
    for n in [256, 1024] {
        let (m, k, relu, native) = (n, n, false, false);
        let f32 = MatmulF32 { m, n, k, relu };
        let f16 = MatmulF16 {
            m,
            n,
            k,
            relu,
            native,
        };
        let i8 = MatmulI8 { m, n, k, out };
        cases.push((format!("matmul_f32/{n}"), Arc::new(f32)));
        cases.push((format!("matmul_f16/{n}"), Arc::new(f16)));
        cases.push((format!("matmul_i8/{n}"), Arc::new(i8)));
    }
    let conv = |padding| Conv {
        stride: 1,
        padding,
        dilation: 1,
        groups: 1,
    };
    let layers = [
        ("lenet5_conv1_b64", [64, 28, 28, 1], [6, 5, 5, 1], conv(2)),
        ("lenet5_conv2_b64", [64, 14, 14, 6], [16, 5, 5, 6], conv(0)),
        (
            "resnet18_56x56x64",
            [1, 56, 56, 64],
            [64, 3, 3, 64],
            conv(1),
        ),
    ];
    for (name, x, w, conv) in layers {
        let (relu, native, x_zero_point) = (true, false, -128);
        let f32 = Conv2dF32 {
            x,
            w,
            conv,
            relu,
            residual: false,
        };
        let f16 = Conv2dF16 {
            x,
            w,
            conv,
            relu,
            residual: false,
            native,
        };
        let i8 = Conv2dI8 {
            x,
            w,
            conv,
            x_zero_point,
            out,
            residual: None,
        };
        cases.push((format!("conv2d_f32/{name}"), Arc::new(f32)));
        cases.push((format!("conv2d_f16/{name}"), Arc::new(f16)));
        cases.push((format!("conv2d_i8/{name}"), Arc::new(i8)));
    }
    cases
}

/// A session that holds random arguments, checked against the CPU.
fn prepare(gpu: &Gpu, kernel: &Arc<dyn Kernel>) -> wizen::Result<Session> {
    let mut args = kernel.example_args(&mut Rng::new(1));
    let plan = Arc::new(Plan::single(Arc::clone(kernel))?);
    pollster::block_on(async {
        let session = Session::new(gpu, Arc::clone(&plan), SessionOptions::default()).await?;
        let bound = plan.values.iter().zip(&args);
        let inputs = bound.filter(|(value, _)| matches!(value.kind, Kind::Input));
        let inputs: Vec<_> = inputs.map(|(_, arg)| arg).collect();
        let got = session.run(&inputs)?.await?.swap_remove(0);
        let agreement = kernel.agreement(&args)?;
        kernel.cpu(&mut args)?;
        let (Some(want), Some(agreement)) = (args.last(), agreement.last()) else {
            return Err(wizen::Error::invalid(kernel.name(), "it has no output"));
        };
        let result = agreement.compare(&got, want);
        assert_eq!(result.violations, 0, "{kernel:?}: {result:?}");
        Ok(session)
    })
}

fn kernels(criterion: &mut Criterion) {
    let gpu = match pollster::block_on(Gpu::open()) {
        Ok(gpu) => gpu,
        Err(error) => {
            eprintln!("nothing was timed: {error}");
            return;
        }
    };
    println!("on {} ({})", gpu.caps().name, gpu.caps().backend);
    for (name, kernel) in cases() {
        let session = prepare(&gpu, &kernel).unwrap_or_else(|e| panic!("{name}: {e}"));
        let plan = session.plan();
        let output = plan.values[plan.outputs[0]].name.clone();
        let operations = LAUNCHES as u64 * kernel.cost().operations as u64;
        let mut group = criterion.benchmark_group("kernels");
        group.sample_size(10);
        group.throughput(Throughput::Elements(operations));
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let mut encoder = gpu.device().create_command_encoder(&Default::default());
                for _ in 0..LAUNCHES {
                    session.record(&mut encoder);
                }
                gpu.queue().submit([encoder.finish()]);
                let pending = session.read(&output).expect("an output");
                pollster::block_on(pending).expect("the device answers")
            });
        });
        group.finish();
    }
}

/// Exact top-k masks of as many weights as ResNet18 has; throughput in weights.
fn masks(criterion: &mut Criterion) {
    let Ok(gpu) = pollster::block_on(Gpu::open()) else {
        eprintln!("nothing was timed: there is no GPU");
        return;
    };
    let len = 11_689_512;
    let mut rng = Rng::new(1);
    let weights: Vec<f32> = (0..len).map(|_| rng.normal()).collect();
    let weights = Tensor::from_f32(&[len], &weights).expect("as many as elements");
    let device = Device::Gpu(gpu);
    let shapes = [vec![len]];
    let plan = MaskPlan::new(&device, &shapes, Scope::Global);
    let mut plan = pollster::block_on(plan).expect("a plan");
    let mut group = criterion.benchmark_group("masks");
    group.sample_size(10);
    group.throughput(Throughput::Elements(len as u64));
    group.bench_function("half_of_resnet18", |bencher| {
        bencher.iter(|| {
            let weights = [&weights];
            let masks = plan.prune(&weights, &[None], Amount::Fraction(0.5));
            let masks = pollster::block_on(masks).expect("the device answers");
            assert_eq!(kept(&masks[0]), len / 2, "exactly half is kept");
        });
    });
    group.finish();
}

criterion_group!(benches, kernels, masks);
criterion_main!(benches);
