//! Residual networks with the names of torchvision and timm: ResNet18 and 34, the deeper ones with
//! bottlenecks, and those for CIFAR's small images.
//!
//! He et al., "Deep Residual Learning for Image Recognition" (2015); the stride of a bottleneck lies in
//! its 3×3 convolution, as in torchvision.

use super::Weights;
use crate::base::{DType, Shape};
use crate::error::{Error, Result};
use crate::graph::ops::{BatchNorm, Binary, Conv2d, GlobalAvgPool, Linear, Map, MaxPool};
use crate::graph::{Graph, ValueId};
use crate::kernels::{Conv, Pool};

/// PyTorch's default.
const EPS: f32 = 1e-5;
/// Output channels of a bottleneck over its width.
const EXPANSION: usize = 4;

/// Sizes of a residual network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResNet {
    /// Side of the (square) images.
    pub image: usize,
    /// Side of the first filter: 7 with stride 2 and a max-pool behind it, 3 without either (CIFAR).
    pub stem: usize,
    /// Channels behind the first convolution.
    pub stem_width: usize,
    /// Blocks and width of every stage; all but the first halve the image.
    pub stages: Vec<(usize, usize)>,
    /// Blocks are 1×1, 3×3, 1×1 with four times the width behind them; else two 3×3.
    pub bottleneck: bool,
    /// Width of the result.
    pub classes: usize,
}

/// One convolution of a block and the batch norm behind it.
struct Unit {
    conv: String,
    norm: String,
    kernel: usize,
    stride: usize,
    from: usize,
    to: usize,
}

impl Unit {
    fn weight_shape(&self) -> Shape {
        vec![self.to, self.kernel, self.kernel, self.from]
    }
}

/// One block: the units on its long way, and the one on its short way if shapes differ.
struct Block {
    name: String,
    units: Vec<Unit>,
    downsample: Option<Unit>,
}

impl ResNet {
    /// The network of this name for ImageNet (224 × 224, 1000 classes): resnet18, 34, 50, 101, 152.
    pub fn named(arch: &str) -> Option<Self> {
        let (bottleneck, blocks) = match arch {
            "resnet18" => (false, [2, 2, 2, 2]),
            "resnet34" => (false, [3, 4, 6, 3]),
            "resnet50" => (true, [3, 4, 6, 3]),
            "resnet101" => (true, [3, 4, 23, 3]),
            "resnet152" => (true, [3, 8, 36, 3]),
            _ => return None,
        };
        Some(Self {
            image: 224,
            stem: 7,
            stem_width: 64,
            stages: blocks.into_iter().zip([64, 128, 256, 512]).collect(),
            bottleneck,
            classes: 1000,
        })
    }

    /// The network that has tensors of these names and sizes (`shape(name)`: output channels first, the
    /// last two axes of a filter its sides or, in wizen's layout, the two in the middle).
    pub fn recognise(shape: impl Fn(&str) -> Option<Shape>) -> Option<Self> {
        let stem = shape("conv1.weight").filter(|s| s.len() == 4)?;
        let first = |name: String| shape(&name).and_then(|s| s.first().copied());
        let mut stages = Vec::new();
        while let Some(width) = first(format!("layer{}.0.conv1.weight", stages.len() + 1)) {
            let stage = stages.len() + 1;
            let mut blocks = 1;
            while first(format!("layer{stage}.{blocks}.conv1.weight")).is_some() {
                blocks += 1;
            }
            stages.push((blocks, width));
        }
        if stages.is_empty() || first("bn1.weight".into()).is_none() {
            return None;
        }
        // OIHW or OHWI: the third axis is a side of the filter in both.
        let stem_side = stem[2];
        Some(Self {
            image: if stem_side == 3 { 32 } else { 224 },
            stem: if stem_side == 3 { 3 } else { 7 },
            stem_width: stem[0],
            bottleneck: first("layer1.0.conv3.weight".into()).is_some(),
            classes: first("fc.weight".into()).unwrap_or(1000),
            stages,
        })
    }

    /// `resnet18`, `resnet34`, …: twice the blocks (three times with bottlenecks) and two more layers.
    pub fn name(&self) -> String {
        let blocks: usize = self.stages.iter().map(|(blocks, _)| blocks).sum();
        let layers = blocks * if self.bottleneck { 3 } else { 2 } + 2;
        format!("resnet{layers}")
    }

