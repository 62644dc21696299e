//! Residual networks with the names of torchvision and timm: ResNet18 and 34, the deeper ones with
//! bottlenecks, and those for CIFAR's small images.
//!
//! He et al., "Deep Residual Learning for Image Recognition" (2015); the stride of a bottleneck lies in
//! its 3×3 convolution, as in torchvision.

use super::Weights;
use crate::base::{DType, Shape};
use crate::error::{Error, Result};
use crate::graph::ops::{
    BatchNorm, Binary, Conv2d, GlobalAvgPool, Linear, Map, MaxPool, Pad, PadMode, Slice,
};
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
    /// Channels of the images: 3, or 1 for gray ones.
    pub channels: usize,
    /// Side of the first filter: 7 with stride 2 and a max-pool behind it, 3 without either (CIFAR).
    pub stem: usize,
    /// Channels behind the first convolution.
    pub stem_width: usize,
    /// Blocks and width of every stage; all but the first halve the image.
    pub stages: Vec<(usize, usize)>,
    /// Blocks are 1×1, 3×3, 1×1 with four times the width behind them; else two 3×3.
    pub bottleneck: bool,
    /// The short way of blocks that change the shape.
    pub shortcut: Shortcut,
    /// Width of the result.
    pub classes: usize,
}

/// How the short way of a block gets the shape of the long one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shortcut {
    /// A 1×1 convolution with its batch norm.
    Projection,
    /// Every second row and column, and as many channels of zeros before as behind (option A of He et al.).
    Pad,
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
    short: Short,
}

enum Short {
    Identity,
    Projection(Unit),
    /// `stride`, channels in and out.
    Pad(usize, usize, usize),
}

impl ResNet {
    /// The network of this name, for ImageNet (224 × 224, 1000 classes): resnet18, 34, 50, 101, 152; or for
    /// CIFAR-10 (32 × 32, 10 classes): resnet20, 32, 44, 56.
    pub fn named(arch: &str) -> Option<Self> {
        let cifar = match arch {
            "resnet20" => Some(3),
            "resnet32" => Some(5),
            "resnet44" => Some(7),
            "resnet56" => Some(9),
            _ => None,
        };
        if let Some(blocks) = cifar {
            return Some(Self {
                image: 32,
                channels: 3,
                stem: 3,
                stem_width: 16,
                stages: vec![(blocks, 16), (blocks, 32), (blocks, 64)],
                bottleneck: false,
                shortcut: Shortcut::Pad,
                classes: 10,
            });
        }
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
            channels: 3,
            stem: 7,
            stem_width: 64,
            stages: blocks.into_iter().zip([64, 128, 256, 512]).collect(),
            bottleneck,
            shortcut: Shortcut::Projection,
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
        // OIHW or OHWI: the third axis is a side of the filter in both, the second only in OHWI.
        let stem_side = stem[2];
        let mut net = Self {
            image: if stem_side == 3 { 32 } else { 224 },
            channels: if stem[1] == stem_side {
                stem[3]
            } else {
                stem[1]
            },
            stem: if stem_side == 3 { 3 } else { 7 },
            stem_width: stem[0],
            bottleneck: first("layer1.0.conv3.weight".into()).is_some(),
            shortcut: Shortcut::Projection,
            classes: first("fc.weight".into()).unwrap_or(1000),
            stages,
        };
        // CIFAR's networks without a single projection.
        let projects = |block: &Block| match &block.short {
            Short::Projection(unit) => first(format!("{}.weight", unit.conv)).is_some(),
            Short::Identity | Short::Pad(..) => false,
        };
        if net.stem == 3 && !net.bottleneck && !net.blocks().iter().any(projects) {
            net.shortcut = Shortcut::Pad;
        }
        Some(net)
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
            from: self.channels,
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
                let short = match self.shortcut {
                    _ if stride == 1 && from == to => Short::Identity,
                    Shortcut::Pad => Short::Pad(stride, from, to),
                    Shortcut::Projection => Short::Projection(Unit {
                        conv: format!("{name}.downsample.0"),
                        norm: format!("{name}.downsample.1"),
                        kernel: 1,
                        stride,
                        from,
                        to,
                    }),
                };
                blocks.push(Block {
                    units: units.collect(),
                    short,
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
            if let Short::Projection(projection) = &block.short {
                unit(projection);
            }
        }
        out.push(("fc.weight".into(), vec![self.classes, self.features()]));
        out.push(("fc.bias".into(), vec![self.classes]));
        out
    }

    /// `images [n, image, image, channels] → logits [n, classes]`.
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
        let shape = [batch, self.image, self.image, self.channels];
        let x = builder.graph.input("images", DType::F32, &shape);
        let x = builder.unit(x, &self.stem_unit())?;
        let mut x = builder.graph.push("relu", Map::RELU, &[x])?;
        if self.stem != 3 {
            let pool = Pool::square(3, 2, 1);
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
        let conv = Conv::square(unit.stride, unit.kernel / 2, 1, 1);
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

    /// `x[:, ::stride, ::stride, :]` between `(to − from) / 2` channels of zeros on either side.
    fn slice_and_pad(
        &mut self,
        block: &str,
        x: ValueId,
        stride: usize,
        [from, to]: [usize; 2],
    ) -> Result<ValueId> {
        let mut size = self.graph.value(x).shape.clone();
        let sides = size.iter_mut().skip(1).take(2);
        sides.for_each(|side| *side = side.div_ceil(stride));
        let slice = Slice {
            start: vec![0; 4],
            step: vec![1, stride, stride, 1],
            size,
        };
        let x = self.graph.push(&format!("{block}.slice"), slice, &[x])?;
        let Some(more) = to.checked_sub(from).filter(|more| more % 2 == 0) else {
            let problem = format!(
                "its short way pads {from} channels to {to}, which must be an even number more; a network with \
                 projections has `{block}.downsample.0.weight`"
            );
            return Err(Error::invalid(&self.arch, problem));
        };
        let pad = Pad {
            before: vec![0, 0, 0, more / 2],
            after: vec![0, 0, 0, more / 2],
            mode: PadMode::Constant,
            value: 0.0,
        };
        self.graph.push(&format!("{block}.pad"), pad, &[x])
    }

    /// `relu(x' + long way of x)`; `x'` is `x`, or the short way that gives it the other shape.
    fn block(&mut self, x: ValueId, block: &Block) -> Result<ValueId> {
        let name = &block.name;
        let short = match &block.short {
            Short::Identity => x,
            Short::Projection(unit) => self.unit(x, unit)?,
            &Short::Pad(stride, from, to) => self.slice_and_pad(name, x, stride, [from, to])?,
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
            // As their author counts: "0.27M", "0.46M", "0.66M", "0.85M".
            ("resnet20", 269_722),
            ("resnet32", 464_154),
            ("resnet44", 658_586),
            ("resnet56", 853_018),
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
        let named = |arch: &str| ResNet::named(arch).expect("known");
        let (padded, deep) = (named("resnet20"), named("resnet50"));
        let projected = ResNet {
            shortcut: Shortcut::Projection,
            ..padded.clone()
        };
        let gray = ResNet {
            channels: 1,
            ..deep.clone()
        };
        for net in [padded, projected, deep, gray] {
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
