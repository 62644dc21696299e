//! Kernels at the shapes of real layers, on the device that `wizen devices` marks.
//!
//! `cargo bench --bench kernels`; with `-- --test` small ones run once. Results are checked against the CPU
//! reference before anything is timed, every variant of a kernel by itself; of large products some rows are.
//! A sample is many launches in few submissions. Throughput counts operations (a multiply-accumulate is
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
use wizen::graph::{Device, Session, measure_peaks};
use wizen::prune::{Amount, MaskPlan, Scope, kept};

use device::{gpu, is_test};
use shapes::Case;
use timing::checked;

/// Launches in one submission, at most.
const AT_ONCE: usize = 256;

fn kernels(criterion: &mut Criterion) {
    let Some(gpu) = gpu() else { return };
    println!("on {} ({})", gpu.caps().name, gpu.caps().backend);
    let mut cases = Vec::new();
    let sizes = if is_test() {
        vec![256]
    } else {
        shapes::square_sizes(
            &block_on(measure_peaks(&gpu)).expect("the device answers"),
            1.0,
        )
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
        let cost = case.kernel.cost();
        let mut group = criterion.benchmark_group(group);
        group.sample_size(10);
        group.warm_up_time(Duration::from_millis(300));
        group.measurement_time(Duration::from_secs(1));
        group.throughput(if cost.operations > cost.bytes {
            Throughput::Elements(cost.operations as u64)
        } else {
            Throughput::Bytes(cost.bytes as u64)
        });
        // Prepared when it is the turn of this one: a filter passes most over.
        let mut prepared = None;
        group.bench_function(format!("{}/{variant}", case.name), |bencher| {
            let session = prepared.get_or_insert_with(|| checked(gpu, case, variant));
            bencher.iter_custom(|launches| timed(session, launches as usize));
        });
        group.finish();
    }
}

/// Seconds of so many launches, in submissions of at most [`AT_ONCE`].
fn timed(session: &Session, launches: usize) -> Duration {
    let mut seconds = 0.0;
    for first in (0..launches).step_by(AT_ONCE) {
        let runs = AT_ONCE.min(launches - first);
        seconds += block_on(session.time_runs(runs)).expect("the device answers") * runs as f64;
    }
    Duration::from_secs_f64(seconds)
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