    /// True if the other has as many blocks in every stage, and of the same kind.
    pub(super) fn has_blocks_of(&self, other: &Self) -> bool {
        let blocks = |net: &Self| net.stages.iter().map(|s| s.0).collect::<Vec<_>>();
        blocks(self) == blocks(other) && self.bottleneck == other.bottleneck
    }

    fn features(&self) -> usize {
        self.stages
            .last()
            .map_or(self.stem_width, |&(_, width)| self.block_out(width))
    }

    fn block_out(&self, width: usize) -> usize {
        width * if self.bottleneck { EXPANSION } else { 1 }
    }

    fn stem_unit(&self) -> Unit {
        Unit {
            conv: "conv1".into(),
            norm: "bn1".into(),
            kernel: self.stem,
            stride: if self.stem == 3 { 1 } else { 2 },
            from: 3,
            to: self.stem_width,
        }
    }

    fn blocks(&self) -> Vec<Block> {
        let mut blocks = Vec::new();
        let mut from = self.stem_width;
        for (stage, &(count, width)) in self.stages.iter().enumerate() {
            for block in 0..count {
                let stride = if stage > 0 && block == 0 { 2 } else { 1 };
                let to = self.block_out(width);
                let name = format!("layer{}.{block}", stage + 1);
                // Kernel, stride, channels in and out.
                let sizes = if self.bottleneck {
                    vec![
                        (1, 1, from, width),
                        (3, stride, width, width),
                        (1, 1, width, to),
                    ]
                } else {
                    vec![(3, stride, from, width), (3, 1, width, width)]
                };
                let units = sizes.into_iter().enumerate();
                let units = units.map(|(i, (kernel, stride, from, to))| Unit {
                    conv: format!("{name}.conv{}", i + 1),
                    norm: format!("{name}.bn{}", i + 1),
                    kernel,
                    stride,
                    from,
                    to,
                });
                let downsample = (stride != 1 || from != to).then(|| Unit {
                    conv: format!("{name}.downsample.0"),
                    norm: format!("{name}.downsample.1"),
                    kernel: 1,
                    stride,
                    from,
                    to,
                });
                blocks.push(Block {
                    units: units.collect(),
                    downsample,
                    name,
                });
                from = to;
            }
        }
        blocks
    }

    /// Names and shapes of the parameters in a file: OHWI filters without bias, batch norms, `fc`.
    pub fn params(&self) -> Vec<(String, Shape)> {
        let mut out = Vec::new();
        let mut unit = |unit: &Unit| {
            out.push((format!("{}.weight", unit.conv), unit.weight_shape()));
            for part in ["weight", "bias", "running_mean", "running_var"] {
                out.push((format!("{}.{part}", unit.norm), vec![unit.to]));
            }
        };
        unit(&self.stem_unit());
        for block in self.blocks() {
            block.units.iter().for_each(&mut unit);
            block.downsample.iter().for_each(&mut unit);
        }
        out.push(("fc.weight".into(), vec![self.classes, self.features()]));
        out.push(("fc.bias".into(), vec![self.classes]));
        out
    }

    /// `images [n, image, image, 3] → logits [n, classes]`.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a missing weight, [`Error::Shape`] for one of another shape, for images that
    /// vanish on their way, or batch 0.
    pub fn graph(&self, batch: usize, weights: &Weights) -> Result<Graph> {
        let mut builder = Builder {
            graph: Graph::new(),
            weights,
            arch: self.name(),
        };
        let shape = [batch, self.image, self.image, 3];
        let x = builder.graph.input("images", DType::F32, &shape);
        let x = builder.unit(x, &self.stem_unit())?;
        let mut x = builder.graph.push("relu", Map::RELU, &[x])?;
        if self.stem != 3 {
            let pool = Pool {
                kernel: 3,
                stride: 2,
                padding: 1,
            };
            x = builder.graph.push("maxpool", MaxPool { pool }, &[x])?;
        }
        for block in self.blocks() {
            x = builder.block(x, &block)?;
        }
        let x = builder.graph.push("avgpool", GlobalAvgPool, &[x])?;
        let w = builder.weight("fc.weight", &[self.classes, self.features()])?;
        let bias = builder.weight("fc.bias", &[self.classes])?;
        let logits = builder.graph.push("fc", Linear::default(), &[x, w, bias])?;
        builder.graph.output(logits);
        Ok(builder.graph)
    }
}

