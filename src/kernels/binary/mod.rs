//! Kernels that take two elements and give one.
//!
//! ```text
//! y[i] = f(a[i] ∘ b[i])        Binary, BinaryI8: operands broadcast as in NumPy
//! y[j] = Σ x[i]                SumTo: the gradient of a broadcast operand
//! acc[i] += x[i]               Accumulate
//! y[i] = x[i] where mask[i]    ApplyMask
//! ```

mod binary_i8;
mod broadcast;
mod op;
mod sum_to;
mod update;

pub use binary_i8::BinaryI8;
pub(super) use binary_i8::samples as int8_samples;
pub use broadcast::broadcast_shape;
pub use op::BinaryOp;
pub use sum_to::SumTo;
pub use update::{Accumulate, ApplyMask};

use super::map::{Unary, check_float, within};
use super::{
    Agreement, Approx, Binding, Caps, Kernel, Launch, Spec, elementwise, params_bytes, random_args,
    store, uniform,
};
use crate::base::{DType, Rng, Shape, Tensor, num_elements};
use crate::error::Result;
use broadcast::Broadcast;

/// `y = act(a ∘ b)`, in f32. Bindings: `a`, `b`, `y`.
///
/// A result beyond f16 may come out as anything (WGSL leaves it open).
#[derive(Clone, Debug)]
pub struct Binary {
    /// What is done.
    pub op: BinaryOp,
    /// Shape of `a`.
    pub a: Shape,
    /// Shape of `b`.
    pub b: Shape,
    /// Element type of all: f32 or f16.
    pub dtype: DType,
    /// What follows.
    pub act: Option<Unary>,
}

impl Kernel for Binary {
    fn name(&self) -> &'static str {
        self.op.labels()[usize::from(self.dtype == DType::F16)]
    }

    fn bindings(&self) -> Vec<Binding> {
        vec![
            Binding::read("a", self.dtype, self.a.clone()),
            Binding::read("b", self.dtype, self.b.clone()),
            Binding::write("y", self.dtype, broadcast::or_empty(&self.a, &self.b)),
        ]
    }

    fn launch(&self, caps: &Caps) -> Result<Launch> {
        check_float(self.op.name(), self.dtype)?;
        let mut spec = Spec::new()
            .with("HALF", self.dtype == DType::F16)
            .part_text("combine", self.op.wgsl());
        if let Some(act) = self.act {
            act.check()?;
            spec = spec.part_text("activation", act.wgsl());
        }
        let broadcast = Broadcast::new(self.op.name(), &self.a, &self.b, self.dtype)?;
        Ok(elementwise::launch(
            include_str!("../../../shaders/binary/binary.wgsl"),
            spec,
            params_bytes(&broadcast.params),
            broadcast.params.words as usize,
            caps,
        ))
    }

    fn cpu(&self, args: &mut [Tensor]) -> Result<()> {
        let y = self.results(args)?;
        store(&mut args[2], &y)
    }

    fn agreement(&self, args: &[Tensor]) -> Result<Vec<Agreement>> {
        let y = within(&self.results(args)?, self.dtype);
        Ok(vec![Agreement::Equal, Agreement::Equal, y])
    }

    fn operations(&self) -> f64 {
        let each = 1.0 + f64::from(u8::from(self.act.is_some()));
        each * num_elements(&broadcast::or_empty(&self.a, &self.b)) as f64
    }

    /// Divisors that are not almost nothing, and powers of positive numbers.
    fn example_args(&self, rng: &mut Rng) -> Vec<Tensor> {
        let mut args = random_args(&self.bindings(), rng);
        let mut positive = |arg: &mut Tensor| {
            let values = uniform(arg.shape(), 0.25, 3.0, rng).to_f64();
            arg.store_f64(&values).expect("as many floats");
        };
        match self.op {
            BinaryOp::Pow => positive(&mut args[0]),
            BinaryOp::Div => positive(&mut args[1]),
            BinaryOp::Add
            | BinaryOp::Sub
            | BinaryOp::Mul
            | BinaryOp::Min
            | BinaryOp::Max
            | BinaryOp::Prelu => {}
        }
        args
    }
}

