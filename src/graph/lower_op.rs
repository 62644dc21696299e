//! The kernel, or the few kernels, of every operation.

use std::sync::Arc;

use super::lower::Lowering;
use super::network::{Node, ValueId};
use super::op::Op;
use crate::base::{DType, num_elements};
use crate::error::{Error, Result};
use crate::kernels::{
    Access, Conv,
    add_f16::AddF16,
    add_f32::AddF32,
    add_i8::AddI8,
    apply_mask_f32::ApplyMaskF32,
    batch_norm_eval_grad_input_f32::BatchNormEvalGradInputF32,
    batch_norm_f32::BatchNormF32,
    batch_norm_grad_input_f32::BatchNormGradInputF32,
    batch_norm_grad_params_f32::BatchNormGradParamsF32,
    batch_norm_stats_f32::BatchNormStatsF32,
    batch_norm_train_f32::BatchNormTrainF32,
    cast_f16_f32::CastF16F32,
    cast_f32_f16::CastF32F16,
    chunks_for,
    column_sum_f32::ColumnSumF32,
    conv2d_f16::Conv2dF16,
    conv2d_f32::Conv2dF32,
    conv2d_grad_input_f32::Conv2dGradInputF32,
    conv2d_grad_weight_f32::{Conv2dGradWeightF32, parts_for},
    conv2d_i8::Conv2dI8,
    dequantize_i8::DequantizeI8,
    dequantize_i32::DequantizeI32,
    fake_quant_f32::FakeQuantF32,
    fake_quant_grad_f32::FakeQuantGradF32,
    fake_quant_scale_grad_f32::FakeQuantScaleGradF32,
    global_avg_pool_f16::GlobalAvgPoolF16,
    global_avg_pool_f32::GlobalAvgPoolF32,
    global_avg_pool_grad_f32::GlobalAvgPoolGradF32,
    global_avg_pool_i8::GlobalAvgPoolI8,
    inv_std_f32::InvStdF32,
    matmul_f16::MatmulF16,
    matmul_f32::MatmulF32,
    matmul_grad_input_f32::MatmulGradInputF32,
    matmul_grad_weight_f32::MatmulGradWeightF32,
    matmul_i8::MatmulI8,
    matmul_i8_i32::MatmulI8I32,
    max_pool_f16::MaxPoolF16,
    max_pool_f32::MaxPoolF32,
    max_pool_grad_f32::MaxPoolGradF32,
    max_pool_i8::MaxPoolI8,
    quantize_i8::QuantizeI8,
    reciprocal_f32::ReciprocalF32,
    relu_f16::ReluF16,
    relu_f32::ReluF32,
    relu_grad_f32::ReluGradF32,
    softmax_cross_entropy_f32::SoftmaxCrossEntropyF32,
    softmax_cross_entropy_grad_f32::SoftmaxCrossEntropyGradF32,
};

