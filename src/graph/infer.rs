//! Shapes and types: what every operation takes and makes. The only place that rejects shapes.

use super::network::Value;
use super::op::Op;
use crate::base::{DType, Shape, num_elements, words_for};
use crate::error::{Error, Result};
use crate::kernels::{Access, Pool};

/// One node's operands under inspection.
struct Operands<'a> {
    node: &'a str,
    op: String,
    values: &'a [&'a Value],
}

impl Operands<'_> {
    fn at(&self) -> String {
        format!("{} ({})", self.node, self.op)
    }

    fn count(&self, want: usize) -> Result<()> {
        if self.values.len() == want {
            return Ok(());
        }
        Err(Error::invalid(
            self.at(),
            format!("{} operands, expected {want}", self.values.len()),
        ))
    }

    fn shape(&self, i: usize) -> &[usize] {
        &self.values[i].shape
    }

    fn dtype(&self, i: usize) -> DType {
        self.values[i].dtype
    }

    fn expect_dtype(&self, i: usize, name: &str, allowed: &[DType]) -> Result<()> {
        if allowed.contains(&self.dtype(i)) {
            return Ok(());
        }
        let names: Vec<String> = allowed.iter().map(ToString::to_string).collect();
        Err(Error::DType {
            op: self.at(),
            operand: format!("{name} = {}", self.values[i].name),
            expected: names.join(" or "),
            got: self.dtype(i).to_string(),
        })
    }

    fn expect_shape(&self, i: usize, name: &str, want: &[usize]) -> Result<()> {
        if self.shape(i) == want {
            return Ok(());
        }
        Err(self.wrong_shape(i, name, &format!("{want:?}")))
    }

    fn wrong_shape(&self, i: usize, name: &str, expected: &str) -> Error {
        Error::shape(
            self.at(),
            format!("{name} = {}", self.values[i].name),
            expected,
            self.shape(i),
        )
    }

    fn image(&self, i: usize, name: &str) -> Result<[usize; 4]> {
        let shape = self.shape(i);
        match <[usize; 4]>::try_from(shape) {
            Ok(image) if num_elements(shape) > 0 => Ok(image),
            _ => Err(self.wrong_shape(i, name, "[n, h, w, c], none of them 0")),
        }
    }

    fn matrix(&self, i: usize, name: &str) -> Result<[usize; 2]> {
        let shape = self.shape(i);
        match <[usize; 2]>::try_from(shape) {
            Ok(matrix) if num_elements(shape) > 0 => Ok(matrix),
            _ => Err(self.wrong_shape(i, name, "[rows, columns], neither of them 0")),
        }
    }

    /// Elements of the parameter axis: 1 when per tensor.
    fn channels(&self, i: usize, axis: Option<usize>) -> Result<usize> {
        match axis {
            None => Ok(1),
            Some(axis) => self.shape(i).get(axis).copied().ok_or_else(|| {
                Error::invalid(
                    self.at(),
                    format!("axis {axis} of a tensor with {} axes", self.shape(i).len()),
                )
            }),
        }
    }

    /// `x`, then scale-like parameters at the given positions, each with one entry per channel.
    fn per_channel(&self, axis: Option<usize>, params: &[(usize, &str, DType)]) -> Result<()> {
        let channels = self.channels(0, axis)?;
        for &(i, name, dtype) in params {
            self.expect_dtype(i, name, &[dtype])?;
            self.expect_shape(i, name, &[channels])?;
        }
        Ok(())
    }
}

const FLOATS: &[DType] = &[DType::F32, DType::F16];
const F32: &[DType] = &[DType::F32];
const I8: &[DType] = &[DType::I8];

