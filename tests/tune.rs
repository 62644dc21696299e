//! Variants of kernels: forced, timed, remembered; the results of a network stay what they are.

use std::sync::Arc;
use std::time::Duration;

use wizen::base::{Requant, Tensor};
use wizen::gpu::{AdapterChoice, Gpu, GpuOptions};
use wizen::graph::{Device, Graph, Plan, Session, SessionOptions, lower, optimize};
use wizen::kernels::product::MatmulI8;
use wizen::kernels::{Agreement, Binding, Caps, Kernel, Launch, Variant, tuning_key};
use wizen::models::lenet5;
use wizen::quant::{self, Observer, Scheme};

use crate::harness;

const BATCH: usize = 2;

fn images() -> Tensor {
    let digits = wizen::io::synthetic_splits(4, BATCH, 1)
        .expect("digits")
        .train;
    digits.batch(&[0, 1]).expect("two images").0
}

fn int8(gpu: &Gpu) -> Graph {
    let weights = wizen::models::random_weights("lenet5", harness::seed()).expect("lenet5 exists");
    let float = optimize(&lenet5(BATCH, &weights).expect("fits")).expect("well formed");
    let schemes = Scheme::INT8.into();
    let device = Device::Gpu(gpu.clone());
    let batches = std::iter::once(Ok(vec![images()]));
    let found = quant::calibrate(&device, &float, batches, Observer::MinMax, &schemes);
    let weights = quant::choose_weights(&float, &schemes, None).expect("finite");
    let params = pollster::block_on(found)
        .expect("calibrates")
        .with_weights(weights);
    quant::freeze(&float, &params, Requant::Fixed).expect("freezes")
}

fn run(gpu: &Gpu, graph: &Graph) -> (Vec<Variant>, Tensor) {
    let plan = Arc::new(lower(graph, gpu.caps()).expect("lowers"));
    pollster::block_on(async {
        let session = Session::new(gpu, plan, SessionOptions::default()).await?;
        let logits = session.run(&[&images()])?.await?.swap_remove(0);
        Ok::<_, wizen::Error>((session.variants().to_vec(), logits))
    })
    .expect("runs")
}

#[test]
fn every_variant_gives_the_same_integers() {
    let Some(gpu) = harness::gpu() else { return };
    let network = int8(&gpu);
    let (_, want) = run(&gpu, &network);
    let plan = lower(&network, gpu.caps()).expect("lowers");
    for variant in Variant::ALL {
        let options = GpuOptions {
            variant: Some(variant.name().to_owned()),
            ..GpuOptions::from(AdapterChoice::Best)
        };
        let forced = pollster::block_on(Gpu::open_with(&options)).expect("opened before");
        let (ran, logits) = run(&forced, &network);
        for (step, ran) in plan.steps.iter().zip(ran) {
            let offered = step.kernel.variants(gpu.caps());
            assert_eq!(ran == variant, offered.contains(&variant), "{}", step.name);
        }
        assert_eq!(logits, want, "{variant}");
    }
}

#[test]
fn what_was_timed_is_taken_and_kept() {
    let Some(gpu) = harness::gpu() else { return };
    let dir = tempfile::tempdir().expect("a temporary folder");
    let options = GpuOptions {
        cache_dir: Some(dir.path().to_owned()),
        ..GpuOptions::from(AdapterChoice::Best)
    };
    let network = int8(&gpu);
    let (_, want) = run(&gpu, &network);
    let plan = lower(&network, gpu.caps()).expect("lowers");
    let several = |step: &&wizen::graph::Step| step.kernel.variants(gpu.caps()).len() > 1;
    let tunable = plan.steps.iter().filter(several).count();

    let tuned = pollster::block_on(Gpu::open_with(&options)).expect("opened before");
    let nothing = wizen::graph::tune(&tuned, &plan, Duration::ZERO);
    assert!(
        pollster::block_on(nothing).expect("runs").is_empty(),
        "no time, nothing timed"
    );
    let done = wizen::graph::tune(&tuned, &plan, Duration::from_secs(600));
    let done = pollster::block_on(done).expect("runs");
    assert_eq!(
        done.len(),
        tunable,
        "the layers of LeNet-5 are all different"
    );
    for one in &done {
        let fastest = one
            .seconds
            .iter()
            .map(|(_, s)| *s)
            .fold(f64::INFINITY, f64::min);
        assert!(fastest > 0.0 && fastest.is_finite(), "{one:?}");
        let chosen = tuned.tuned(&one.key).expect("remembered");
        assert!(
            one.seconds
                .iter()
                .any(|(v, s)| v.name() == chosen && *s == fastest),
            "{one:?}"
        );
    }
    let again = wizen::graph::tune(&tuned, &plan, Duration::from_secs(600));
    assert!(
        pollster::block_on(again).expect("runs").is_empty(),
        "nothing is timed twice"
    );

    // Another process, told by the file; and one whose file says something else than the kernel would.
    let later = pollster::block_on(Gpu::open_with(&options)).expect("opened before");
    let (ran, logits) = run(&later, &network);
    assert_eq!(logits, want);
    for (step, ran) in plan.steps.iter().zip(ran) {
        if let Some(chosen) = later.tuned(&tuning_key(step.kernel.as_ref())) {
            assert_eq!(ran.name(), chosen, "{}", step.name);
        }
    }
    for step in plan.steps.iter().filter(several) {
        let key = tuning_key(step.kernel.as_ref());
        let last = step.kernel.variants(gpu.caps()).pop().expect("several");
        later.remember(&key, last.name());
        assert_eq!(later.tuned(&key).as_deref(), Some(last.name()));
    }
    let (ran, logits) = run(&later, &network);
    assert_eq!(logits, want);
    for (step, ran) in plan.steps.iter().zip(ran).filter(|(step, _)| several(step)) {
        assert_eq!(
            Some(ran),
            step.kernel.variants(gpu.caps()).pop(),
            "{}",
            step.name
        );
    }
}

/// An int32 product whose second variant is quick, and wrong.
#[derive(Debug)]
struct Hasty(MatmulI8);

impl Kernel for Hasty {
    fn name(&self) -> &'static str {
        "hasty"
    }
    fn bindings(&self) -> Vec<Binding> {
        self.0.bindings()
    }
    fn variants(&self, _: &Caps) -> Vec<Variant> {
        vec![Variant::Plain, Variant::Cooperative]
    }
    fn launch(&self, caps: &Caps) -> wizen::Result<Launch> {
        self.0.launch(caps)
    }
    fn launch_as(&self, caps: &Caps, variant: Variant) -> wizen::Result<Launch> {
        let mut launch = self.0.launch(caps)?;
        if variant == Variant::Cooperative {
            // Only the first workgroup works.
            launch.workgroups = [1; 3];
        }
        Ok(launch)
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

#[test]
fn whoever_gets_integers_wrong_is_not_taken() {
    let Some(gpu) = harness::gpu() else { return };
    let kernel = Arc::new(Hasty(MatmulI8 {
        m: 300,
        n: 300,
        k: 64,
        out: None,
    }));
    let plan = Plan::single(kernel).expect("one step");
    let key = tuning_key(plan.steps[0].kernel.as_ref());
    let done = wizen::graph::tune(&gpu, &plan, Duration::from_secs(600));
    let done = pollster::block_on(done).expect("runs");
    let timed: Vec<Variant> = done[0]
        .seconds
        .iter()
        .map(|(variant, _)| *variant)
        .collect();
    assert_eq!(timed, [Variant::Plain]);
    assert_eq!(gpu.tuned(&key).as_deref(), Some("plain"));
}
