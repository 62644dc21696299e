//! Kernels at the shapes of real layers, on the device that `wizen devices` marks.
//!
//! `cargo bench --bench kernels`; with `-- --test` each runs once. Results are checked against the CPU
//! reference before anything is timed, every variant of a kernel by itself. A sample is up to 16 launches in
//! one submission; criterion's throughput counts operations (a multiply-accumulate is two), so `Gelem/s`
//! reads as GOP/s. `naive_f32` is what the products are measured against.

use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use wizen::base::{QParams, Range, Requant, Rng, Tensor};
use wizen::gpu::Gpu;
use wizen::graph::{Device, Kind, Plan, Session, SessionOptions};
use wizen::kernels::add_i8::AddI8;
use wizen::kernels::conv2d_f16::Conv2dF16;
use wizen::kernels::conv2d_f32::Conv2dF32;
use wizen::kernels::conv2d_i8::Conv2dI8;
use wizen::kernels::global_avg_pool_i8::GlobalAvgPoolI8;
use wizen::kernels::matmul_f16::MatmulF16;
use wizen::kernels::matmul_f32::MatmulF32;
use wizen::kernels::matmul_i8::MatmulI8;
use wizen::kernels::matmul_i8_i32::MatmulI8I32;
use wizen::kernels::max_pool_i8::MaxPoolI8;
use wizen::kernels::quantize_i8::QuantizeI8;
use wizen::kernels::{Agreement, Binding, Caps, Conv, Kernel, Launch, OutI8, Pool, Spec, Variant};
use wizen::kernels::{grid_3d, params_bytes};
use wizen::prune::{Amount, MaskPlan, Scope, kept};

/// Launches of one sample, fewer where they would take long.
fn launches(operations: f64) -> usize {
    (1e9 / operations) as usize + 1
}

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
    for (m, n, k) in [(1, 1000, 512), (64, 120, 400)] {
        let (relu, native) = (false, false);
        let f32 = MatmulF32 { m, n, k, relu };
        let f16 = MatmulF16 {
            m,
            n,
            k,
            relu,
            native,
        };
        let i8 = MatmulI8I32 { m, n, k };
        cases.push((format!("matmul_f32/{m}x{n}x{k}"), Arc::new(f32)));
        cases.push((format!("matmul_f16/{m}x{n}x{k}"), Arc::new(f16)));
        cases.push((format!("matmul_i8_i32/{m}x{n}x{k}"), Arc::new(i8)));
    }
    let naive = MatmulF32 {
        m: 256,
        n: 256,
        k: 256,
        relu: false,
    };
    cases.push(("naive_f32/256".into(), Arc::new(Naive(naive))));
    cases.extend(convolutions(out));
    cases.extend(others(out));
    cases
}

