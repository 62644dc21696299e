//! ```text
//! acc[i, j] = bias[j] + Σ_t x[i, t]·w[j, t]                        int32, wrapping
//! y[i, j]   = clamp(requant(acc[i, j], multiplier[j]) + zero_point, qmin, qmax)
//! ```
//!
//! `x`: i8 `[m, k]`, `w`: i8 `[n, k]`, `bias`: i32 `[n]`, `multiplier`: u32 `[n, 2]` ([`OutI8::multipliers`]),
//! `y`: i8 `[m, n]`. The zero point of `x` is not seen here: the caller has put `−z_x · Σ_t w[j, t]` into `bias`.
//! Sums are exact and the same in any order; they wrap like any int32 if `k` and `bias` are that large.

use crate::base::parallel::*;

use super::cooperative::with_cooperative;
use super::tile_i8::TileI8;
use super::tiled::Tiled;
use super::variant::product_variants;
use super::{
    Agreement, Binding, Caps, Kernel, Launch, OutI8, Variant, grid_1d, out_i8, params_bytes,
    random_args,
};
use crate::base::{DType, Rng, Tensor};
use crate::error::Result;

/// `y = out(bias + x · wᵀ)`. Bindings: `x`, `w`, `bias`, `multiplier`, `y`.
#[derive(Clone, Debug)]
pub struct MatmulI8 {
    /// Rows of `x` and `y`.
    pub m: usize,
    /// Columns of `y`, rows of `w`.
    pub n: usize,
    /// Columns of `x` and `w`.
    pub k: usize,
    /// How an accumulator becomes an output.
    pub out: OutI8,
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::NoUninit)]
struct Params {
    m: u32,
    n: u32,
    k_words: u32,
    n_words: u32,
    zero_point: i32,
    qmin: i32,
    qmax: i32,
}

impl Kernel for MatmulI8 {
    fn name(&self) -> &'static str {
        "matmul_i8"
    }

    fn bindings(&self) -> Vec<Binding> {
        vec![
            Binding::read("x", DType::I8, [self.m, self.k]),
            Binding::read("w", DType::I8, [self.n, self.k]),
            Binding::read("bias", DType::I32, [self.n]),
            Binding::read("multiplier", DType::U32, [self.n, 2]),
            Binding::write("y", DType::I8, [self.m, self.n]),
        ]
    }

    fn variants(&self, caps: &Caps) -> Vec<Variant> {
        let variants = product_variants(self.m, self.n, caps);
        with_cooperative(variants, DType::I8, (self.m, self.n), caps)
    }

    fn launch(&self, caps: &Caps) -> Result<Launch> {
        let n_words = self.n.div_ceil(4);
        let tile = TileI8::new(self.m, n_words, caps);
        Ok(Launch {
            source: include_str!("../../shaders/matmul_i8.wgsl").into(),
            spec: tile.spec(self.out.spec()),
            params: params_bytes(&Params {
                m: self.m as u32,
                n: self.n as u32,
                k_words: self.k.div_ceil(4) as u32,
                n_words: n_words as u32,
                zero_point: self.out.zero_point,
                qmin: self.out.range.qmin,
                qmax: self.out.range.qmax,
            }),
            workgroups: grid_1d(tile.invocations(self.m, n_words), tile.workgroup, caps),
        })
    }

    fn launch_as(&self, caps: &Caps, variant: Variant) -> Result<Launch> {
        let source = match variant {
            Variant::Plain => return self.launch(caps),
            Variant::Subgroup => include_str!("../../shaders/matmul_i8_subgroup.wgsl"),
            Variant::Workgroup => include_str!("../../shaders/matmul_i8_workgroup.wgsl"),
            Variant::Depthwise => return Err(variant.unsupported(self.name())),
            Variant::Cooperative => include_str!("../../shaders/matmul_i8_cooperative.wgsl"),
        };
        let tiled = Tiled {
            op: self.name(),
            dtype: DType::I8,
            source: source.into(),
            spec: self.out.spec(),
            more: vec![
                self.n.div_ceil(4) as u32,
                self.out.zero_point as u32,
                self.out.range.qmin as u32,
                self.out.range.qmax as u32,
            ],
        };
        tiled.matrix(variant, [self.m, self.n, self.k], caps)
    }

    fn cpu(&self, args: &mut [Tensor]) -> Result<()> {
        let acc = accumulate(args)?;
        let (inputs, y) = args.split_at_mut(4);
        self.out.store(&acc, inputs[3].as_u32()?, &mut y[0])
    }

    fn agreement(&self, args: &[Tensor]) -> Result<Vec<Agreement>> {
        let mut all = vec![Agreement::Equal; 5];
        all[4] = self.out.agreement(&accumulate(args)?, args[3].as_u32()?);
        Ok(all)
    }

    fn operations(&self) -> f64 {
        2.0 * (self.m * self.n * self.k) as f64
    }

    fn example_args(&self, rng: &mut Rng) -> Vec<Tensor> {
        let mut args = random_args(&self.bindings(), rng);
        args[3] = self.out.example_multipliers(self.n, self.k, rng);
        args
    }
}

/// `bias + x · wᵀ`, `[m, n]`, of arguments that start with `x`, `w`, `bias`.
pub(super) fn accumulate(args: &[Tensor]) -> Result<Vec<i32>> {
    let (x, w, bias) = (args[0].to_i8()?, args[1].to_i8()?, args[2].as_i32()?);
    let k = args[0].shape()[1];
    let dot = |a: &[i8], b: &[i8]| {
        let products = a.iter().zip(b).map(|(&a, &b)| i32::from(a) * i32::from(b));
        products.fold(0i32, i32::wrapping_add)
    };
    let rows = x.par_chunks(k).map(|x_row| {
        let row = w.chunks(k).zip(bias);
        row.map(|(w_row, &bias)| bias.wrapping_add(dot(x_row, w_row)))
            .collect::<Vec<i32>>()
    });
    Ok(rows.flatten_iter().collect())
}

/// Shapes that hurt: one, odd everything, tails of words and tiles; LeNet's first linear layer.
pub fn samples() -> Vec<Box<dyn Kernel>> {
    let shapes = [
        (1, 1, 1),
        (5, 7, 3),
        (4, 4, 16),
        (13, 11, 65),
        (64, 120, 400),
        (3, 130, 257),
    ];
    let outs = out_i8::sample_outs();
    shapes
        .iter()
        .enumerate()
        .map(|(i, &(m, n, k))| {
            let out = outs[i % outs.len()];
            Box::new(MatmulI8 { m, n, k, out }) as Box<dyn Kernel>
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Range, Requant};

    #[test]
    fn by_hand() {
        for requant in [Requant::Float, Requant::Fixed] {
            let out = OutI8 {
                requant,
                zero_point: 1,
                range: Range::affine(8),
            };
            let kernel = MatmulI8 {
                m: 1,
                n: 2,
                k: 3,
                out,
            };
            let mut args = [
                Tensor::from_i8(&[1, 3], &[1, -2, 3]).expect("fits"),
                Tensor::from_i8(&[2, 3], &[10, 0, 10, -128, 127, 127]).expect("fits"),
                Tensor::from_i32(&[2], &[2, 0]).expect("fits"),
                out.multipliers(&[0.5, 0.25]),
                Tensor::zeros(&[1, 2], DType::I8),
            ];
            kernel.cpu(&mut args).expect("right types");
            // 42 / 2 + 1 and −1 / 4 + 1
            assert_eq!(args[4].to_i8().expect("i8"), [22, 1]);
        }
    }
}
