//! `y = table[k(…)]`
//!
//! What another kernel writes as int8 goes through a table on its way: what it and [`MapI8`](super::MapI8) give one
//! after the other, bit for bit, and nothing in between is stored.

use std::sync::Arc;

use super::super::{
    Agreement, Binding, Caps, Kernel, Launch, Variant, binary, pool, product, random_tensor,
};
use super::table_i8::look_up;
use crate::base::{DType, Rng, Tensor, num_elements};
use crate::error::{Error, Result};
use crate::gpu::Access;

/// An int8 kernel whose results go through a table. Bindings: its own, then `table` (of [`table`](super::table)).
#[derive(Clone, Debug)]
pub struct WithTable {
    kernel: Arc<dyn Kernel>,
}

impl WithTable {
    /// Of a kernel whose program has the part `mapped`: products and convolutions that end in int8, `BinaryI8`,
    /// `AvgPoolI8`.
    pub fn new(kernel: impl Kernel + 'static) -> Self {
        Self {
            kernel: Arc::new(kernel),
        }
    }

    /// Bindings of the kernel by itself.
    fn own(&self) -> usize {
        self.kernel.bindings().len()
    }

    /// Which of them is the result.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a kernel that writes no int8.
    fn result(&self) -> Result<usize> {
        let bindings = self.kernel.bindings();
        let int8 =
            |binding: &Binding| binding.access == Access::Write && binding.dtype == DType::I8;
        let found = bindings.iter().position(int8);
        found.ok_or_else(|| Error::invalid(self.name(), "a table takes results in int8"))
    }

    fn with_table(&self, launch: Launch) -> Result<Launch> {
        self.result()?;
        let spec = launch.spec.part("mapped", "common/mapped_table.wgsl");
        Ok(Launch {
            spec: spec.with("TABLE", self.own() as u32),
            ..launch
        })
    }
}

impl Kernel for WithTable {
    fn name(&self) -> &'static str {
        self.kernel.name()
    }

    fn bindings(&self) -> Vec<Binding> {
        let mut bindings = self.kernel.bindings();
        bindings.push(Binding::read("table", DType::U32, [64]));
        bindings
    }

    fn variants(&self, caps: &Caps) -> Vec<Variant> {
        self.kernel.variants(caps)
    }

    fn launch(&self, caps: &Caps) -> Result<Launch> {
        self.with_table(self.kernel.launch(caps)?)
    }

    fn launch_as(&self, caps: &Caps, variant: Variant) -> Result<Launch> {
        self.with_table(self.kernel.launch_as(caps, variant)?)
    }

    fn cpu(&self, args: &mut [Tensor]) -> Result<()> {
        let (own, table) = args.split_at_mut(self.own());
        self.kernel.cpu(own)?;
        let y = &mut own[self.result()?];
        let mapped = look_up(table[0].as_u32()?, &y.to_i8()?);
        y.store_i8(&mapped)
    }

    /// Where the kernel may be one step away, either neighbour in the table may come out.
    fn agreement(&self, args: &[Tensor]) -> Result<Vec<Agreement>> {
        let (own, table) = args.split_at(self.own());
        let mut agreement = self.kernel.agreement(own)?;
        agreement.push(Agreement::Equal);
        let result = self.result()?;
        if let Agreement::NearTie { near_tie, step } = &mut agreement[result] {
            let mut own = own.to_vec();
            self.kernel.cpu(&mut own)?;
            let q = own[result].to_i8()?;
            let table = table[0].as_u32()?;
            let here = look_up(table, &q);
            let neighbours = [-1, 1].map(|way| {
                let beside: Vec<i8> = q.iter().map(|q: &i8| q.saturating_add(way)).collect();
                look_up(table, &beside)
            });
            for (i, step) in step.iter_mut().enumerate().filter(|(i, _)| near_tie[*i]) {
                let away = neighbours
                    .iter()
                    .map(|beside| f64::from(beside[i]) - f64::from(here[i]));
                *step = away.fold(0.0, |most, away| f64::max(most, away.abs()));
            }
        }
        Ok(agreement)
    }

    fn operations(&self) -> f64 {
        let results = self
            .result()
            .map_or(0, |y| num_elements(&self.kernel.bindings()[y].shape));
        self.kernel.operations() + results as f64
    }

    fn example_args(&self, rng: &mut Rng) -> Vec<Tensor> {
        let mut args = self.kernel.example_args(rng);
        args.extend(
            self.bindings()
                .last()
                .map(|table| random_tensor(table, rng)),
        );
        args
    }
}

/// Shapes that hurt: tails of words, single columns, every rule, with and without a residual.
pub(super) fn samples() -> Vec<Box<dyn Kernel>> {
    let with_table = |kernel: Box<dyn Kernel>| {
        let kernel: Arc<dyn Kernel> = kernel.into();
        let kernel = WithTable { kernel };
        kernel
            .result()
            .is_ok()
            .then(|| Box::new(kernel) as Box<dyn Kernel>)
    };
    let kernels = [
        product::matmul_i8_samples(),
        product::conv2d_i8_samples(),
        binary::int8_samples().into_iter().step_by(5).collect(),
        pool::avg_i8_samples().into_iter().step_by(2).collect(),
    ];
    kernels
        .into_iter()
        .flatten()
        .filter_map(with_table)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{QParams, Range, Requant};
    use crate::kernels::binary::{BinaryI8, BinaryOp};
    use crate::kernels::map::{Cast, Unary, table};

    fn q(scale: f32, zero_point: i32) -> QParams {
        let range = Range::affine(8);
        QParams {
            scale,
            zero_point,
            range,
        }
    }

    fn sum(requant: Requant) -> BinaryI8 {
        let (qa, qb, qy) = (q(1.0, 0), q(1.0, 0), q(2.0, 0));
        let (a, b, op) = (vec![3], vec![3], BinaryOp::Add);
        BinaryI8 {
            op,
            a,
            b,
            qa,
            qb,
            qy,
            requant,
        }
    }

    #[test]
    fn by_hand() {
        let abs = |x: f32| Unary::Abs.f64(x.into()) as f32;
        let kernel = WithTable::new(sum(Requant::Float));
        let mut args = [
            Tensor::from_i8(&[3], &[1, -9, 4]).expect("fits"),
            Tensor::from_i8(&[3], &[1, 1, 1]).expect("fits"),
            Tensor::zeros(&[3], DType::I8),
            table(abs, q(2.0, 0), q(1.0, 10)),
        ];
        // Sums 2, −8, 5, in steps of 2: 1, −4, and 2.5, which is a tie.
        let agreement = kernel.agreement(&args).expect("right types");
        kernel.cpu(&mut args).expect("right types");
        assert_eq!(args[2].to_i8().expect("i8"), [12, 18, 14]);
        let near_tie = vec![false, false, true];
        let step = vec![1.0, 1.0, 2.0];
        assert_eq!(agreement[2], Agreement::NearTie { near_tie, step });
        let fixed = WithTable::new(sum(Requant::Fixed));
        assert_eq!(
            fixed.agreement(&args).expect("right types"),
            vec![Agreement::Equal; 4]
        );
    }

    #[test]
    fn floats_are_refused() {
        let (shape, from, to) = (vec![3], DType::F32, DType::F16);
        let kernel = WithTable::new(Cast { shape, from, to });
        assert!(kernel.launch(&Caps::portable()).is_err());
    }
}
