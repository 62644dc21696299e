//! `y[i] = factor · x[i]`
//!
//! `x`, `y`: f32, any shape. One rounding.

use super::{
    Agreement, Approx, Binding, Caps, Kernel, Launch, Spec, elementwise, params_bytes, store,
    within_f32,
};
use crate::base::{DType, Shape, Tensor, num_elements};
use crate::error::Result;

/// `y = factor · x`. Bindings: `x`, `y`.
#[derive(Clone, Debug)]
pub struct ScaleF32 {
    /// Shape of `x` and `y`.
    pub shape: Shape,
    /// The factor.
    pub factor: f32,
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::NoUninit)]
struct Params {
    len: u32,
    factor: f32,
}

impl Kernel for ScaleF32 {
    fn name(&self) -> &'static str {
        "scale_f32"
    }

    fn bindings(&self) -> Vec<Binding> {
        vec![
            Binding::read("x", DType::F32, self.shape.clone()),
            Binding::write("y", DType::F32, self.shape.clone()),
        ]
    }

    fn launch(&self, caps: &Caps) -> Result<Launch> {
        let len = num_elements(&self.shape);
        let params = params_bytes(&Params {
            len: len as u32,
            factor: self.factor,
        });
        let source = include_str!("../../shaders/scale_f32.wgsl");
        Ok(elementwise::launch(source, Spec::new(), params, len, caps))
    }

    fn cpu(&self, args: &mut [Tensor]) -> Result<()> {
        let y = self.products(args);
        store(&mut args[1], &y)
    }

    fn agreement(&self, args: &[Tensor]) -> Result<Vec<Agreement>> {
        Ok(vec![Agreement::Equal, within_f32(&self.products(args))])
    }

    fn operations(&self) -> f64 {
        num_elements(&self.shape) as f64
    }
}

impl ScaleF32 {
    fn products(&self, args: &[Tensor]) -> Vec<Approx> {
        let x = Approx::elements(&args[0]).into_iter();
        x.map(|x| Approx::exact(self.factor) * x).collect()
    }
}

/// Shapes that hurt: one, primes, just over a workgroup's share.
pub fn samples() -> Vec<Box<dyn Kernel>> {
    let shapes: [&[usize]; 4] = [&[1], &[7, 13], &[2, 3, 5, 65], &[1031]];
    shapes
        .iter()
        .map(|s| {
            Box::new(ScaleF32 {
                shape: s.to_vec(),
                factor: 0.3,
            }) as Box<dyn Kernel>
        })
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
        let (shape, factor) = (vec![3], -2.0);
        ScaleF32 { shape, factor }.cpu(&mut args).expect("f32");
        assert_eq!(args[1].as_f32().expect("f32"), [2.0, 0.0, -5.0]);
    }
}
