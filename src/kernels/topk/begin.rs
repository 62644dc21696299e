//! Start of a ranking: `state = (k, 0, 0, status)`, `hist = 0`.

use super::super::frame::{boxed, equal_but, params};
use super::super::{Agreement, Binding, Caps, Kernel, Launch, Spec, random_args};
use super::{BINS, NOTHING, SEARCHING, STATE};
use crate::base::{DType, Rng, Tensor};
use crate::error::Result;

/// Sets the state for `k` elements and clears the histogram. Bindings: `k` u32 `[1]`, `state` u32 `[4]`,
/// `hist` u32 `[2048]`.
#[derive(Clone, Debug)]
pub struct TopkBegin;

impl Kernel for TopkBegin {
    fn name(&self) -> &'static str {
        "topk_begin"
    }

    fn bindings(&self) -> Vec<Binding> {
        vec![
            Binding::read("k", DType::U32, [1]),
            Binding::write("state", DType::U32, [STATE]),
            Binding::write("hist", DType::U32, [BINS]),
        ]
    }

    fn launch(&self, _caps: &Caps) -> Result<Launch> {
        Ok(Launch {
            source: include_str!("../../../shaders/topk/begin.wgsl").into(),
            spec: Spec::new()
                .with("BINS", BINS as u32)
                .with("STATE", STATE as u32),
            params: params(self.name(), [0u32.into()])?,
            workgroups: [1; 3],
        })
    }

    fn cpu(&self, args: &mut [Tensor]) -> Result<()> {
        let k = args[0].as_u32()?[0];
        let status = if k == 0 { NOTHING } else { SEARCHING };
        args[1] = Tensor::from_u32(&[STATE], &[k, 0, 0, status])?;
        args[2].words_mut().fill(0);
        Ok(())
    }

    fn agreement(&self, _args: &[Tensor]) -> Result<Vec<Agreement>> {
        equal_but(3, [])
    }

    fn operations(&self) -> f64 {
        BINS as f64
    }

    fn example_args(&self, rng: &mut Rng) -> Vec<Tensor> {
        let mut args = random_args(&self.bindings(), rng);
        args[0].words_mut()[0] = rng.below(3) as u32;
        args
    }
}

pub(super) fn samples() -> Vec<Box<dyn Kernel>> {
    boxed([TopkBegin])
}
