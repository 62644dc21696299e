//! Valid float networks from seeds: every operation that networks have, in any order.

use wizen::base::{DType, Rng, Tensor};
use wizen::graph::ops::{
    AvgPool, BatchNorm, Binary, Concat, Conv2d, Coordinates, Flatten, GlobalAvgPool, Linear, Map,
    MaxPool, NearestRounding, Op, Pad, PadMode, Reduce, ReduceKind, Reshape, Resize, ResizeMode,
    Slice, Softmax, Transpose,
};
use wizen::graph::{Graph, ValueId};
use wizen::kernels::map::Unary;
use wizen::kernels::{Conv, Pool};

const BATCH: usize = 2;
/// Elements of one item's value, at most.
const MOST: usize = 1200;

/// What a network may contain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Norms {
    /// Batch norms behind layers, which passes fold away.
    Folded,
    /// Batch norms anywhere.
    Anywhere,
}

/// The network of a seed.
pub fn random_graph(seed: u64, norms: Norms) -> Graph {
    let mut it = Growing {
        graph: Graph::new(),
        rng: Rng::new(seed),
        live: Vec::new(),
        count: 0,
    };
    for i in 0..1 + it.rng.below(2) {
        let shape = match it.rng.below(4) {
            0 if i > 0 => vec![BATCH, 1 + it.rng.below(9)],
            _ => {
                let [h, w, c] = [4, 4, 1].map(|least| least + it.rng.below(5));
                vec![BATCH, h, w, c]
            }
        };
        let name = ["images", "also"][i];
        let x = it.graph.input(name, DType::F32, &shape);
        match shape.len() {
            2 => it.linear(x),
            _ => it.convolution(x),
        };
    }
    for _ in 0..4 + it.rng.below(8) {
        it.grow(norms);
    }
    let used: Vec<ValueId> = it.live.clone();
    for id in used {
        let last = it.graph.users(id).next().is_none();
        if last || it.rng.below(8) == 0 {
            it.graph.output(id);
        }
    }
    it.graph
}

/// Inputs for a network.
pub fn random_inputs(graph: &Graph, seed: u64) -> Vec<Tensor> {
    let mut rng = Rng::new(seed).fork(77);
    let shapes = graph.inputs().into_iter().map(|id| &graph.value(id).shape);
    let mut random = |shape: &Vec<usize>| -> Tensor {
        let values = (0..shape.iter().product()).map(|_| rng.range(-2.0, 2.0));
        Tensor::from_f32(shape, &values.collect::<Vec<f32>>()).expect("as many as the shape says")
    };
    shapes.map(&mut random).collect()
}

/// True if nothing in the network makes something of nothing.
pub fn keeps_zero(graph: &Graph) -> bool {
    graph.nodes().iter().all(|node| match &node.op {
        Op::Map(map) => map.f.f64(0.0) == 0.0,
        Op::Pad(pad) => pad.value == 0.0,
        Op::Conv2d(op) => op.act.is_none_or(|f: Unary| f.f64(0.0) == 0.0),
        Op::Linear(op) => op.act.is_none_or(|f| f.f64(0.0) == 0.0),
        Op::Binary(op) => op.act.is_none_or(|f| f.f64(0.0) == 0.0),
        Op::BatchNorm(BatchNorm { .. }) => true,
        _ => true,
    })
}

struct Growing {
    graph: Graph,
    rng: Rng,
    /// Results that something may use.
    live: Vec<ValueId>,
    count: usize,
}

impl Growing {
    fn chance(&mut self, one_in: usize) -> bool {
        self.rng.below(one_in) == 0
    }

    fn shape(&self, id: ValueId) -> Vec<usize> {
        self.graph.value(id).shape.clone()
    }

    fn param(&mut self, name: &str, shape: &[usize], low: f32, high: f32) -> ValueId {
        let data: Vec<f32> = (0..shape.iter().product())
            .map(|_| self.rng.range(low, high))
            .collect();
        let tensor = Tensor::from_f32(shape, &data).expect("as many as the shape says");
        self.graph.param(name, tensor)
    }