impl Lowering<'_> {
    /// Appends the steps of a node.
    ///
    /// # Errors
    /// For operands that no kernel takes.
    pub(super) fn node(&mut self, node: &Node) -> Result<()> {
        let input = |i: usize| node.inputs[i];
        let dtype = node
            .inputs
            .first()
            .map_or(DType::F32, |&id| self.graph.value(id).dtype);
        let shape = node
            .inputs
            .first()
            .map_or(Vec::new(), |&id| self.shape(id).to_vec());
        let len = num_elements(&shape);
        let native = self.native_f16;
        match &node.op {
            Op::Linear { relu } => {
                let (m, k, n, relu) = (shape[0], shape[1], self.shape(input(1))[0], *relu);
                match dtype {
                    DType::F16 => self.step(
                        node,
                        MatmulF16 {
                            m,
                            n,
                            k,
                            relu,
                            native,
                        },
                    ),
                    _ => self.step(node, MatmulF32 { m, n, k, relu }),
                }
            }
            Op::Conv2d { conv, relu } => {
                let (x, w, conv, relu) =
                    (self.image(input(0))?, self.image(input(1))?, *conv, *relu);
                let mut ids = vec![input(0), input(1), input(2), node.outputs[0]];
                ids.extend(node.inputs.get(3));
                let residual = ids.len() == 5;
                match dtype {
                    DType::F16 => self.step_on(
                        node,
                        Conv2dF16 {
                            x,
                            w,
                            conv,
                            relu,
                            residual,
                            native,
                        },
                        &ids,
                    ),
                    _ => self.step_on(
                        node,
                        Conv2dF32 {
                            x,
                            w,
                            conv,
                            relu,
                            residual,
                        },
                        &ids,
                    ),
                }
            }
            Op::Relu => match dtype {
                DType::F16 => self.step(node, ReluF16 { shape }),
                _ => self.step(node, ReluF32 { shape }),
            },
            Op::Add { relu } => match dtype {
                DType::F16 => self.step(node, AddF16 { shape, relu: *relu }),
                _ => self.step(node, AddF32 { shape, relu: *relu }),
            },
            Op::MaxPool(pool) => {
                let (x, pool) = (self.image(input(0))?, *pool);
                match dtype {
                    DType::I8 => self.step(node, MaxPoolI8 { x, pool }),
                    DType::F16 => self.step(node, MaxPoolF16 { x, pool }),
                    _ => self.step(node, MaxPoolF32 { x, pool }),
                }
            }
            Op::GlobalAvgPool => {
                let x = self.image(input(0))?;
                match dtype {
                    DType::F16 => self.step(node, GlobalAvgPoolF16 { x }),
                    _ => self.step(node, GlobalAvgPoolF32 { x }),
                }
            }
            Op::Flatten | Op::Reshape { to: _ } => self.reshape(node),
            Op::BatchNorm { eps } => {
                let (rows, channels) = rows_of(&shape);
                self.step(
                    node,
                    BatchNormF32 {
                        rows,
                        channels,
                        eps: *eps,
                    },
                )
            }
            Op::BatchNormTrain { eps, momentum } => {
                let (rows, channels) = rows_of(&shape);
                let [x, gamma, beta, running_mean, running_variance] = operands(node)?;
                let [y, mean, inv_std] = results(node)?;
                let stats = BatchNormStatsF32 {
                    rows,
                    channels,
                    eps: *eps,
                    momentum: *momentum,
                };
                self.step_on(
                    node,
                    stats,
                    &[x, running_mean, running_variance, mean, inv_std],
                )?;
                let apply = BatchNormTrainF32 { rows, channels };
                self.step_on(node, apply, &[x, gamma, beta, mean, inv_std, y])
            }
            Op::Cast { to } => match (dtype, to) {
                (DType::F32, DType::F16) => self.step(node, CastF32F16 { shape }),
                (DType::F16, DType::F32) => self.step(node, CastF16F32 { shape }),
                _ => self.reshape(node),
            },
            Op::SoftmaxCrossEntropy => self.step(
                node,
                SoftmaxCrossEntropyF32 {
                    rows: shape[0],
                    classes: shape[1],
                },
            ),
            Op::ApplyMask => self.step(node, ApplyMaskF32 { shape }),
            Op::Quantize { range } => self.step(
                node,
                QuantizeI8 {
                    shape,
                    axis: None,
                    range: *range,
                },
            ),
            Op::Dequantize { axis } => match dtype {
                DType::I32 => self.step(node, DequantizeI32 { shape, axis: *axis }),
                _ => self.step(node, DequantizeI8 { shape, axis: *axis }),
            },
            Op::LinearI8 { out } => {
                let n = self.shape(input(1))[0];
                self.step(
                    node,
                    MatmulI8 {
                        m: shape[0],
                        n,
                        k: shape[1],
                        out: *out,
                    },
                )
            }
            Op::LinearI32 => {
                let n = self.shape(input(1))[0];
                self.step(
                    node,
                    MatmulI8I32 {
                        m: shape[0],
                        n,
                        k: shape[1],
                    },
                )
            }
            Op::Conv2dI8 {
                conv,
                x_zero_point,
                out,
                residual,
            } => {
                let (x, w) = (self.image(input(0))?, self.image(input(1))?);
                let kernel = Conv2dI8 {
                    x,
                    w,
                    conv: *conv,
                    x_zero_point: *x_zero_point,
                    out: *out,
                    residual: *residual,
                };
                let mut ids = node.inputs[..4].to_vec();
                ids.push(node.outputs[0]);
                ids.extend(&node.inputs[4..]);
                self.step_on(node, kernel, &ids)
            }
            Op::AddI8 { a, b, y, requant } => self.step(
                node,
                AddI8 {
                    shape,
                    a: *a,
                    b: *b,
                    y: *y,
                    requant: *requant,
                },
            ),
            Op::GlobalAvgPoolI8 {
                x_zero_point,
                scale,
                out,
            } => {
                let x = self.image(input(0))?;
                let words = out.multipliers(&[scale / (x[1] * x[2]) as f64]);
                let multiplier = [words.words()[0], words.words()[1]];
                let x_zero_point = *x_zero_point;
                self.step(
                    node,
                    GlobalAvgPoolI8 {
                        x,
                        x_zero_point,
                        multiplier,
                        out: *out,
                    },
                )
            }
            Op::FakeQuant {
                axis,
                range,
                grad_factor: _,
            } => self.step(
                node,
                FakeQuantF32 {
                    shape,
                    axis: *axis,
                    range: *range,
                },
            ),
            Op::Reciprocal => self.step(node, ReciprocalF32 { len }),
            Op::LinearGradInput => {
                let (m, n, k) = (shape[0], shape[1], self.shape(input(1))[1]);
                self.step(node, MatmulGradInputF32 { m, n, k })
            }
            Op::LinearGradWeight => {
                let (m, n, k) = (shape[0], shape[1], self.shape(input(1))[1]);
                self.step(node, MatmulGradWeightF32 { m, n, k })
            }
            Op::BiasGrad => {
                let (rows, cols) = rows_of(&shape);
                self.step(node, ColumnSumF32 { rows, cols })
            }
            Op::Conv2dGradInput { conv, x: _ } => {
                let (x, w) = (self.image(node.outputs[0])?, self.image(input(1))?);
                self.step(node, Conv2dGradInputF32 { x, w, conv: *conv })
            }
            Op::Conv2dGradWeight { conv, w: _ } => {
                let (x, w) = (self.image(input(1))?, self.image(node.outputs[0])?);
                self.conv_grad_weight(node, x, w, *conv)
            }
            Op::ReluGrad => self.step(node, ReluGradF32 { shape }),
            Op::MaxPoolGrad { pool, relu } => {
                let x = self.image(input(0))?;
                self.step(
                    node,
                    MaxPoolGradF32 {
                        x,
                        pool: *pool,
                        relu: *relu,
                    },
                )
            }
            Op::GlobalAvgPoolGrad { x: _ } => {
                let x = self.image(node.outputs[0])?;
                self.step(node, GlobalAvgPoolGradF32 { x })
            }
            Op::BatchNormTrainGrad => {
                let (rows, channels) = rows_of(&shape);
                let [x, dy, gamma, mean, inv_std] = operands(node)?;
                let [dx, dgamma, dbeta] = results(node)?;
                let params = BatchNormGradParamsF32 { rows, channels };
                self.step_on(node, params, &[x, dy, mean, inv_std, dgamma, dbeta])?;
                let inputs = BatchNormGradInputF32 { rows, channels };
                self.step_on(
                    node,
                    inputs,
                    &[x, dy, gamma, mean, inv_std, dgamma, dbeta, dx],
                )
            }
            Op::BatchNormGrad { eps } => {
                let (rows, channels) = rows_of(&shape);
                let [x, dy, gamma, mean, variance] = operands(node)?;
                let [dx, dgamma, dbeta] = results(node)?;
                let inv_std = self.temp(format!("{}:inv_std", node.name), &[channels]);
                let variance_value = self.value(variance)?;
                let kernel = Arc::new(InvStdF32 {
                    len: channels,
                    eps: *eps,
                });
                self.builder
                    .step(&node.name, kernel, vec![variance_value, inv_std]);
                let mut args = Vec::new();
                for id in [x, dy, mean, dgamma, dbeta] {
                    args.push(self.value(id)?);
                }
                args.insert(3, inv_std);
                self.builder.step(
                    &node.name,
                    Arc::new(BatchNormGradParamsF32 { rows, channels }),
                    args,
                );
                let inputs = BatchNormEvalGradInputF32 {
                    rows,
                    channels,
                    eps: *eps,
                };
                self.step_on(node, inputs, &[dy, gamma, variance, dx])
            }
            Op::SoftmaxCrossEntropyGrad => self.step(
                node,
                SoftmaxCrossEntropyGradF32 {
                    rows: shape[0],
                    classes: shape[1],
                },
            ),
            Op::FakeQuantGrad { axis, range } => self.step(
                node,
                FakeQuantGradF32 {
                    shape,
                    axis: *axis,
                    range: *range,
                },
            ),
            Op::FakeQuantScaleGrad {
                axis,
                range,
                grad_factor,
            } => {
                let channels = self.shape(node.outputs[0])[0];
                let chunks = chunks_for(len / channels);
                let (axis, range, grad_factor) = (*axis, *range, *grad_factor);
                let kernel = FakeQuantScaleGradF32 {
                    shape,
                    axis,
                    range,
                    grad_factor,
                    chunks,
                };
                let partial = self.temp(format!("{}:partial", node.name), &[chunks, channels]);
                let mut args: Vec<usize> = node
                    .inputs
                    .iter()
                    .map(|&id| self.value(id))
                    .collect::<Result<_>>()?;
                args.push(partial);
                self.builder.step(&node.name, Arc::new(kernel), args);
                let sum = Arc::new(ColumnSumF32 {
                    rows: chunks,
                    cols: channels,
                });
                let out = self.value(node.outputs[0])?;
                self.builder.step(&node.name, sum, vec![partial, out]);
                Ok(())
            }
            Op::Kernel(kernel) => {
                let (mut inputs, mut outputs) = (node.inputs.iter(), node.outputs.iter());
                let mut args = Vec::new();
                for binding in kernel.bindings() {
                    let next = if binding.access == Access::Write {
                        outputs.next()
                    } else {
                        inputs.next()
                    };
                    let id = next.ok_or_else(|| Error::invalid(&node.name, "too few operands"))?;
                    args.push(self.value(*id)?);
                }
                self.builder.step(&node.name, Arc::clone(kernel), args);
                Ok(())
            }
        }
    }

    /// The parts of the sum, if there are several, and then their sum.
    fn conv_grad_weight(
        &mut self,
        node: &Node,
        x: [usize; 4],
        w: [usize; 4],
        conv: Conv,
    ) -> Result<()> {
        let parts = parts_for(x, w, self.caps);
        let kernel = Conv2dGradWeightF32 { x, w, conv, parts };
        if parts == 1 {
            return self.step(node, kernel);
        }
        let [dy, x] = operands(node)?;
        let args = [self.value(dy)?, self.value(x)?];
        let [o, kernel_h, kernel_w, channels] = w;
        let shape = [parts, o, kernel_h, kernel_w, channels];
        let partial = self.temp(format!("{}:parts", node.name), &shape);
        self.builder.step(
            &node.name,
            Arc::new(kernel),
            vec![args[0], args[1], partial],
        );
        let sum = ColumnSumF32 {
            rows: parts,
            cols: num_elements(&w),
        };
        let out = self.value(node.outputs[0])?;
        self.builder
            .step(&node.name, Arc::new(sum), vec![partial, out]);
        Ok(())
    }
}

fn rows_of(shape: &[usize]) -> (usize, usize) {
    let channels = shape.last().copied().unwrap_or(1);
    (num_elements(shape) / channels.max(1), channels)
}

fn operands<const N: usize>(node: &Node) -> Result<[ValueId; N]> {
    <[ValueId; N]>::try_from(node.inputs.as_slice())
        .map_err(|_| Error::invalid(&node.name, format!("it takes {N} operands")))
}

fn results<const N: usize>(node: &Node) -> Result<[ValueId; N]> {
    <[ValueId; N]>::try_from(node.outputs.as_slice())
        .map_err(|_| Error::invalid(&node.name, format!("it makes {N} results")))
}
