//! Kernels adapt their tiles to the device. Here this device runs them as others would.

use std::sync::Arc;

use crate::harness;
use wizen::base::{Rng, Tensor};
use wizen::gpu::Caps;
use wizen::kernels::{Agreement, Binding, Kernel, Launch, Variant};

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
