//! Whole networks with random weights on the device that `wizen devices` marks: upload, run, result.
//!
//! `cargo bench --bench network`; throughput is in images. As a test, without ResNet18.

mod device;
mod networks;

use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use pollster::block_on;
use wizen::graph::Device;

use device::{gpu, is_test};
use networks::{Training, precisions, resident};

fn networks(criterion: &mut Criterion) {
    let Some(gpu) = gpu() else { return };
    let device = Device::Gpu(gpu);
    println!("on {}", device.name());
    let mut group = criterion.benchmark_group("network");
    group.sample_size(10);
    group.warm_up_time(Duration::from_millis(500));
    let mut archs = vec![("lenet5", vec![64])];
    if !is_test() {
        archs.push(("resnet18", vec![1, 8]));
    }
    for (arch, batches) in archs {
        let made = block_on(precisions(&device, arch)).expect("a network");
        for batch in batches {
            for (precision, graph) in &made {
                let (mut executor, images) =
                    block_on(resident(&device, graph, batch)).expect("a plan");
                group.throughput(Throughput::Elements(batch as u64));
                group.bench_function(format!("{arch}_b{batch}/{precision}"), |bencher| {
                    bencher.iter(|| block_on(executor.run(&[&images])).expect("a result"));
                });
            }
        }
    }
    let batch = 64;
    let mut training = block_on(Training::new(&device, batch)).expect("a plan");
    group.throughput(Throughput::Elements(batch as u64));
    group.bench_function(format!("lenet5_b{batch}/training"), |bencher| {
        bencher.iter_custom(|steps| {
            let start = Instant::now();
            block_on(training.steps(steps as usize)).expect("a finite loss");
            start.elapsed()
        });
    });
    group.finish();
}

criterion_group!(benches, networks);
criterion_main!(benches);