    /// A node whose result is not yet for others.
    fn node(&mut self, op: impl Into<Op>, inputs: &[ValueId]) -> ValueId {
        let op = op.into();
        self.count += 1;
        let name = format!("{}{}", op.name().to_lowercase(), self.count);
        let said = format!("{op:?}");
        self.graph
            .push(&name, op, inputs)
            .unwrap_or_else(|e| panic!("{said}: {e}\n{}", self.graph))
    }

    fn push(&mut self, op: impl Into<Op>, inputs: &[ValueId]) -> ValueId {
        let y = self.node(op, inputs);
        self.live.push(y);
        y
    }

    /// Every function but those for some numbers alone, those that jump, and those that leave every range.
    fn function(&mut self) -> Unary {
        let mut all = Unary::examples();
        all.retain(|f| f.is_defined_at(-1.0) && f.is_defined_at(0.0));
        all.retain(|f| !matches!(f, Unary::Floor | Unary::Ceil | Unary::Round));
        all.retain(|f| !matches!(f, Unary::Exp | Unary::Pow { .. }));
        all[self.rng.below(all.len())]
    }

    /// What a layer may end in before the passes have fused anything; training and integers want the others as
    /// operations of their own.
    fn some_act(&mut self) -> Option<Unary> {
        let act = if self.chance(2) {
            Unary::Relu
        } else {
            Unary::RELU6
        };
        self.chance(4).then_some(act)
    }

    /// A value, most often one that nobody uses yet.
    fn pick(&mut self, fits: impl Fn(&[usize]) -> bool) -> Option<ValueId> {
        let all = self.live.iter().copied();
        let fitting: Vec<ValueId> = all
            .filter(|&id| fits(&self.graph.value(id).shape))
            .collect();
        let free = fitting.iter().copied();
        let free: Vec<ValueId> = free
            .filter(|&id| self.graph.users(id).next().is_none())
            .collect();
        let from = if free.is_empty() || self.chance(4) {
            fitting
        } else {
            free
        };
        (!from.is_empty()).then(|| from[self.rng.below(from.len())])
    }

    /// Appends one operation, or none where what was drawn does not fit.
    fn grow(&mut self, norms: Norms) {
        let Some(x) = self.pick(|_| true) else { return };
        let shape = self.shape(x);
        let last = shape.len() - 1;
        let image = shape.len() == 4;
        match self.rng.below(19) {
            0..=2 if image => self.convolution(x),
            0..=2 => self.linear(x),
            3 => {
                let f = self.function();
                self.push(Map { f }, &[x]);
            }
            4 | 5 => self.two_operands(x),
            6 | 7 if image => self.pool(x),
            8 if image => {
                let mean = self.push(GlobalAvgPool, &[x]);
                if self.chance(2) {
                    // Squeeze and excite.
                    let to = vec![BATCH, 1, 1, shape[3]];
                    let wide = self.node(Reshape { to }, &[mean]);
                    let f = Unary::Sigmoid;
                    let share = self.node(Map { f }, &[wide]);
                    self.push(Binary::MUL, &[x, share]);
                }
            }
            9 if image && shape[1..].iter().product::<usize>() <= 150 => {
                self.push(Flatten, &[x]);
            }
            10 => self.slice(x),
            11 => self.pad(x),
            12 => self.concat(x),
            13 if self.chance(2) => {
                self.push(Softmax, &[x]);
            }
            14 if norms == Norms::Anywhere => {
                let y = self.norm(x, shape[last]);
                self.live.push(y);
            }
            15 if image => {
                let to = vec![0, shape[2], shape[1], shape[3]];
                self.push(Reshape { to }, &[x]);
            }
            15 => {
                let to = vec![BATCH, 1, 1, shape[last]];
                self.push(Reshape { to }, &[x]);
            }
            16 => self.transpose(x),
            17 => {
                let kind = ReduceKind::ALL[self.rng.below(4)];
                let axis = 1 + self.rng.below(last);
                self.push(Reduce { kind, axis }, &[x]);
            }
            18 if image => self.resize(x),
            _ => {}
        }
    }

    fn transpose(&mut self, x: ValueId) {
        let mut order: Vec<usize> = (1..self.shape(x).len()).collect();
        self.rng.shuffle(&mut order);
        order.insert(0, 0);
        self.push(Transpose { order }, &[x]);
    }