struct Builder<'a> {
    graph: Graph,
    weights: &'a Weights,
    arch: String,
}

impl Builder<'_> {
    fn weight(&mut self, name: &str, shape: &[usize]) -> Result<ValueId> {
        let tensor = self
            .weights
            .get(name)
            .ok_or_else(|| Error::invalid(&self.arch, format!("the weight `{name}` is missing")))?;
        if tensor.shape() != shape {
            let expected = format!("{shape:?}");
            return Err(Error::shape(&self.arch, name, expected, tensor.shape()));
        }
        Ok(self.graph.param(name, tensor.clone()))
    }

    /// A convolution without bias, and its batch norm.
    fn unit(&mut self, x: ValueId, unit: &Unit) -> Result<ValueId> {
        let conv = Conv {
            stride: unit.stride,
            padding: unit.kernel / 2,
            dilation: 1,
            groups: 1,
        };
        let w = self.weight(&format!("{}.weight", unit.conv), &unit.weight_shape())?;
        let op = Conv2d::new(conv).without_bias();
        let x = self.graph.push(&unit.conv, op, &[x, w])?;
        let mut operands = vec![x];
        for part in ["weight", "bias", "running_mean", "running_var"] {
            operands.push(self.weight(&format!("{}.{part}", unit.norm), &[unit.to])?);
        }
        self.graph
            .push(&unit.norm, BatchNorm { eps: EPS }, &operands)
    }

    /// `relu(x' + long way of x)`; `x'` is `x`, or its downsampling.
    fn block(&mut self, x: ValueId, block: &Block) -> Result<ValueId> {
        let name = &block.name;
        let short = match &block.downsample {
            Some(unit) => self.unit(x, unit)?,
            None => x,
        };
        let mut long = x;
        for (i, unit) in block.units.iter().enumerate() {
            long = self.unit(long, unit)?;
            if i + 1 < block.units.len() {
                let relu = format!("{name}.relu{}", i + 1);
                long = self.graph.push(&relu, Map::RELU, &[long])?;
            }
        }
        let sum = self
            .graph
            .push(&format!("{name}.add"), Binary::ADD, &[long, short])?;
        self.graph.push(&format!("{name}.relu"), Map::RELU, &[sum])
    }
}

#[cfg(test)]
mod tests {
    use super::super::random_weights;
    use super::*;

    #[test]
    fn sizes_of_the_known_networks() {
        // Parameters that torchvision states, plus the running statistics of the batch norms.
        for (arch, published) in [
            ("resnet18", 11_689_512),
            ("resnet34", 21_797_672),
            ("resnet50", 25_557_032),
        ] {
            let net = ResNet::named(arch).expect("known");
            assert_eq!(net.name(), arch);
            let trained = net.params().into_iter();
            let trained = trained.filter(|(name, _)| !name.contains("running"));
            let count: usize = trained.map(|(_, s)| s.iter().product::<usize>()).sum();
            assert_eq!(count, published, "{arch}");
        }
    }

    #[test]
    fn recognised_by_its_tensors() {
        let small = ResNet {
            image: 32,
            stem: 3,
            stem_width: 16,
            stages: vec![(3, 16), (3, 32), (3, 64)],
            bottleneck: false,
            classes: 10,
        };
        for net in [small, ResNet::named("resnet50").expect("known")] {
            let params: std::collections::BTreeMap<_, _> = net.params().into_iter().collect();
            let found = ResNet::recognise(|name| params.get(name).cloned());
            assert_eq!(found.as_ref(), Some(&net));
        }
        assert_eq!(ResNet::recognise(|_| None), None);
    }

    #[test]
    fn the_graph_has_the_published_shapes() {
        let weights = random_weights("resnet18", 1).expect("known");
        let net = ResNet::named("resnet18").expect("known");
        let graph = net.graph(2, &weights).expect("fits");
        let shape = |name: &str| graph.value(graph.find(name).expect(name)).shape.clone();
        assert_eq!(shape("maxpool"), [2, 56, 56, 64]);
        assert_eq!(shape("layer2.1.relu"), [2, 28, 28, 128]);
        assert_eq!(shape("layer4.1.add"), [2, 7, 7, 512]);
        assert_eq!(shape("fc"), [2, 1000]);
    }
}
