//! Kernels at the shapes of real layers, on the device that `wizen devices` marks.
//!
//! `cargo bench --bench kernels`; with `-- --test` small ones run once. Results are checked against the CPU
//! reference before anything is timed, every variant of a kernel by itself; of large products some rows are.
//! A sample is several launches in one submission. Throughput counts operations (a multiply-accumulate is
//! two), so `Gelem/s` reads as GOP/s; in the group `memory` it counts bytes. `naive_*` is what the products are
//! measured against. N = 4096 runs if a product takes no longer than a second at the device's peak.

mod device;
mod layers;
mod naive;
mod shapes;
mod timing;

use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use pollster::block_on;
use wizen::base::{Rng, Tensor};
use wizen::gpu::Gpu;
use wizen::graph::{Device, measure_peaks};
use wizen::prune::{Amount, MaskPlan, Scope, kept};

use device::{gpu, is_test};
use shapes::Case;
use timing::{checked, runs_for};

fn kernels(criterion: &mut Criterion) {
    let Some(gpu) = gpu() else { return };
    println!("on {} ({})", gpu.caps().name, gpu.caps().backend);
    let mut cases = Vec::new();
    let sizes = if is_test() {
        vec![256]
    } else {
        shapes::square_sizes(&block_on(measure_peaks(&gpu)).expect("the device answers"))
    };
    for n in sizes {
        cases.extend(shapes::products([n; 3]));
        if n <= 1024 {
            cases.extend(shapes::naive_products(n));
        }
    }
    cases.extend(layers::linear());
    cases.extend(layers::LENET5.into_iter().flat_map(layers::convolution));
    if !is_test() {
        let layers = layers::RESNET18.into_iter().chain(layers::MOBILENET);
        cases.extend(layers.flat_map(layers::convolution));
    }
    cases.extend(layers::between());
    for case in &cases {
        time(criterion, &gpu, "kernels", case);
    }
}

/// What should run at the speed of a copy.
fn memory(criterion: &mut Criterion) {
    let Some(gpu) = gpu() else { return };
    for case in shapes::memory(if is_test() { 1 } else { 8 }) {
        time(criterion, &gpu, "memory", &case);
    }
}

fn time(criterion: &mut Criterion, gpu: &Gpu, group: &str, case: &Case) {
    for variant in case.kernel.variants(gpu.caps()) {
        let session = checked(gpu, case, variant);
        let cost = case.kernel.cost();
        let runs = if is_test() {
            1
        } else {
            runs_for(&session, 0.02)
        };
        let mut group = criterion.benchmark_group(group);
        group.sample_size(10);
        group.warm_up_time(Duration::from_millis(300));
        group.measurement_time(Duration::from_secs(1));
        group.throughput(if cost.operations > cost.bytes {
            Throughput::Elements(runs as u64 * cost.operations as u64)
        } else {
            Throughput::Bytes(runs as u64 * cost.bytes as u64)
        });
        group.bench_function(format!("{}/{variant}", case.name), |bencher| {
            bencher.iter_custom(|samples| {
                let total = samples as usize * runs;
                let seconds = block_on(session.time_runs(total)).expect("the device answers");
                Duration::from_secs_f64(seconds * total as f64)
            });
        });
        group.finish();
    }
}

/// Exact top-k masks of as many weights as ResNet18 has; throughput in weights.
fn masks(criterion: &mut Criterion) {
    let Some(gpu) = gpu() else { return };
    let len = 11_689_512;
    let mut rng = Rng::new(1);
    let weights: Vec<f32> = (0..len).map(|_| rng.normal()).collect();
    let weights = Tensor::from_f32(&[len], &weights).expect("as many as elements");
    let device = Device::Gpu(gpu);
    let shapes = [vec![len]];
    let plan = MaskPlan::new(&device, &shapes, Scope::Global);
    let mut plan = block_on(plan).expect("a plan");
    let mut group = criterion.benchmark_group("masks");
    group.sample_size(10);
    group.throughput(Throughput::Elements(len as u64));
    group.bench_function("half_of_resnet18", |bencher| {
        bencher.iter(|| {
            let weights = [&weights];
            let masks = plan.prune(&weights, &[None], Amount::Fraction(0.5));
            let masks = block_on(masks).expect("the device answers");
            assert_eq!(kept(&masks[0]), len / 2, "exactly half is kept");
        });
    });
    group.finish();
}

criterion_group!(benches, kernels, memory, masks);
criterion_main!(benches);
