//! `y[i] = max(0, x[i])`
//!
//! `x`, `y`: f32, any shape. Exact: no rounding happens. NaN may come out as NaN or 0 (WGSL leaves it open).

use super::{Agreement, Binding, Caps, Kernel, Launch, Spec, elementwise, params_bytes};
use crate::base::{DType, Shape, Tensor, num_elements};
use crate::error::Result;

/// `y = max(0, x)`. Bindings: `x`, `y`.
#[derive(Clone, Debug)]
pub struct ReluF32 {
    /// Shape of `x` and `y`.
    pub shape: Shape,
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::NoUninit)]
struct Params {
    len: u32,
}

impl Kernel for ReluF32 {
    fn name(&self) -> &'static str {
        "relu_f32"
    }

    fn bindings(&self) -> Vec<Binding> {
        vec![
            Binding::read("x", DType::F32, self.shape.clone()),
            Binding::write("y", DType::F32, self.shape.clone()),
        ]
    }

    fn launch(&self, caps: &Caps) -> Result<Launch> {
        let len = num_elements(&self.shape);
        let params = params_bytes(&Params { len: len as u32 });
        let source = include_str!("../../shaders/relu_f32.wgsl");
        Ok(elementwise::launch(source, Spec::new(), params, len, caps))
    }

    fn cpu(&self, args: &mut [Tensor]) -> Result<()> {
        let y: Vec<f64> = args[0].to_f64().into_iter().map(|x| x.max(0.0)).collect();
        args[1].store_f64(&y)
    }

    fn agreement(&self, _args: &[Tensor]) -> Result<Vec<Agreement>> {
        Ok(vec![Agreement::Equal; 2])
    }

    fn operations(&self) -> f64 {
        num_elements(&self.shape) as f64
    }
}

/// Shapes that hurt: one, a prime, just over a workgroup.
pub fn samples() -> Vec<Box<dyn Kernel>> {
    let shapes: [&[usize]; 3] = [&[1], &[7, 13], &[2, 3, 5, 65]];
    shapes
        .iter()
        .map(|s| Box::new(ReluF32 { shape: s.to_vec() }) as Box<dyn Kernel>)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        let mut args = [
            Tensor::from_f32(&[3], &[-1.0, 0.0, 2.5]).expect("fits"),
            Tensor::zeros(&[3], DType::F32),
        ];
        ReluF32 { shape: vec![3] }.cpu(&mut args).expect("f32");
        assert_eq!(args[1].as_f32().expect("f32"), [0.0, 0.0, 2.5]);
    }
}
