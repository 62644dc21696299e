//! `y[m, n] = relu?(Σ_k x[m, k] · w[n, k] + bias[n])`
//!
//! f32 throughout; the order of the sum is the device's.

use super::cooperative::with_cooperative;
use super::reference::{add_bias, magnitudes, products, sum_agreement};
use super::tile::{matrix_tile, shared_source, tiling};
use super::tiled::Tiled;
use super::variant::product_variants;
use super::{Agreement, Binding, Caps, Kernel, Launch, Spec, Variant, grid_1d, params_bytes};
use crate::base::{DType, Tensor};
use crate::error::Result;

/// A linear layer. Bindings: `x[m, k]`, `w[n, k]`, `bias[n]`, `y[m, n]`.
#[derive(Clone, Debug)]
pub struct MatmulF32 {
    /// Rows of `x` and `y`.
    pub m: usize,
    /// Rows of `w`, columns of `y`.
    pub n: usize,
    /// Columns of `x` and `w`.
    pub k: usize,
    /// Rectifies the result.
    pub relu: bool,
}

/// Sizes of a product in terms of its output.
#[repr(C)]
#[derive(Clone, Copy, bytemuck::NoUninit)]
struct Params {
    rows: u32,
    columns: u32,
    steps: u32,
}

/// The launch of any of the three f32 products: `rows` and `columns` of the output, `steps` summed.
pub(super) fn launch_product(
    text: &'static str,
    [rows, columns, steps]: [usize; 3],
    caps: &Caps,
) -> Launch {
    let tiling = tiling(caps);
    let (own, blocks) = matrix_tile(rows, columns, &tiling);
    let groups = rows.div_ceil(own * tiling.workgroup) * columns.div_ceil(8 * blocks);
    Launch {
        source: shared_source(text, caps),
        spec: Spec::new()
            .with("WORKGROUP", tiling.workgroup as u32)
            .with("ROWS", own as u32)
            .with("BLOCKS", blocks as u32),
        params: params_bytes(&Params {
            rows: rows as u32,
            columns: columns as u32,
            steps: steps as u32,
        }),
        workgroups: grid_1d(groups, 1, caps),
    }
}

impl Kernel for MatmulF32 {
    fn name(&self) -> &'static str {
        "matmul_f32"
    }

    fn bindings(&self) -> Vec<Binding> {
        vec![
            Binding::read("x", DType::F32, [self.m, self.k]),
            Binding::read("w", DType::F32, [self.n, self.k]),
            Binding::read("bias", DType::F32, [self.n]),
            Binding::write("y", DType::F32, [self.m, self.n]),
        ]
    }

    fn variants(&self, caps: &Caps) -> Vec<Variant> {
        let variants = product_variants(self.m, self.n, caps);
        with_cooperative(variants, DType::F32, (self.m, self.n), caps)
    }

    fn launch(&self, caps: &Caps) -> Result<Launch> {
        let text = include_str!("../../shaders/matmul_f32.wgsl");
        let mut launch = launch_product(text, [self.m, self.n, self.k], caps);
        launch.spec = launch.spec.with("RELU", self.relu);
        Ok(launch)
    }

    fn launch_as(&self, caps: &Caps, variant: Variant) -> Result<Launch> {
        let source = match variant {
            Variant::Plain => return self.launch(caps),
            Variant::Subgroup => include_str!("../../shaders/matmul_f32_subgroup.wgsl"),
            Variant::Workgroup => include_str!("../../shaders/matmul_f32_workgroup.wgsl"),
            Variant::Depthwise => return Err(variant.unsupported(self.name())),
            Variant::Cooperative => include_str!("../../shaders/matmul_f32_cooperative.wgsl"),
        };
        let tiled = Tiled {
            op: self.name(),
            dtype: DType::F32,
            source: source.into(),
            spec: Spec::new().with("RELU", self.relu),
            more: Vec::new(),
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
        let y = sum_agreement(self.k, &size, &values, DType::F32, false);
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

impl MatmulF32 {
    fn product(&self, x: &[f64], w: &[f64], bias: &[f64]) -> Vec<f64> {
        linear((self.m, self.n, self.k), x, w, bias, self.relu)
    }
}

/// `relu?(x · wᵀ + bias)` in f64.
pub(super) fn linear(
    (m, n, k): (usize, usize, usize),
    x: &[f64],
    w: &[f64],
    bias: &[f64],
    relu: bool,
) -> Vec<f64> {
    let mut y = products((m, n, k), |i, r| x[i * k + r], |j, r| w[j * k + r]);
    add_bias(&mut y, bias, relu);
    y
}

/// Sizes that hurt: one, primes, tails of both tiles, a long sum.
pub fn samples() -> Vec<Box<dyn Kernel>> {
    [
        (1, 1, 1, false),
        (13, 7, 11, true),
        (65, 17, 3, false),
        (5, 10, 500, true),
    ]
    .into_iter()
    .map(|(m, n, k, relu)| Box::new(MatmulF32 { m, n, k, relu }) as Box<dyn Kernel>)
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        let mut args = [
            Tensor::from_f32(&[1, 2], &[1.0, -2.0]).expect("fits"),
            Tensor::from_f32(&[2, 2], &[3.0, 4.0, 5.0, 1.0]).expect("fits"),
            Tensor::from_f32(&[2], &[0.5, -1.0]).expect("fits"),
            Tensor::zeros(&[1, 2], DType::F32),
        ];
        let kernel = MatmulF32 {
            m: 1,
            n: 2,
            k: 2,
            relu: true,
        };
        kernel.cpu(&mut args).expect("f32");
        assert_eq!(args[3].as_f32().expect("f32"), [0.0, 2.0]);
    }
}
