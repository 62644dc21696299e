//! `y[i, j] = x[i, j]`
//!
//! `x`, `y`: u32 `[rows, 4]`, moved four words at a time. Exact. What other kernels' bandwidth is compared with.

use super::{Agreement, Binding, Caps, Kernel, Launch, Spec, elementwise, params_bytes};
use crate::base::{DType, Tensor};
use crate::error::Result;

/// A copy. Bindings: `x[rows, 4]`, `y[rows, 4]`.
#[derive(Clone, Debug)]
pub struct CopyU32 {
    /// Rows of four words.
    pub rows: usize,
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::NoUninit)]
struct Params {
    rows: u32,
}

impl Kernel for CopyU32 {
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
        let params = params_bytes(&Params {
            rows: self.rows as u32,
        });
        let source = include_str!("../../shaders/copy_u32.wgsl");
        Ok(elementwise::launch(
            source,
            Spec::new(),
            params,
            self.rows,
            caps,
        ))
    }

    fn cpu(&self, args: &mut [Tensor]) -> Result<()> {
        let (x, y) = args.split_at_mut(1);
        y[0].as_u32()?;
        y[0].words_mut().copy_from_slice(x[0].as_u32()?);
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
pub fn samples() -> Vec<Box<dyn Kernel>> {
    [1, 257]
        .into_iter()
        .map(|rows| Box::new(CopyU32 { rows }) as Box<dyn Kernel>)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        let mut args = [
            Tensor::from_u32(&[1, 4], &[1, 2, 3, u32::MAX]).expect("fits"),
            Tensor::zeros(&[1, 4], DType::U32),
        ];
        CopyU32 { rows: 1 }.cpu(&mut args).expect("u32");
        assert_eq!(args[1].as_u32().expect("u32"), [1, 2, 3, u32::MAX]);
    }
}