/// Shape and type of each result of `op` on these operands.
///
/// # Errors
/// Naming node, operation and operand.
pub(super) fn infer(node: &str, op: &Op, values: &[&Value]) -> Result<Vec<(Shape, DType)>> {
    let x = Operands {
        node,
        op: op.name(),
        values,
    };
    let one = |shape: &[usize], dtype: DType| Ok(vec![(shape.to_vec(), dtype)]);
    match op {
        Op::Linear { relu: _ } => {
            x.count(3)?;
            let ([m, k], [n, wk]) = (x.matrix(0, "x")?, x.matrix(1, "w")?);
            x.expect_dtype(0, "x", FLOATS)?;
            x.expect_dtype(1, "w", &[x.dtype(0)])?;
            x.expect_dtype(2, "bias", F32)?;
            if wk != k {
                return Err(x.wrong_shape(1, "w", &format!("[n, {k}] (k of x)")));
            }
            x.expect_shape(2, "bias", &[n])?;
            one(&[m, n], x.dtype(0))
        }
        Op::Conv2d { conv, relu: _ } => {
            let residual = x.values.len() == 4;
            x.count(if residual { 4 } else { 3 })?;
            let (image, w) = (x.image(0, "x")?, x.image(1, "w")?);
            x.expect_dtype(0, "x", FLOATS)?;
            x.expect_dtype(1, "w", &[x.dtype(0)])?;
            x.expect_dtype(2, "bias", F32)?;
            x.expect_shape(2, "bias", &[w[0]])?;
            let y = conv.output_shape(image, w)?;
            if residual {
                x.expect_dtype(3, "residual", &[x.dtype(0)])?;
                x.expect_shape(3, "residual", &y)?;
            }
            one(&y, x.dtype(0))
        }
        Op::Relu => {
            x.count(1)?;
            x.expect_dtype(0, "x", FLOATS)?;
            one(x.shape(0), x.dtype(0))
        }
        Op::Add { relu: _ } => {
            x.count(2)?;
            x.expect_dtype(0, "a", FLOATS)?;
            x.expect_dtype(1, "b", &[x.dtype(0)])?;
            x.expect_shape(1, "b", x.shape(0))?;
            one(x.shape(0), x.dtype(0))
        }
        Op::MaxPool(pool) => {
            x.count(1)?;
            x.expect_dtype(0, "x", &[DType::F32, DType::F16, DType::I8])?;
            one(&pooled(pool, x.image(0, "x")?)?, x.dtype(0))
        }
        Op::GlobalAvgPool => {
            x.count(1)?;
            x.expect_dtype(0, "x", FLOATS)?;
            let [n, _, _, c] = x.image(0, "x")?;
            one(&[n, c], x.dtype(0))
        }
        Op::Flatten => {
            x.count(1)?;
            let shape = x.shape(0);
            if shape.len() < 2 || num_elements(shape) == 0 {
                return Err(x.wrong_shape(0, "x", "[n, …], none of them 0"));
            }
            one(&[shape[0], num_elements(&shape[1..])], x.dtype(0))
        }
        Op::BatchNorm { eps: _ } => {
            x.count(5)?;
            check_norm(&x, &["x", "gamma", "beta", "mean", "variance"])?;
            one(x.shape(0), DType::F32)
        }
        Op::BatchNormTrain {
            eps: _,
            momentum: _,
        } => {
            x.count(5)?;
            let c = check_norm(
                &x,
                &["x", "gamma", "beta", "running_mean", "running_variance"],
            )?;
            Ok(vec![
                (x.shape(0).to_vec(), DType::F32),
                (vec![c], DType::F32),
                (vec![c], DType::F32),
            ])
        }
        Op::Cast { to } => {
            x.count(1)?;
            x.expect_dtype(0, "x", FLOATS)?;
            if !FLOATS.contains(to) {
                return Err(Error::invalid(
                    x.at(),
                    format!("casts between f32 and f16, not to {to}"),
                ));
            }
            one(x.shape(0), *to)
        }
        Op::SoftmaxCrossEntropy => {
            x.count(2)?;
            check_loss(&x)?;
            one(&[1], DType::F32)
        }
        Op::ApplyMask => {
            x.count(2)?;
            x.expect_dtype(0, "x", F32)?;
            x.expect_dtype(1, "mask", &[DType::U32])?;
            x.expect_shape(1, "mask", &[num_elements(x.shape(0)).div_ceil(32)])?;
            one(x.shape(0), DType::F32)
        }
        Op::Quantize { range: _ } => {
            x.count(3)?;
            x.expect_dtype(0, "x", F32)?;
            x.per_channel(
                None,
                &[(1, "inv_scale", DType::F32), (2, "zero_point", DType::I32)],
            )?;
            one(x.shape(0), DType::I8)
        }
        Op::Dequantize { axis } => {
            x.count(3)?;
            x.expect_dtype(0, "q", &[DType::I8, DType::I32])?;
            x.per_channel(
                *axis,
                &[(1, "scale", DType::F32), (2, "zero_point", DType::I32)],
            )?;
            one(x.shape(0), DType::F32)
        }
        Op::LinearI8 { out: _ } => {
            x.count(4)?;
            let [m, n] = linear_i8(&x)?;
            x.expect_dtype(3, "multiplier", &[DType::U32])?;
            x.expect_shape(3, "multiplier", &[n, 2])?;
            one(&[m, n], DType::I8)
        }
        Op::LinearI32 => {
            x.count(3)?;
            one(&linear_i8(&x)?, DType::I32)
        }
        Op::Conv2dI8 {
            conv,
            x_zero_point: _,
            out: _,
            residual,
        } => {
            x.count(if residual.is_some() { 6 } else { 4 })?;
            let (image, w) = (x.image(0, "x")?, x.image(1, "w")?);
            x.expect_dtype(0, "x", I8)?;
            x.expect_dtype(1, "w", I8)?;
            x.expect_dtype(2, "bias", &[DType::I32])?;
            x.expect_shape(2, "bias", &[w[0]])?;
            x.expect_dtype(3, "multiplier", &[DType::U32])?;
            x.expect_shape(3, "multiplier", &[w[0], 2])?;
            let y = conv.output_shape(image, w)?;
            if residual.is_some() {
                x.expect_dtype(4, "residual", I8)?;
                x.expect_shape(4, "residual", &y)?;
                x.expect_dtype(5, "residual_multiplier", &[DType::I32])?;
                x.expect_shape(5, "residual_multiplier", &[w[0]])?;
            }
            one(&y, DType::I8)
        }
        Op::AddI8 {
            a: _,
            b: _,
            y: _,
            requant: _,
        } => {
            x.count(2)?;
            x.expect_dtype(0, "a", I8)?;
            x.expect_dtype(1, "b", I8)?;
            x.expect_shape(1, "b", x.shape(0))?;
            one(x.shape(0), DType::I8)
        }
        Op::GlobalAvgPoolI8 {
            x_zero_point: _,
            scale: _,
            out: _,
        } => {
            x.count(1)?;
            x.expect_dtype(0, "x", I8)?;
            let [n, _, _, c] = x.image(0, "x")?;
            one(&[n, c], DType::I8)
        }
        Op::FakeQuant {
            axis,
            range: _,
            grad_factor: _,
        } => {
            x.count(4)?;
            x.expect_dtype(0, "x", F32)?;
            let params = [
                (1, "scale", DType::F32),
                (2, "inv_scale", DType::F32),
                (3, "zero_point", DType::I32),
            ];
            x.per_channel(*axis, &params)?;
            one(x.shape(0), DType::F32)
        }
        Op::Reciprocal => {
            x.count(1)?;
            x.expect_dtype(0, "x", F32)?;
            one(x.shape(0), DType::F32)
        }
        Op::LinearGradInput => {
            x.count(2)?;
            let ([m, n], [wn, k]) = (x.matrix(0, "dy")?, x.matrix(1, "w")?);
            if wn != n {
                return Err(x.wrong_shape(1, "w", &format!("[{n}, k] (n of dy)")));
            }
            one(&[m, k], DType::F32)
        }
        Op::LinearGradWeight => {
            x.count(2)?;
            let ([m, n], [xm, k]) = (x.matrix(0, "dy")?, x.matrix(1, "x")?);
            if xm != m {
                return Err(x.wrong_shape(1, "x", &format!("[{m}, k] (m of dy)")));
            }
            one(&[n, k], DType::F32)
        }
        Op::BiasGrad => {
            x.count(1)?;
            x.expect_dtype(0, "dy", F32)?;
            one(
                &x.shape(0)[x.shape(0).len().saturating_sub(1)..],
                DType::F32,
            )
        }
        Op::Conv2dGradInput { conv, x: shape } => {
            x.count(2)?;
            let image = <[usize; 4]>::try_from(shape.as_slice())
                .map_err(|_| Error::shape(x.at(), "x", "[n, h, w, c]", shape))?;
            let y = conv.output_shape(image, x.image(1, "w")?)?;
            x.expect_shape(0, "dy", &y)?;
            one(shape, DType::F32)
        }
        Op::Conv2dGradWeight { conv, w: shape } => {
            x.count(2)?;
            let w = <[usize; 4]>::try_from(shape.as_slice())
                .map_err(|_| Error::shape(x.at(), "w", "[o, kh, kw, c]", shape))?;
            let y = conv.output_shape(x.image(1, "x")?, w)?;
            x.expect_shape(0, "dy", &y)?;
            one(shape, DType::F32)
        }
        Op::ReluGrad => {
            x.count(2)?;
            x.expect_shape(1, "dy", x.shape(0))?;
            one(x.shape(0), DType::F32)
        }
        Op::MaxPoolGrad { pool, relu: _ } => {
            x.count(2)?;
            let image = x.image(0, "x")?;
            x.expect_shape(1, "dy", &pooled(pool, image)?)?;
            one(&image, DType::F32)
        }
        Op::GlobalAvgPoolGrad { x: shape } => {
            x.count(1)?;
            let [n, c] = x.matrix(0, "dy")?;
            if shape.len() != 4 || shape[0] != n || shape[3] != c {
                return Err(x.wrong_shape(0, "dy", &format!("[n, c] of {shape:?}")));
            }
            one(shape, DType::F32)
        }
        Op::Reshape { to } => {
            x.count(1)?;
            if num_elements(to) != num_elements(x.shape(0)) {
                return Err(x.wrong_shape(0, "x", &format!("as many elements as {to:?}")));
            }
            one(to, x.dtype(0))
        }
        Op::BatchNormTrainGrad | Op::BatchNormGrad { eps: _ } => {
            x.count(5)?;
            x.expect_shape(1, "dy", x.shape(0))?;
            let c = x.shape(2).to_vec();
            Ok(vec![
                (x.shape(0).to_vec(), DType::F32),
                (c.clone(), DType::F32),
                (c, DType::F32),
            ])
        }
        Op::SoftmaxCrossEntropyGrad => {
            x.count(2)?;
            check_loss(&x)?;
            one(x.shape(0), DType::F32)
        }
        Op::FakeQuantGrad { axis, range: _ } => {
            x.count(4)?;
            x.per_channel(
                *axis,
                &[(1, "inv_scale", DType::F32), (2, "zero_point", DType::I32)],
            )?;
            x.expect_shape(3, "dy", x.shape(0))?;
            one(x.shape(0), DType::F32)
        }
        Op::FakeQuantScaleGrad {
            axis,
            range: _,
            grad_factor: _,
        } => {
            x.count(5)?;
            let params = [
                (1, "scale", DType::F32),
                (2, "inv_scale", DType::F32),
                (3, "zero_point", DType::I32),
            ];
            x.per_channel(*axis, &params)?;
            x.expect_shape(4, "dy", x.shape(0))?;
            one(&[x.channels(0, *axis)?], DType::F32)
        }
        Op::Kernel(kernel) => {
            let bindings = kernel.bindings();
            let (writes, reads): (Vec<_>, Vec<_>) = bindings
                .into_iter()
                .partition(|b| b.access == Access::Write);
            x.count(reads.len())?;
            for (i, binding) in reads.iter().enumerate() {
                x.expect_dtype(i, binding.name, &[binding.dtype])?;
                // A kernel over plain elements takes any shape with as many words.
                let words = |shape: &[usize]| words_for(shape, binding.dtype);
                if words(x.shape(i)) != words(&binding.shape) {
                    return Err(x.wrong_shape(i, binding.name, &format!("{:?}", binding.shape)));
                }
            }
            Ok(writes.into_iter().map(|b| (b.shape, b.dtype)).collect())
        }
    }
}

