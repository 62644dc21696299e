//! `y[m, n] = act(Σ_k x[m, k] · w[n, k] + bias[n])`
//!
//! `x`, `w` and `y` are f32 or f16, `bias` and every sum f32; the order of the sum is the device's.

use super::conv::countable;
use super::cooperative::with_cooperative;
use super::parts::Parts;
use super::reference::{add_bias, float_agreement, magnitudes, products};
use super::tile::{matrix_tile, tiling, with_eight};
use super::{
    Agreement, Binding, Caps, Float, Kernel, Launch, Spec, Variant, grid_1d, params_bytes,
};
use crate::base::{DType, Tensor};
use crate::error::Result;
use crate::kernels::map::Unary;
use crate::kernels::variant::product_variants;

/// A linear layer. Bindings: `x[m, k]`, `w[n, k]`, `bias[n]`, `y[m, n]`.
#[derive(Clone, Debug)]
pub struct Matmul {
    /// Rows of `x` and `y`.
    pub m: usize,
    /// Rows of `w`, columns of `y`.
    pub n: usize,
    /// Columns of `x` and `w`.
    pub k: usize,
    /// What is multiplied.
    pub float: Float,
    /// What the result goes through.
    pub act: Option<Unary>,
}

/// The launch of `program`: `m` by `n` outputs, each the sum of products of `steps` words.
pub(super) fn gemm(
    program: &'static str,
    (spec, params): (Spec, impl FnOnce(&[u32; 3]) -> Vec<u8>),
    [m, n, steps]: [usize; 3],
    caps: &Caps,
) -> Launch {
    let mut tiling = tiling(caps);
    // Neighbours own neighbouring rows: no more of them than there are, but eight, which share what they load.
    tiling.workgroup = tiling.workgroup.min(m.next_power_of_two().max(8));
    let (own, blocks) = matrix_tile(m, n, &tiling);
    let groups = m.div_ceil(own * tiling.workgroup) * n.div_ceil(8 * blocks);
    Launch {
        source: program.into(),
        spec: with_eight(spec, caps)
            .with("WORKGROUP", tiling.workgroup as u32)
            .with("ROWS", own as u32)
            .with("BLOCKS", blocks as u32),
        params: params(&[m, n, steps].map(|size| size as u32)),
        workgroups: grid_1d(groups, 1, caps),
    }
}

/// The plain launch.
pub(super) fn launch(parts: &Parts, [m, n, k]: [usize; 3], caps: &Caps) -> Launch {
    let program = include_str!("../../../shaders/product/matmul.wgsl");
    let own = (parts.quads(), |sizes: &[u32; 3]| parts.params(sizes));
    gemm(program, own, [m, n, parts.words(k)], caps)
}

/// Refuses sizes that a shader could not count.
pub(super) fn check_sizes(op: &str, [m, n, k]: [usize; 3]) -> Result<()> {
    countable(op, "x", &[m, k])?;
    countable(op, "w", &[n, k])?;
    countable(op, "y", &[m, n])
}

impl Kernel for Matmul {
    fn name(&self) -> &'static str {
        match self.float {
            Float::F32 => "matmul_f32",
            Float::F16 | Float::NativeF16 => "matmul_f16",
        }
    }

    fn bindings(&self) -> Vec<Binding> {
        let dtype = self.float.dtype();
        vec![
            Binding::read("x", dtype, [self.m, self.k]),
            Binding::read("w", dtype, [self.n, self.k]),
            Binding::read("bias", DType::F32, [self.n]),
            Binding::write("y", dtype, [self.m, self.n]),
        ]
    }

    fn variants(&self, caps: &Caps) -> Vec<Variant> {
        let variants = product_variants(self.m, self.n, caps);
        with_cooperative(variants, self.float.dtype(), (self.m, self.n), caps)
    }

    fn launch(&self, caps: &Caps) -> Result<Launch> {
        self.launch_as(caps, Variant::Plain)
    }

    fn launch_as(&self, caps: &Caps, variant: Variant) -> Result<Launch> {
        check_sizes(self.name(), [self.m, self.n, self.k])?;
        let parts = Parts::float(self.name(), self.float, (self.act, false), self.n, caps)?;
        parts.matrix(variant, [self.m, self.n, self.k], caps)
    }

    fn cpu(&self, args: &mut [Tensor]) -> Result<()> {
        let sums = self.sums(args, |tensor| tensor.to_f64());
        let y: Vec<f64> = match self.act {
            None => sums,
            Some(act) => sums.into_iter().map(|sum| act.f64(sum)).collect(),
        };
        args[3].store_f64(&y)
    }

    fn agreement(&self, args: &[Tensor]) -> Result<Vec<Agreement>> {
        let values = self.sums(args, Tensor::to_f64);
        let size = self.sums(args, |tensor| magnitudes(&tensor.to_f64()));
        let mut all = vec![Agreement::Equal; 4];
        all[3] = float_agreement((self.float, self.act), self.k, &size, &values);
        Ok(all)
    }

    fn operations(&self) -> f64 {
        2.0 * (self.m * self.n * self.k) as f64
    }
}

impl Matmul {
    /// `x · wᵀ + bias` in f64 of the arguments as `of` sees them.
    fn sums(&self, args: &[Tensor], of: impl Fn(&Tensor) -> Vec<f64>) -> Vec<f64> {
        let k = self.k;
        let [x, w, bias] = [&args[0], &args[1], &args[2]].map(of);
        let mut y = products(
            (self.m, self.n, k),
            |i, r| x[i * k + r],
            |j, r| w[j * k + r],
        );
        add_bias(&mut y, &bias);
        y
    }
}

/// The parameters of a product without a bias.
pub(super) fn sizes_alone(sizes: &[u32; 3]) -> Vec<u8> {
    params_bytes(sizes)
}

/// Sizes that hurt: one, primes, tails of both tiles, odd rows of words, a long sum. Packed f16 only: native f16 is not
/// everywhere.
pub fn samples() -> Vec<Box<dyn Kernel>> {
    let sizes = [
        ([1, 1, 1], None),
        ([13, 7, 11], Some(Unary::Relu)),
        ([65, 18, 3], Some(Unary::HardSwish)),
        ([5, 10, 500], None),
    ];
    let floats = [Float::F32, Float::F16].into_iter();
    let kernels = floats.flat_map(|float| {
        sizes.map(|([m, n, k], act)| {
            Box::new(Matmul {
                m,
                n,
                k,
                float,
                act,
            }) as Box<dyn Kernel>
        })
    });
    kernels.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand_and_without_native_f16() {
        let mut kernel = Matmul {
            m: 1,
            n: 2,
            k: 2,
            float: Float::F32,
            act: Some(Unary::Relu),
        };
        let mut args = [
            Tensor::from_f32(&[1, 2], &[1.0, -2.0]).expect("fits"),
            Tensor::from_f32(&[2, 2], &[3.0, 4.0, 5.0, 1.0]).expect("fits"),
            Tensor::from_f32(&[2], &[0.5, -1.0]).expect("fits"),
            Tensor::zeros(&[1, 2], DType::F32),
        ];
        kernel.cpu(&mut args).expect("f32");
        assert_eq!(args[3].as_f32().expect("f32"), [0.0, 2.0]);
        kernel.float = Float::NativeF16;
        let error = kernel.launch(&Caps::portable()).expect_err("no f16");
        assert!(error.to_string().contains("no native f16"), "{error}");
        kernel.k = 1 << 32;
        assert!(kernel.launch(&Caps::portable()).is_err());
    }
}