impl Binary {
    fn results(&self, args: &[Tensor]) -> Result<Vec<Approx>> {
        let (a, b) = (Approx::elements(&args[0]), Approx::elements(&args[1]));
        let pairs = broadcast::pairs(self.op.name(), &self.a, &self.b)?.into_iter();
        let results = pairs.map(|[i, j]| self.op.approx(a[i], b[j]));
        Ok(match self.act {
            Some(act) => results.map(|y| act.approx(y)).collect(),
            None => results.collect(),
        })
    }
}

/// Shapes of operands that hurt: equal, per channel, per image and channel, rows against elements,
/// every other axis.
pub(super) fn sample_shapes() -> [[Shape; 2]; 7] {
    [
        [vec![1031], vec![1031]],
        [vec![2, 3, 5, 7], vec![7]],
        [vec![3, 4, 5, 6], vec![3, 1, 1, 6]],
        [vec![5, 1], vec![3, 1, 9]],
        [vec![1, 13], vec![7, 1]],
        [vec![2, 1, 3, 1, 2, 5], vec![3, 1, 2, 1, 1]],
        [vec![], vec![2, 129]],
    ]
}

/// Every operation in every type, with and without something after it.
pub fn samples() -> Vec<Box<dyn Kernel>> {
    let mut out: Vec<Box<dyn Kernel>> = Vec::new();
    for &op in BinaryOp::ALL {
        for (i, [a, b]) in sample_shapes().into_iter().enumerate() {
            let act = [None, Some(Unary::Relu), Some(Unary::Sigmoid)][i % 3];
            for dtype in [DType::F32, DType::F16] {
                let (a, b) = (a.clone(), b.clone());
                out.push(Box::new(Binary {
                    op,
                    a,
                    b,
                    dtype,
                    act,
                }));
            }
        }
    }
    out.extend(binary_i8::samples());
    out.extend(sum_to::samples());
    out.extend(update::samples());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        let mut args = [
            Tensor::from_f32(&[2, 1], &[1.0, -2.0]).expect("fits"),
            Tensor::from_f32(&[3], &[0.5, -1.0, 3.0]).expect("fits"),
            Tensor::zeros(&[2, 3], DType::F32),
        ];
        let mut kernel = Binary {
            op: BinaryOp::Add,
            a: vec![2, 1],
            b: vec![3],
            dtype: DType::F32,
            act: Some(Unary::Relu),
        };
        kernel.cpu(&mut args).expect("f32");
        assert_eq!(args[2].to_f32(), [1.5, 0.0, 4.0, 0.0, 0.0, 1.0]);
        (kernel.op, kernel.act) = (BinaryOp::Mul, None);
        kernel.cpu(&mut args).expect("f32");
        assert_eq!(args[2].to_f32(), [0.5, -1.0, 3.0, -1.0, 2.0, -6.0]);
        for (op, want) in [
            (BinaryOp::Sub, [0.5, 2.0, -2.0, -2.5, -1.0, -5.0]),
            (BinaryOp::Div, [2.0, -1.0, 1.0 / 3.0, -4.0, 2.0, -2.0 / 3.0]),
            (BinaryOp::Min, [0.5, -1.0, 1.0, -2.0, -2.0, -2.0]),
            (BinaryOp::Max, [1.0, 1.0, 3.0, 0.5, -1.0, 3.0]),
            (BinaryOp::Prelu, [1.0, 1.0, 1.0, -1.0, 2.0, -6.0]),
        ] {
            kernel.op = op;
            kernel.cpu(&mut args).expect("f32");
            assert_eq!(args[2].to_f32(), want, "{op:?}");
        }
        kernel.op = BinaryOp::Pow;
        args[1] = Tensor::from_f32(&[3], &[2.0, -1.0, 3.0]).expect("fits");
        kernel.cpu(&mut args).expect("f32");
        assert_eq!(args[2].to_f32(), [1.0, 1.0, 1.0, 4.0, -0.5, -8.0]);
    }
}