type Layer = (&'static str, [usize; 4], [usize; 4], [usize; 2]);

/// Layers of LeNet-5 (64 images), ResNet18 and MobileNetV2 (one image), the last with filters of one channel: name, x, w, stride and padding.
const LAYERS: [Layer; 15] = [
    ("lenet5_conv1_b64", [64, 28, 28, 1], [6, 5, 5, 1], [1, 2]),
    ("lenet5_conv2_b64", [64, 14, 14, 6], [16, 5, 5, 6], [1, 0]),
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

fn convolutions(out: OutI8) -> Vec<(String, Arc<dyn Kernel>)> {
    let mut cases: Vec<(String, Arc<dyn Kernel>)> = Vec::new();
    for (name, x, w, [stride, padding]) in LAYERS {
        let conv = Conv {
            stride,
            padding,
            dilation: 1,
            groups: x[3] / w[3],
        };
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

/// What lies between the products of a ResNet18 in int8.
fn others(out: OutI8) -> Vec<(String, Arc<dyn Kernel>)> {
    let q = QParams {
        scale: 0.1,
        zero_point: 3,
        range: Range::affine(8),
    };
    let add = AddI8 {
        shape: vec![1, 56, 56, 64],
        a: q,
        b: q,
        y: q,
        requant: Requant::Float,
    };
    let pool = Pool {
        kernel: 3,
        stride: 2,
        padding: 1,
    };
    let x = [1, 112, 112, 64];
    let quantize = QuantizeI8 {
        shape: vec![1, 224, 224, 3],
        axis: None,
        range: Range::affine(8),
    };
    let average = GlobalAvgPoolI8 {
        x: [1, 7, 7, 512],
        x_zero_point: 3,
        multiplier: out.multiplier(1.0 / 49.0),
        out,
    };
    vec![
        ("add_i8/56x56x64".into(), Arc::new(add)),
        (
            "max_pool_i8/112x112x64".into(),
            Arc::new(MaxPoolI8 { x, pool }),
        ),
        ("quantize_i8/224x224x3".into(), Arc::new(quantize)),
        ("global_avg_pool_i8/7x7x512".into(), Arc::new(average)),
    ]
}

/// A matrix product as one writes it first: four rows by four columns to an invocation, loads of four along
/// k. All sizes are multiples of four.
#[derive(Debug)]
struct Naive(MatmulF32);

const NAIVE: &str = "
@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;  // [m, k / 4]
@group(0) @binding(1) var<storage, read> w: array<vec4<f32>>;  // [n, k / 4]
@group(0) @binding(2) var<storage, read> bias: array<f32>;     // [n]
@group(0) @binding(3) var<storage, read_write> y: array<f32>;  // [m, n]
struct Params { m: u32, n: u32, steps: u32 }
@group(1) @binding(0) var<uniform> params: Params;
@compute @workgroup_size(8, 8)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if 4u * id.x >= params.n || 4u * id.y >= params.m { return; }
    let b = vec4(bias[4u * id.x], bias[4u * id.x + 1u], bias[4u * id.x + 2u], bias[4u * id.x + 3u]);
    var s0 = b;
    var s1 = b;
    var s2 = b;
    var s3 = b;
    for (var t = 0u; t < params.steps; t++) {
        let wr = 4u * id.x * params.steps + t;
        let q = transpose(mat4x4(
            w[wr], w[wr + params.steps], w[wr + 2u * params.steps], w[wr + 3u * params.steps]));
        let xr = 4u * id.y * params.steps + t;
        s0 += q * x[xr];
        s1 += q * x[xr + params.steps];
        s2 += q * x[xr + 2u * params.steps];
        s3 += q * x[xr + 3u * params.steps];
    }
    for (var j = 0u; j < 4u; j++) {
        let at = 4u * id.y * params.n + 4u * id.x + j;
        y[at] = s0[j];
        y[at + params.n] = s1[j];
        y[at + 2u * params.n] = s2[j];
        y[at + 3u * params.n] = s3[j];
    }
}
";

impl Kernel for Naive {
    fn name(&self) -> &'static str {
        "naive_f32"
    }
    fn bindings(&self) -> Vec<Binding> {
        self.0.bindings()
    }
    fn launch(&self, caps: &Caps) -> wizen::Result<Launch> {
        let MatmulF32 { m, n, k, .. } = self.0;
        let groups = [n.div_ceil(32), m.div_ceil(32), 1];
        Ok(Launch {
            source: NAIVE.into(),
            spec: Spec::new(),
            params: params_bytes(&[m as u32, n as u32, k as u32 / 4]),
            workgroups: grid_3d(self.name(), groups, caps)?,
        })
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
}

/// A session that holds random arguments, checked against the CPU.
fn prepare(gpu: &Gpu, kernel: &Arc<dyn Kernel>, variant: Variant) -> wizen::Result<Session> {
    let mut args = kernel.example_args(&mut Rng::new(1));
    let mut plan = Plan::single(Arc::clone(kernel))?;
    plan.steps[0].variant = Some(variant);
    let plan = Arc::new(plan);
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
        for variant in kernel.variants(gpu.caps()) {
            let name = format!("{name}/{variant}");
            time(criterion, &gpu, &name, &kernel, variant);
        }
    }
}

fn time(
    criterion: &mut Criterion,
    gpu: &Gpu,
    name: &str,
    kernel: &Arc<dyn Kernel>,
    variant: Variant,
) {
    let session = prepare(gpu, kernel, variant).unwrap_or_else(|e| panic!("{name}: {e}"));
    let plan = session.plan();
    let output = plan.values[plan.outputs[0]].name.clone();
    let launches = launches(kernel.cost().operations).min(16);
    let operations = launches as u64 * kernel.cost().operations as u64;
    let mut group = criterion.benchmark_group("kernels");
    group.sample_size(10);
    group.warm_up_time(Duration::from_millis(300));
    group.measurement_time(Duration::from_secs(1));
    group.throughput(Throughput::Elements(operations));
    group.bench_function(name, |bencher| {
        bencher.iter(|| {
            let mut encoder = gpu.device().create_command_encoder(&Default::default());
            for _ in 0..launches {
                session.record(&mut encoder);
            }
            gpu.queue().submit([encoder.finish()]);
            let pending = session.read(&output).expect("an output");
            pollster::block_on(pending).expect("the device answers")
        });
    });
    group.finish();
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
