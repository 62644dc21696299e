//! `y[i] = a[i] + b[i]`, then `max(0, ·)` with `relu`.
//!
//! `a`, `b`, `y`: f16, packed, any shape. Added as f32, then rounded to f16; a sum beyond ±65504 may
//! come out as anything (WGSL leaves it open).

use super::{
    Agreement, Approx, Binding, Caps, Kernel, Launch, Spec, elementwise, params_bytes, store,
    within_f16,
};
use crate::base::{DType, Shape, Tensor, num_elements, words_for};
use crate::error::Result;

/// `y = a + b`, optionally `max(0, a + b)`. Bindings: `a`, `b`, `y`.
#[derive(Clone, Debug)]
pub struct AddF16 {
    /// Shape of `a`, `b` and `y`.
    pub shape: Shape,
    /// Whether `max(0, ·)` follows.
    pub relu: bool,
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::NoUninit)]
struct Params {
    words: u32,
}

impl Kernel for AddF16 {
    fn name(&self) -> &'static str {
        "add_f16"
    }

    fn bindings(&self) -> Vec<Binding> {
        vec![
            Binding::read("a", DType::F16, self.shape.clone()),
            Binding::read("b", DType::F16, self.shape.clone()),
            Binding::write("y", DType::F16, self.shape.clone()),
        ]
    }

    fn launch(&self, caps: &Caps) -> Result<Launch> {
        let words = words_for(&self.shape, DType::F16);
        let params = params_bytes(&Params {
            words: words as u32,
        });
        let source = include_str!("../../shaders/add_f16.wgsl");
        let spec = Spec::new().with("RELU", self.relu);
        Ok(elementwise::launch(source, spec, params, words, caps))
    }

    fn cpu(&self, args: &mut [Tensor]) -> Result<()> {
        let y = self.sums(args);
        store(&mut args[2], &y)
    }

    fn agreement(&self, args: &[Tensor]) -> Result<Vec<Agreement>> {
        // One rounding to f32, one to f16; max(0, ·) moves two numbers no further apart.
        let y = within_f16(&self.sums(args));
        Ok(vec![Agreement::Equal, Agreement::Equal, y])
    }

    fn operations(&self) -> f64 {
        num_elements(&self.shape) as f64 * if self.relu { 2.0 } else { 1.0 }
    }
}

impl AddF16 {
    fn sums(&self, args: &[Tensor]) -> Vec<Approx> {
        let (a, b) = (Approx::elements(&args[0]), Approx::elements(&args[1]));
        let sums = a.into_iter().zip(b).map(|(a, b)| a + b);
        sums.map(|y| if self.relu { y.max(0.0) } else { y })
            .collect()
    }
}

/// Shapes that hurt: one, primes, odd rows, just over a workgroup's share.
pub fn samples() -> Vec<Box<dyn Kernel>> {
    let shapes: [&[usize]; 4] = [&[1], &[7, 13], &[2, 3, 5, 65], &[1031]];
    let mut out: Vec<Box<dyn Kernel>> = Vec::new();
    for shape in shapes {
        for relu in [false, true] {
            let shape = shape.to_vec();
            out.push(Box::new(AddF16 { shape, relu }));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        let tensor = |x: &[f32]| Tensor::from_f32_as_f16(&[3], x).expect("fits");
        for (relu, want) in [(false, [1.5, -3.0, 0.0]), (true, [1.5, 0.0, 0.0])] {
            let mut args = [
                tensor(&[1.0, -2.0, 3.0]),
                tensor(&[0.5, -1.0, -3.0]),
                tensor(&[9.0; 3]),
            ];
            let shape = vec![3];
            AddF16 { shape, relu }.cpu(&mut args).expect("f16");
            assert_eq!(args[2].to_f32(), want);
        }
    }
}