fn pooled(pool: &Pool, [n, h, w, c]: [usize; 4]) -> Result<[usize; 4]> {
    Ok([n, pool.out_size(h)?, pool.out_size(w)?, c])
}

fn check_norm(x: &Operands<'_>, names: &[&str]) -> Result<usize> {
    let channels = x.shape(0).last().copied().unwrap_or(0);
    for (i, name) in names.iter().enumerate() {
        x.expect_dtype(i, name, F32)?;
        if i > 0 {
            x.expect_shape(i, name, &[channels])?;
        }
    }
    Ok(channels)
}

fn check_loss(x: &Operands<'_>) -> Result<()> {
    let [rows, _] = x.matrix(0, "logits")?;
    x.expect_dtype(0, "logits", F32)?;
    x.expect_dtype(1, "labels", &[DType::U32])?;
    x.expect_shape(1, "labels", &[rows])
}

fn linear_i8(x: &Operands<'_>) -> Result<[usize; 2]> {
    let ([m, k], [n, wk]) = (x.matrix(0, "x")?, x.matrix(1, "w")?);
    x.expect_dtype(0, "x", I8)?;
    x.expect_dtype(1, "w", I8)?;
    x.expect_dtype(2, "bias", &[DType::I32])?;
    if wk != k {
        return Err(x.wrong_shape(1, "w", &format!("[n, {k}] (k of x)")));
    }
    x.expect_shape(2, "bias", &[n])?;
    Ok([m, n])
}
