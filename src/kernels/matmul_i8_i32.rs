//! `y[i, j] = bias[j] + Σ_t x[i, t]·w[j, t]` in int32, wrapping
//!
//! `x`: i8 `[m, k]`, `w`: i8 `[n, k]`, `bias`: i32 `[n]`, `y`: i32 `[m, n]`: the accumulators of
//! [`super::matmul_i8`] as they are. Exact.

use super::cooperative::with_cooperative;
use super::matmul_i8::accumulate;
use super::tile_i8::TileI8;
use super::tiled::Tiled;
use super::variant::product_variants;
use super::{Agreement, Binding, Caps, Kernel, Launch, Spec, Variant, grid_1d, params_bytes};
use crate::base::{DType, Tensor};
use crate::error::Result;

/// `y = bias + x · wᵀ`. Bindings: `x`, `w`, `bias`, `y`.
#[derive(Clone, Debug)]
pub struct MatmulI8I32 {
    /// Rows of `x` and `y`.
    pub m: usize,
    /// Columns of `y`, rows of `w`.
    pub n: usize,
    /// Columns of `x` and `w`.
    pub k: usize,
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::NoUninit)]
struct Params {
    m: u32,
    n: u32,
    k_words: u32,
    n_words: u32,
}

impl Kernel for MatmulI8I32 {
    fn name(&self) -> &'static str {
        "matmul_i8_i32"
    }

    fn bindings(&self) -> Vec<Binding> {
        vec![
            Binding::read("x", DType::I8, [self.m, self.k]),
            Binding::read("w", DType::I8, [self.n, self.k]),
            Binding::read("bias", DType::I32, [self.n]),
            Binding::write("y", DType::I32, [self.m, self.n]),
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
            source: include_str!("../../shaders/matmul_i8_i32.wgsl").into(),
            spec: tile.spec(Spec::new()),
            params: params_bytes(&Params {
                m: self.m as u32,
                n: self.n as u32,
                k_words: self.k.div_ceil(4) as u32,
                n_words: n_words as u32,
            }),
            workgroups: grid_1d(tile.invocations(self.m, n_words), tile.workgroup, caps),
        })
    }

    fn launch_as(&self, caps: &Caps, variant: Variant) -> Result<Launch> {
        let source = match variant {
            Variant::Plain => return self.launch(caps),
            Variant::Subgroup => include_str!("../../shaders/matmul_i8_i32_subgroup.wgsl"),
            Variant::Workgroup => include_str!("../../shaders/matmul_i8_i32_workgroup.wgsl"),
            Variant::Depthwise => return Err(variant.unsupported(self.name())),
            Variant::Cooperative => include_str!("../../shaders/matmul_i8_i32_cooperative.wgsl"),
        };
        let tiled = Tiled {
            op: self.name(),
            dtype: DType::I8,
            source: source.into(),
            spec: Spec::new(),
            more: Vec::new(),
        };
        tiled.matrix(variant, [self.m, self.n, self.k], caps)
    }

    fn cpu(&self, args: &mut [Tensor]) -> Result<()> {
        args[3] = Tensor::from_i32(&[self.m, self.n], &accumulate(args)?)?;
        Ok(())
    }

    fn agreement(&self, _args: &[Tensor]) -> Result<Vec<Agreement>> {
        Ok(vec![Agreement::Equal; 4])
    }

    fn operations(&self) -> f64 {
        2.0 * (self.m * self.n * self.k) as f64
    }
}

/// Shapes that hurt: one, odd everything, tails of words and tiles; LeNet's last layer.
pub fn samples() -> Vec<Box<dyn Kernel>> {
    let shapes = [(1, 1, 1), (5, 7, 3), (13, 11, 65), (64, 10, 84)];
    shapes
        .iter()
        .map(|&(m, n, k)| Box::new(MatmulI8I32 { m, n, k }) as Box<dyn Kernel>)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        let mut args = [
            Tensor::from_i8(&[2, 2], &[1, 2, -128, 127]).expect("fits"),
            Tensor::from_i8(&[1, 2], &[-128, 3]).expect("fits"),
            Tensor::from_i32(&[1], &[i32::MAX]).expect("fits"),
            Tensor::zeros(&[2, 1], DType::I32),
        ];
        MatmulI8I32 { m: 2, n: 1, k: 2 }
            .cpu(&mut args)
            .expect("right types");
        let wrapped = i32::MAX.wrapping_add(128 * 128 + 381);
        assert_eq!(args[3].as_i32().expect("i32"), [i32::MAX - 122, wrapped]);
    }
}
