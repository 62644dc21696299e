//! `y[i, j] = x[i, j]`
//!
//! `x`, `y`: u32 `[rows, 4]`, moved four words at a time. What other kernels' bandwidth is compared with.

use super::super::elementwise;
use super::{Agreement, Binding, Caps, DType, Kernel, Launch, Result, Spec, Tensor, params_bytes};

/// A copy. Bindings: `x[rows, 4]`, `y[rows, 4]`.
#[derive(Clone, Debug)]
pub struct Copy {
    /// Rows of four words.
    pub rows: usize,
}

impl Kernel for Copy {
    fn name(&self) -> &'static str {
        "copy_u32"
    }

    fn bindings(&self) -> Vec<Binding> {
        vec![
            Binding::read("x", DType::U32, [self.rows, 4]),
            Binding::write("y", DType::U32, [self.rows, 4]),
        ]
    }

    fn launch(&self, caps: &Caps) -> Result<Launch> {
        let params = params_bytes(&(self.rows as u32));
        let source = include_str!("../../../shaders/movement/copy.wgsl");
        Ok(elementwise::launch(
            source,
            Spec::new(),
            params,
            self.rows,
            caps,
        ))
    }

    fn cpu(&self, args: &mut [Tensor]) -> Result<()> {
        let x = args[0].as_u32()?.to_vec();
        args[1].as_u32()?;
        args[1].words_mut().copy_from_slice(&x);
        Ok(())
    }

    fn agreement(&self, _args: &[Tensor]) -> Result<Vec<Agreement>> {
        Ok(vec![Agreement::Equal; 2])
    }

    fn operations(&self) -> f64 {
        0.0
    }
}

/// One row, and just over a workgroup's share.
pub(super) fn samples() -> Vec<Box<dyn Kernel>> {
    [1, 257]
        .map(|rows| Box::new(Copy { rows }) as Box<dyn Kernel>)
        .into()
}
