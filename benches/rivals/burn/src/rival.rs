//! ResNet18 out of burn's own modules, with the weights of a wizen graph: batch norms are folded, as wizen folds
//! them.

use burn::module::Param;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::pool::{AdaptiveAvgPool2d, AdaptiveAvgPool2dConfig, MaxPool2d, MaxPool2dConfig};
use burn::nn::{Linear, LinearConfig, PaddingConfig2d};
use burn::tensor::activation::relu;
use burn::tensor::{DType, Device, Tensor as BurnTensor, TensorData};
use wizen::base::Tensor;
use wizen::graph::Graph;

use crate::Result;

/// `[a, h, w, b] → [a, b, h, w]`: images and filters as burn wants them.
pub fn channels_first(tensor: &Tensor) -> Result<TensorData> {
    let &[n, h, w, c] = tensor.shape() else {
        return Err("images and filters have four axes".into());
    };
    let from = tensor.to_f32();
    let mut to: Vec<f32> = Vec::with_capacity(from.len());
    for image in from.chunks(h * w * c) {
        for channel in 0..c {
            to.extend(image.iter().skip(channel).step_by(c));
        }
    }
    Ok(TensorData::new(to, [n, c, h, w]))
}

/// A parameter of this type.
pub fn param<const D: usize>(
    data: TensorData,
    device: &Device,
    dtype: DType,
) -> Param<BurnTensor<D>> {
    let data = data.convert_dtype(dtype);
    Param::from_tensor(BurnTensor::from_data(data, (device, dtype)))
}

/// A convolution with these weights `[out, k, k, in]`.
pub fn conv(
    [w, bias]: [&Tensor; 2],
    stride: usize,
    padding: usize,
    device: &Device,
    dtype: DType,
) -> Result<Conv2d> {
    let &[outputs, kernel, _, channels] = w.shape() else {
        return Err("filters have four axes".into());
    };
    let config = Conv2dConfig::new([channels, outputs], [kernel, kernel])
        .with_stride([stride, stride])
        .with_padding(PaddingConfig2d::Explicit(
            padding, padding, padding, padding,
        ));
    let mut conv = config.init(device);
    conv.weight = param(channels_first(w)?, device, dtype);
    conv.bias = Some(param(
        TensorData::new(bias.to_f32(), [outputs]),
        device,
        dtype,
    ));
    Ok(conv)
}

/// A linear layer with these weights `[out, in]`.
pub fn linear([w, bias]: [&Tensor; 2], device: &Device, dtype: DType) -> Result<Linear> {
    let &[n, k] = w.shape() else {
        return Err("linear weights have two axes".into());
    };
    let from = w.to_f32();
    let transposed = (0..n * k).map(|i| from[i % n * k + i / n]).collect();
    let mut linear = LinearConfig::new(k, n).init(device);
    linear.weight = param(TensorData::new::<f32, _>(transposed, [k, n]), device, dtype);
    linear.bias = Some(param(TensorData::new(bias.to_f32(), [n]), device, dtype));
    Ok(linear)
}

struct Block {
    conv1: Conv2d,
    conv2: Conv2d,
    downsample: Option<Conv2d>,
}

impl Block {
    fn forward(&self, x: BurnTensor<4>) -> BurnTensor<4> {
        let y = relu(self.conv1.forward(x.clone()));
        let y = self.conv2.forward(y);
        let x = match &self.downsample {
            Some(conv) => conv.forward(x),
            None => x,
        };
        relu(y + x)
    }
}

/// The network.
pub struct ResNet18 {
    conv1: Conv2d,
    pool: MaxPool2d,
    blocks: Vec<Block>,
    average: AdaptiveAvgPool2d,
    fc: Linear,
    dtype: DType,
}

impl ResNet18 {
    /// With the weights of an optimized wizen graph.
    pub fn new(graph: &Graph, device: &Device, dtype: DType) -> Result<Self> {
        let layer = |name: &str| -> Result<[&Tensor; 2]> {
            let node = graph.nodes().iter().find(|node| node.name == name);
            let node = node.ok_or_else(|| format!("the graph has no layer `{name}`"))?;
            match [1, 2].map(|i| graph.tensor(node.inputs[i])) {
                [Some(w), Some(bias)] => Ok([w.as_ref(), bias.as_ref()]),
                _ => Err(format!("the weights of `{name}` are computed").into()),
            }
        };
        let mut blocks = Vec::new();
        for stage in 1..=4 {
            for block in 0..2 {
                let name = |part: &str| format!("layer{stage}.{block}.{part}");
                let first_of_stage = stage > 1 && block == 0;
                let stride = if first_of_stage { 2 } else { 1 };
                let downsample = if first_of_stage {
                    let weights = layer(&name("downsample.0"))?;
                    Some(conv(weights, stride, 0, device, dtype)?)
                } else {
                    None
                };
                blocks.push(Block {
                    conv1: conv(layer(&name("conv1"))?, stride, 1, device, dtype)?,
                    conv2: conv(layer(&name("conv2"))?, 1, 1, device, dtype)?,
                    downsample,
                });
            }
        }
        let pool = MaxPool2dConfig::new([3, 3])
            .with_strides([2, 2])
            .with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1));
        Ok(Self {
            conv1: conv(layer("conv1")?, 2, 3, device, dtype)?,
            pool: pool.init(),
            blocks,
            average: AdaptiveAvgPool2dConfig::new([1, 1]).init(),
            fc: linear(layer("fc")?, device, dtype)?,
            dtype,
        })
    }

    /// From images on the host to logits on the host.
    pub fn run(&self, images: &TensorData, device: &Device) -> Result<Vec<f32>> {
        let x = BurnTensor::<4>::from_data(images.clone(), device).cast(self.dtype);
        let x = self.pool.forward(relu(self.conv1.forward(x)));
        let x = self.blocks.iter().fold(x, |x, block| block.forward(x));
        let x = self.average.forward(x).flatten::<2>(1, 3);
        let logits = self.fc.forward(x).cast(DType::F32);
        Ok(logits.into_data().try_into_vec::<f32>()?)
    }
}