    fn resize(&mut self, x: ValueId) {
        let shape = self.shape(x);
        if 4 * shape[1..].iter().product::<usize>() > MOST {
            return;
        }
        let mode = match self.rng.below(3) {
            0 => ResizeMode::Nearest(NearestRounding::RoundPreferFloor),
            1 => ResizeMode::Nearest(NearestRounding::Floor),
            _ => ResizeMode::Linear,
        };
        let to = [1, 2].map(|axis| 1 + self.rng.below(2 * shape[axis]));
        let ratio = |axis: usize| to[axis] as f32 / shape[axis + 1] as f32;
        let coordinates = match self.rng.below(3) {
            0 => Coordinates::HalfPixel,
            1 => Coordinates::Asymmetric,
            _ => Coordinates::AlignCorners,
        };
        let resize = Resize {
            to,
            scale: [ratio(0), ratio(1)],
            mode,
            coordinates,
            exclude_outside: self.chance(2),
            antialias: mode == ResizeMode::Linear && self.chance(2),
        };
        self.push(resize, &[x]);
    }

    fn norm(&mut self, x: ValueId, channels: usize) -> ValueId {
        let n = self.count;
        let mut of =
            |name: &str, low, high| self.param(&format!("norm{n}.{name}"), &[channels], low, high);
        let gamma = of("gamma", 0.5, 1.5);
        let (beta, mean) = (of("beta", -0.5, 0.5), of("mean", -0.5, 0.5));
        let variance = of("variance", 0.3, 2.0);
        self.node(BatchNorm { eps: 1e-5 }, &[x, gamma, beta, mean, variance])
    }

    /// Weights, a bias or none, what follows the sum.
    fn layer(&mut self, x: ValueId, w: &[usize], make: impl Fn(Option<Unary>, bool) -> Op) {
        let fan_in: usize = w[1..].iter().product();
        let n = self.count;
        // Keeps the variance of inputs that are as large as their variance says.
        let bound = (3.0 / fan_in as f32).sqrt();
        let weight = self.param(&format!("weight{n}"), w, -bound, bound);
        let mut inputs = vec![x, weight];
        let bias = !self.chance(3);
        if bias {
            inputs.push(self.param(&format!("bias{n}"), &w[..1], -0.5, 0.5));
        }
        if self.chance(3) {
            let y = self.node(make(None, bias), &inputs);
            let y = self.norm(y, w[0]);
            self.live.push(y);
        } else {
            let act = self.some_act();
            self.push(make(act, bias), &inputs);
        }
    }

    fn linear(&mut self, x: ValueId) {
        let k = self.shape(x)[1];
        let n = 1 + self.rng.below(9);
        self.layer(x, &[n, k], |act, _| Linear { act }.into());
    }

    fn convolution(&mut self, x: ValueId) {
        let shape = self.shape(x);
        let (size, c) = ([shape[1], shape[2]], shape[3]);
        let divisors: Vec<usize> = (1..=c).filter(|g| c.is_multiple_of(*g)).collect();
        let groups = match self.rng.below(3) {
            0 => c,
            _ => divisors[self.rng.below(divisors.len())],
        };
        let out = groups * (1 + self.rng.below((9 / groups).clamp(1, 3)));
        let mut conv = Conv::square(1, 0, 1, groups);
        let mut kernel = [1, 1];
        for axis in 0..2 {
            conv.stride[axis] = 1 + self.rng.below(2);
            kernel[axis] = (1 + self.rng.below(3)).min(size[axis]);
            conv.dilation[axis] = 1 + self.rng.below(2);
            if (kernel[axis] - 1) * conv.dilation[axis] >= size[axis] {
                conv.dilation[axis] = 1;
            }
            conv.padding[axis] = self.rng.below(kernel[axis]);
            conv.padding[axis + 2] = self.rng.below(kernel[axis]);
        }
        let w = [out, kernel[0], kernel[1], c / groups];
        self.layer(x, &w, |act, bias| {
            Conv2d {
                act,
                bias,
                ..Conv2d::new(conv)
            }
            .into()
        });
    }

