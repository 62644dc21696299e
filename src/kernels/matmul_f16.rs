//! `y[m, n] = relu?(Σ_k x[m, k] · w[n, k] + bias[n])` on f16
//!
//! `x`, `w`, `y`: f16, two to a word; `bias` and every sum: f32. `native` multiplies in f16, so that a
//! product is rounded to f16 (and must not exceed 65504) before it enters the sum; otherwise products
//! are f32 and exact.

use super::cooperative::with_cooperative;
use super::matmul_f32::linear;
use super::reference::{magnitudes, sum_agreement};
use super::tile::{matrix_tile, shared_source, tiling};
use super::tiled::Tiled;
use super::variant::product_variants;
use super::{
    Agreement, Binding, Caps, Const, Kernel, Launch, Spec, Variant, grid_1d, params_bytes,
};
use crate::base::{DType, Tensor};
use crate::error::{Error, Result};

/// A linear layer in f16. Bindings: `x[m, k]`, `w[n, k]`, `bias[n]`, `y[m, n]`.
#[derive(Clone, Debug)]
pub struct MatmulF16 {
    /// Rows of `x` and `y`.
    pub m: usize,
    /// Rows of `w`, columns of `y`.
    pub n: usize,
    /// Columns of `x` and `w`.
    pub k: usize,
    /// Rectifies the result.
    pub relu: bool,
    /// Multiplies in native f16; needs [`Caps::f16`].
    pub native: bool,
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::NoUninit)]
struct Params {
    rows: u32,
    columns: u32,
    steps: u32,
    row_words: u32,
}

/// The specialisation with native f16 products, if asked for.
///
/// # Errors
/// [`Error::Unsupported`] if the device has no native f16.
pub(super) fn with_factor(spec: Spec, op: &str, native: bool, caps: &Caps) -> Result<Spec> {
    if !native {
        return Ok(spec);
    }
    if !caps.f16 {
        return Err(Error::Unsupported {
            op: op.into(),
            problem: "it has no native f16; use the packed variant".into(),
        });
    }
    Ok(spec.with("Factor", Const::Type("f16")))
}

impl Kernel for MatmulF16 {
    fn name(&self) -> &'static str {
        "matmul_f16"
    }

    fn bindings(&self) -> Vec<Binding> {
        vec![
            Binding::read("x", DType::F16, [self.m, self.k]),
            Binding::read("w", DType::F16, [self.n, self.k]),
            Binding::read("bias", DType::F32, [self.n]),
            Binding::write("y", DType::F16, [self.m, self.n]),
        ]
    }

    fn variants(&self, caps: &Caps) -> Vec<Variant> {
        let variants = product_variants(self.m, self.n, caps);
        with_cooperative(variants, DType::F16, (self.m, self.n), caps)
    }

    fn launch(&self, caps: &Caps) -> Result<Launch> {
        let tiling = tiling(caps);
        let (own, blocks) = matrix_tile(self.m, self.n, &tiling);
        let groups = self.m.div_ceil(own * tiling.workgroup) * self.n.div_ceil(8 * blocks);
        let spec = Spec::new()
            .with("WORKGROUP", tiling.workgroup as u32)
            .with("ROWS", own as u32)
            .with("BLOCKS", blocks as u32)
            .with("RELU", self.relu);
        Ok(Launch {
            source: shared_source(include_str!("../../shaders/matmul_f16.wgsl"), caps),
            spec: with_factor(spec, self.name(), self.native, caps)?,
            params: params_bytes(&Params {
                rows: self.m as u32,
                columns: self.n as u32,
                steps: self.k.div_ceil(2) as u32,
                row_words: self.n.div_ceil(2) as u32,
            }),
            workgroups: grid_1d(groups, 1, caps),
        })
    }

    fn launch_as(&self, caps: &Caps, variant: Variant) -> Result<Launch> {
        let source = match variant {
            Variant::Plain => return self.launch(caps),
            Variant::Subgroup => include_str!("../../shaders/matmul_f16_subgroup.wgsl"),
            Variant::Workgroup => include_str!("../../shaders/matmul_f16_workgroup.wgsl"),
            Variant::Depthwise => return Err(variant.unsupported(self.name())),
            Variant::Cooperative => include_str!("../../shaders/matmul_f16_cooperative.wgsl"),
        };
        let tiled = Tiled {
            op: self.name(),
            dtype: DType::F16,
            source: source.into(),
            spec: with_factor(
                Spec::new().with("RELU", self.relu),
                self.name(),
                self.native,
                caps,
            )?,
            more: vec![self.n.div_ceil(2) as u32],
        };
        tiled.matrix(variant, [self.m, self.n, self.k], caps)
    }

    fn cpu(&self, args: &mut [Tensor]) -> Result<()> {
        let y = self.product(&args[0].to_f64(), &args[1].to_f64(), &args[2].to_f64());
        args[3].store_f64(&y)
    }

    fn agreement(&self, args: &[Tensor]) -> Result<Vec<Agreement>> {
        let [x, w, bias] = [&args[0], &args[1], &args[2]].map(Tensor::to_f64);
        let values = self.product(&x, &w, &bias);
        let size = self.product(&magnitudes(&x), &magnitudes(&w), &magnitudes(&bias));
        let y = sum_agreement(self.k, &size, &values, DType::F16, self.native);
        Ok(vec![
            Agreement::Equal,
            Agreement::Equal,
            Agreement::Equal,
            y,
        ])
    }

    fn operations(&self) -> f64 {
        2.0 * (self.m * self.n * self.k) as f64
    }
}

impl MatmulF16 {
    fn product(&self, x: &[f64], w: &[f64], bias: &[f64]) -> Vec<f64> {
        linear((self.m, self.n, self.k), x, w, bias, self.relu)
    }
}

/// Sizes that hurt: one, odd rows of words, tails of both tiles. Packed only: native f16 is not everywhere.
pub fn samples() -> Vec<Box<dyn Kernel>> {
    [(1, 1, 1, false), (13, 7, 11, true), (65, 18, 64, false)]
        .into_iter()
        .map(|(m, n, k, relu)| {
            Box::new(MatmulF16 {
                m,
                n,
                k,
                relu,
                native: false,
            }) as Box<dyn Kernel>
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand_and_without_native_f16() {
        let mut args = [
            Tensor::from_f32_as_f16(&[1, 3], &[1.0, -2.0, 0.5]).expect("fits"),
            Tensor::from_f32_as_f16(&[1, 3], &[3.0, 1.0, 4.0]).expect("fits"),
            Tensor::from_f32(&[1], &[0.25]).expect("fits"),
            Tensor::zeros(&[1, 1], DType::F16),
        ];
        let kernel = MatmulF16 {
            m: 1,
            n: 1,
            k: 3,
            relu: false,
            native: true,
        };
        kernel.cpu(&mut args).expect("f16");
        assert_eq!(args[3].to_f32(), [3.25]);
        let error = kernel.launch(&Caps::portable()).expect_err("no f16");
        assert!(error.to_string().contains("no native f16"), "{error}");
    }
}
