//! `dx[i] = y[i] > 0 ? dy[i] : 0`
//!
//! `y` (the output of the ReLU), `dy`, `dx`: f32, any shape. Exact: a selection. The gradient at 0 is 0,
//! as in PyTorch.

use super::{Agreement, Binding, Caps, Kernel, Launch, Spec, elementwise, params_bytes};
use crate::base::{DType, Shape, Tensor, num_elements};
use crate::error::Result;

/// Gradient of [`super::relu_f32::ReluF32`]. Bindings: `y`, `dy`, `dx`.
#[derive(Clone, Debug)]
pub struct ReluGradF32 {
    /// Shape of `y`, `dy` and `dx`.
    pub shape: Shape,
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::NoUninit)]
struct Params {
    len: u32,
}

impl Kernel for ReluGradF32 {
    fn name(&self) -> &'static str {
        "relu_grad_f32"
    }

    fn bindings(&self) -> Vec<Binding> {
        vec![
            Binding::read("y", DType::F32, self.shape.clone()),
            Binding::read("dy", DType::F32, self.shape.clone()),
            Binding::write("dx", DType::F32, self.shape.clone()),
        ]
    }

    fn launch(&self, caps: &Caps) -> Result<Launch> {
        let len = num_elements(&self.shape);
        let params = params_bytes(&Params { len: len as u32 });
        let source = include_str!("../../shaders/relu_grad_f32.wgsl");
        Ok(elementwise::launch(source, Spec::new(), params, len, caps))
    }

    fn cpu(&self, args: &mut [Tensor]) -> Result<()> {
        let (y, dy) = (args[0].to_f64(), args[1].to_f64());
        let select = |(y, dy)| if y > 0.0 { dy } else { 0.0 };
        let dx: Vec<f64> = y.into_iter().zip(dy).map(select).collect();
        args[2].store_f64(&dx)
    }

    fn agreement(&self, _args: &[Tensor]) -> Result<Vec<Agreement>> {
        Ok(vec![Agreement::Equal; 3])
    }

    fn operations(&self) -> f64 {
        num_elements(&self.shape) as f64
    }
}

/// Shapes that hurt: one, primes, just over a workgroup's share.
pub fn samples() -> Vec<Box<dyn Kernel>> {
    let shapes: [&[usize]; 4] = [&[1], &[7, 13], &[2, 3, 5, 65], &[1031]];
    shapes
        .iter()
        .map(|s| Box::new(ReluGradF32 { shape: s.to_vec() }) as Box<dyn Kernel>)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        let mut args = [
            Tensor::from_f32(&[3], &[0.0, 0.5, 2.0]).expect("fits"),
            Tensor::from_f32(&[3], &[1.0, -2.0, 3.0]).expect("fits"),
            Tensor::zeros(&[3], DType::F32),
        ];
        ReluGradF32 { shape: vec![3] }.cpu(&mut args).expect("f32");
        assert_eq!(args[2].as_f32().expect("f32"), [0.0, -2.0, 3.0]);
    }
}