    fn two_operands(&mut self, x: ValueId) {
        let shape = self.shape(x);
        // Quotients leave every range, and powers are not defined for all.
        let op = match self.rng.below(8) {
            0..=2 => Binary::ADD,
            3 | 4 => Binary::MUL,
            5 => Binary::SUB,
            6 if self.chance(2) => Binary::MIN,
            6 => Binary::MAX,
            _ => Binary::PRELU,
        };
        let act = self.some_act();
        let same = self.pick(|other| other == shape.as_slice());
        let other = match same {
            Some(other) if other != x && ![Binary::MUL, Binary::PRELU].contains(&op) => other,
            // Products of products leave every range.
            Some(other) if other != x => self.node(Map { f: Unary::Tanh }, &[other]),
            _ => {
                let mut to = shape.clone();
                to[0] = 1;
                for size in &mut to[1..] {
                    if self.rng.below(2) == 0 {
                        *size = 1;
                    }
                }
                let from = self.rng.below(to.len());
                let n = self.count;
                self.param(&format!("constant{n}"), &to[from..], -1.0, 1.0)
            }
        };
        let operands = if self.chance(3) {
            [other, x]
        } else {
            [x, other]
        };
        self.push(Binary { act, ..op }, &operands);
    }

    fn pool(&mut self, x: ValueId) {
        let image = <[usize; 4]>::try_from(self.shape(x)).expect("an image");
        let pool = (0..20).find_map(|_| {
            let mut pool = Pool::square(1, 1, 0);
            for axis in 0..2 {
                pool.kernel[axis] = 1 + self.rng.below(3);
                pool.stride[axis] = 1 + self.rng.below(2);
                pool.dilation[axis] = 1 + self.rng.below(2);
                pool.padding[axis] = self.rng.below(pool.kernel[axis] / 2 + 1);
                pool.padding[axis + 2] = self.rng.below(pool.kernel[axis] / 2 + 1);
            }
            pool.ceil_mode = self.chance(2);
            pool.count_include_pad = self.chance(2);
            pool.output_shape(image).is_ok().then_some(pool)
        });
        let Some(pool) = pool else { return };
        if self.chance(2) {
            self.push(MaxPool { pool }, &[x]);
        } else {
            self.push(AvgPool { pool }, &[x]);
        }
    }

    fn slice(&mut self, x: ValueId) {
        let mut slice = Slice {
            start: vec![0],
            step: vec![1],
            size: vec![BATCH],
        };
        for &size in &self.shape(x)[1..] {
            let start = self.rng.below(size);
            let step = 1 + self.rng.below(2);
            slice.start.push(start);
            slice.step.push(step);
            let most = (size - start).div_ceil(step);
            slice.size.push(1 + self.rng.below(most));
        }
        self.push(slice, &[x]);
    }

    fn pad(&mut self, x: ValueId) {
        let shape = self.shape(x);
        if shape[1..].iter().map(|size| size + 3).product::<usize>() > MOST {
            return;
        }
        let mut sides = [(); 2].map(|()| {
            let more = shape[1..].iter().map(|_| self.rng.below(3));
            std::iter::once(0).chain(more).collect::<Vec<_>>()
        });
        let value = if self.chance(2) { 0.5 } else { 0.0 };
        let [before, after] = sides.each_mut().map(std::mem::take);
        let mut pad = Pad {
            before,
            after,
            mode: PadMode::Constant,
            value,
        };
        if shape.len() == 4 && self.chance(2) {
            let modes = [PadMode::Edge, PadMode::Reflect, PadMode::Wrap];
            pad.mode = modes[self.rng.below(3)];
            (pad.before[3], pad.after[3]) = (0, 0);
        }
        self.push(pad, &[x]);
    }

    fn concat(&mut self, x: ValueId) {
        let shape = self.shape(x);
        let axis = 1 + self.rng.below(shape.len() - 1);
        if 2 * shape[1..].iter().product::<usize>() > MOST {
            return;
        }
        let other = self.pick(|other| {
            other.len() == shape.len()
                && (0..shape.len()).all(|i| i == axis || other[i] == shape[i])
        });
        let other = other.unwrap_or(x);
        self.push(Concat { axis }, &[x, other]);
    }
}
