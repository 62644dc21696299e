//! Kernels adapt their tiles to the device. Here this device runs them as others would.

use std::sync::Arc;

use crate::harness;
use wizen::base::{Rng, Tensor};
use wizen::gpu::Caps;
use wizen::kernels::{Agreement, Binding, Kernel, Launch};

/// A kernel that is launched for other capabilities than the device has.
#[derive(Debug)]
struct AsOn {
    kernel: Box<dyn Kernel>,
    caps: Caps,
}

impl Kernel for AsOn {
    fn name(&self) -> &'static str {
        self.kernel.name()
    }
    fn bindings(&self) -> Vec<Binding> {
        self.kernel.bindings()
    }
    fn launch(&self, _: &Caps) -> wizen::Result<Launch> {
        self.kernel.launch(&self.caps)
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

/// Checks every sample whose launch differs from this device's own.
fn check_as(caps: &Caps) {
    let Some(gpu) = harness::gpu() else { return };
    for kernel in wizen::kernels::all() {
        let own = kernel.launch(gpu.caps()).expect("samples run anywhere");
        let other = kernel.launch(caps).expect("samples run anywhere");
        if (own.source, own.spec) == (other.source, other.spec) {
            continue;
        }
        let caps = caps.clone();
        let kernel: Arc<dyn Kernel> = Arc::new(AsOn { kernel, caps });
        let args = kernel.example_args(&mut Rng::new(harness::seed()));
        harness::check_with(kernel, args);
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
