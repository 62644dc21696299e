//! ```text
//! acc[i, j] = bias[j] + Σ_t x[i, t]·w[j, t]                        int32, wrapping
//! y[i, j]   = clamp(requant(acc[i, j], multiplier[j]) + zero_point, qmin, qmax), or acc[i, j]
//! ```
//!
//! `x`: i8 `[m, k]`, `w`: i8 `[n, k]`, `bias`: i32 `[n]`, `multiplier`: u32 `[n, 2]` ([`OutI8::multipliers`]),
//! `y`: i8 `[m, n]`, or i32. The zero point of `x` is not seen here: the caller has put `−z_x · Σ_t w[j, t]` into
//! `bias`. Sums are exact and the same in any order; they wrap like any int32 if `k` and `bias` are that large.

use crate::base::parallel::*;

use super::cooperative::with_cooperative;
use super::matmul::check_sizes;
use super::parts::Parts;
use super::reference::{int8_agreement, int8_bindings, int8_store};
use super::{Agreement, Binding, Caps, Kernel, Launch, OutI8, Variant, random_args};
use crate::base::{DType, Rng, Tensor};
use crate::error::Result;
use crate::kernels::out_i8::sample_outs;
use crate::kernels::variant::product_variants;

/// `y = out(bias + x · wᵀ)`. Bindings: `x`, `w`, `bias`, `multiplier` unless the sums are the output, `y`.
#[derive(Clone, Debug)]
pub struct MatmulI8 {
    /// Rows of `x` and `y`.
    pub m: usize,
    /// Columns of `y`, rows of `w`.
    pub n: usize,
    /// Columns of `x` and `w`.
    pub k: usize,
    /// How an accumulator becomes an output; without, `y` holds the accumulators.
    pub out: Option<OutI8>,
}

impl Kernel for MatmulI8 {
    fn name(&self) -> &'static str {
        match self.out {
            Some(_) => "matmul_i8",
            None => "matmul_i8_i32",
        }
    }

    fn bindings(&self) -> Vec<Binding> {
        let x = Binding::read("x", DType::I8, [self.m, self.k]);
        let w = Binding::read("w", DType::I8, [self.n, self.k]);
        int8_bindings(x, w, self.n, vec![self.m, self.n], self.out)
    }

    fn variants(&self, caps: &Caps) -> Vec<Variant> {
        let variants = product_variants(self.m, self.n, caps);
        with_cooperative(variants, DType::I8, (self.m, self.n), caps)
    }

    fn launch(&self, caps: &Caps) -> Result<Launch> {
        self.launch_as(caps, Variant::Plain)
    }

    fn launch_as(&self, caps: &Caps, variant: Variant) -> Result<Launch> {
        check_sizes(self.name(), [self.m, self.n, self.k])?;
        let parts = Parts::int8(self.name(), 0, self.out, None, self.n)?;
        parts.matrix(variant, [self.m, self.n, self.k], caps)
    }

    fn cpu(&self, args: &mut [Tensor]) -> Result<()> {
        let acc = self.accumulate(args)?;
        int8_store(self.out, &acc, args)
    }

    fn agreement(&self, args: &[Tensor]) -> Result<Vec<Agreement>> {
        int8_agreement(self.out, &self.accumulate(args)?, args)
    }

    fn operations(&self) -> f64 {
        2.0 * (self.m * self.n * self.k) as f64
    }

    fn example_args(&self, rng: &mut Rng) -> Vec<Tensor> {
        let mut args = random_args(&self.bindings(), rng);
        if let Some(out) = self.out {
            args[3] = out.example_multipliers(self.n, self.k, rng);
        }
        args
    }
}

impl MatmulI8 {
    /// `bias + x · wᵀ`, `[m, n]`.
    fn accumulate(&self, args: &[Tensor]) -> Result<Vec<i32>> {
        let (x, w, bias) = (args[0].to_i8()?, args[1].to_i8()?, args[2].as_i32()?);
        let dot = |a: &[i8], b: &[i8]| {
            let products = a.iter().zip(b).map(|(&a, &b)| i32::from(a) * i32::from(b));
            products.fold(0i32, i32::wrapping_add)
        };
        let rows = x.par_chunks(self.k).map(|x_row| {
            let row = w.chunks(self.k).zip(bias);
            row.map(|(w_row, &bias)| bias.wrapping_add(dot(x_row, w_row)))
                .collect::<Vec<i32>>()
        });
        Ok(rows.flatten_iter().collect())
    }
}

/// Shapes that hurt: one, odd everything, tails of words and tiles; LeNet's first and last linear layers.
pub fn samples() -> Vec<Box<dyn Kernel>> {
    let [float, fixed, relu] = sample_outs().map(Some);
    [
        ([1, 1, 1], float),
        ([5, 7, 3], fixed),
        ([4, 4, 16], relu),
        ([13, 11, 65], float),
        ([64, 120, 400], fixed),
        ([3, 130, 257], relu),
        ([1, 1, 1], None),
        ([5, 7, 3], None),
        ([13, 11, 65], None),
        ([64, 10, 84], None),
    ]
    .into_iter()
    .map(|([m, n, k], out)| Box::new(MatmulI8 { m, n, k, out }) as Box<dyn Kernel>)
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Range, Requant};

    #[test]
    fn by_hand() {
        let (m, n, k) = (1, 2, 3);
        let args = || {
            vec![
                Tensor::from_i8(&[1, 3], &[1, -2, 3]).expect("fits"),
                Tensor::from_i8(&[2, 3], &[10, 0, 10, -128, 127, 127]).expect("fits"),
                Tensor::from_i32(&[2], &[2, i32::MIN]).expect("fits"),
            ]
        };
        for requant in [Requant::Float, Requant::Fixed] {
            let out = OutI8 {
                requant,
                zero_point: 1,
                range: Range::affine(8),
            };
            let mut args = args();
            args[2] = Tensor::from_i32(&[2], &[2, 0]).expect("fits");
            args.push(out.multipliers(&[0.5, 0.25]));
            args.push(Tensor::zeros(&[1, 2], DType::I8));
            let out = Some(out);
            let kernel = MatmulI8 { m, n, k, out };
            kernel.cpu(&mut args).expect("right types");
            // 42 / 2 + 1 and −1 / 4 + 1
            assert_eq!(args[4].to_i8().expect("i8"), [22, 1]);
        }
        let mut args = args();
        args.push(Tensor::zeros(&[1, 2], DType::I32));
        let kernel = MatmulI8 { m, n, k, out: None };
        kernel.cpu(&mut args).expect("right types");
        // −1 below the least wraps.
        assert_eq!(args[3].as_i32().expect("i32"), [42, i32::MAX]);
    }
}
