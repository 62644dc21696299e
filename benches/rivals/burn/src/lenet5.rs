//! Training LeNet-5 with Adam: forward, loss, backward and update, images and labels from the host in every step.

use std::time::Instant;

use burn::module::Module;
use burn::nn::Linear;
use burn::nn::conv::Conv2d;
use burn::nn::loss::CrossEntropyLossConfig;
use burn::nn::pool::{MaxPool2d, MaxPool2dConfig};
use burn::optim::{AdamConfig, GradientsParams, ModuleOptimizer};
use burn::tensor::activation::relu;
use burn::tensor::{DType, Device, Int, Tensor as BurnTensor, TensorData};
use wizen::base::Tensor;
use wizen::io::synthetic_splits;
use wizen::models::{Weights, lenet5, random_weights};
use wizen::train::{Loss, Optimizer, ParamGroup, Trainer};

use crate::Result;
use crate::device::Both;
use crate::report::{Row, take_turns};
use crate::rival::{channels_first, conv, linear};

const BATCH: usize = 64;
/// Different batches; training goes round.
const BATCHES: usize = 8;
const LR: f32 = 2e-3;
/// Steps whose losses are compared.
const CHECKED: usize = 6;
/// Steps of one run.
const STEPS: usize = 25;
const ROUNDS: usize = 5;
/// Relative distance of the losses: before anything was learned only rounding tells them apart; what Adam makes of
/// a gradient next to zero hangs on its rounding.
const CLOSE_FIRST: f32 = 1e-5;
const CLOSE: f32 = 1e-2;

#[derive(Module, Debug)]
struct LeNet5 {
    conv1: Conv2d,
    conv2: Conv2d,
    fc1: Linear,
    fc2: Linear,
    fc3: Linear,
    pool: MaxPool2d,
}

impl LeNet5 {
    fn new(weights: &Weights, device: &Device) -> Result<Self> {
        let layer = |name: &str| -> Result<[&Tensor; 2]> {
            let part = |part: &str| weights.get(&format!("{name}.{part}"));
            match [part("weight"), part("bias")] {
                [Some(w), Some(bias)] => Ok([w, bias]),
                _ => Err(format!("there is no layer `{name}`").into()),
            }
        };
        // Features of a flattened image: wizen's have the channel last, burn's first.
        let [w, bias] = layer("fc1")?;
        let from = w.to_f32();
        let fc1: Vec<f32> = (0..from.len())
            .map(|i| {
                let (row, feature) = (i / 400, i % 400);
                let (channel, pixel) = (feature / 25, feature % 25);
                from[row * 400 + pixel * 16 + channel]
            })
            .collect();
        let fc1 = Tensor::from_f32(w.shape(), &fc1)?;
        let f32 = DType::F32;
        Ok(Self {
            conv1: conv(layer("conv1")?, 1, 2, device, f32)?,
            conv2: conv(layer("conv2")?, 1, 0, device, f32)?,
            fc1: linear([&fc1, bias], device, f32)?,
            fc2: linear(layer("fc2")?, device, f32)?,
            fc3: linear(layer("fc3")?, device, f32)?,
            pool: MaxPool2dConfig::new([2, 2]).with_strides([2, 2]).init(),
        })
    }

    fn forward(&self, x: BurnTensor<4>) -> BurnTensor<2> {
        let x = self.pool.forward(relu(self.conv1.forward(x)));
        let x = self.pool.forward(relu(self.conv2.forward(x)));
        let x = x.flatten::<2>(1, 3);
        let x = relu(self.fc1.forward(x));
        let x = relu(self.fc2.forward(x));
        self.fc3.forward(x)
    }
}

/// burn's training, one step at a time.
struct Burn {
    network: Option<LeNet5>,
    optimizer: ModuleOptimizer,
    device: Device,
}

impl Burn {
    fn new(weights: &Weights, device: Device) -> Result<Self> {
        let adam = AdamConfig::new()
            .with_beta_1(0.9)
            .with_beta_2(0.999)
            .with_epsilon(1e-8);
        Ok(Self {
            network: Some(LeNet5::new(weights, &device)?),
            optimizer: adam.init(),
            device,
        })
    }

    /// One step; the loss stays on the device.
    fn step(&mut self, images: &TensorData, labels: &TensorData) -> Result<BurnTensor<1>> {
        let network = self.network.take().ok_or("a step failed before")?;
        let images = BurnTensor::<4>::from_data(images.clone(), &self.device);
        let labels = BurnTensor::<1, Int>::from_data(labels.clone(), &self.device);
        let loss = CrossEntropyLossConfig::new().init(&self.device);
        let loss = loss.forward(network.forward(images), labels);
        let gradients = GradientsParams::from_grads(loss.backward(), &network);
        self.network = Some(self.optimizer.step(f64::from(LR), network, gradients));
        Ok(loss)
    }
}

pub fn rows(both: &Both) -> Result<Vec<Row>> {
    let weights = random_weights("lenet5", 1)?;
    let digits = synthetic_splits(1, BATCH * BATCHES, 1)?.train;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for i in 0..BATCHES {
        let (images, labels) = digits.batch(&(i * BATCH..(i + 1) * BATCH).collect::<Vec<_>>())?;
        let classes: Vec<i32> = labels.as_u32()?.iter().map(|&label| label as i32).collect();
        theirs.push((channels_first(&images)?, TensorData::new(classes, [BATCH])));
        ours.push((images, labels));
    }

    let start = Instant::now();
    let mut graph = lenet5(BATCH, &weights)?;
    let params = graph.values().filter(|(id, _)| graph.tensor(*id).is_some());
    let groups = [ParamGroup::weights(params.map(|(id, _)| id).collect())];
    let loss = Loss::CrossEntropy.append(&mut graph)?;
    let trainer = Trainer::new(&both.wizen, graph, loss, Optimizer::ADAM, &groups);
    let mut wizen = pollster::block_on(trainer)?;
    let (mut first, mut losses) = ((Vec::new(), Vec::new()), Vec::new());
    for (i, (images, labels)) in ours.iter().take(CHECKED).enumerate() {
        pollster::block_on(wizen.step(&[images, labels], LR))?;
        losses.push(pollster::block_on(wizen.mean_loss())?);
        if i == 0 {
            first.0.push(start.elapsed().as_secs_f64() * 1e3);
        }
    }

    let start = Instant::now();
    let mut burn = Burn::new(&weights, both.burn.clone().autodiff())?;
    for (i, (images, labels)) in theirs.iter().take(CHECKED).enumerate() {
        let loss = burn
            .step(images, labels)?
            .into_data()
            .try_into_vec::<f32>()?[0];
        if i == 0 {
            first.1.push(start.elapsed().as_secs_f64() * 1e3);
        }
        let close = if i == 0 { CLOSE_FIRST } else { CLOSE };
        eprintln!("step {}: losses {} and {loss}", i + 1, losses[i]);
        let distance = (loss - losses[i]).abs() / losses[i];
        if distance.is_nan() || distance > close {
            return Err(format!("step {}: losses {} and {loss}", i + 1, losses[i]).into());
        }
    }
    if losses[CHECKED - 1] >= losses[0] {
        return Err(format!("nothing was learned: losses {losses:?}").into());
    }

    let (mut i, mut j) = (0, 0);
    let times = take_turns(
        ROUNDS,
        || {
            for _ in 0..STEPS {
                let (images, labels) = &ours[i % BATCHES];
                pollster::block_on(wizen.step(&[images, labels], LR))?;
                i += 1;
            }
            pollster::block_on(wizen.mean_loss())?;
            Ok(())
        },
        || {
            let mut loss = None;
            for _ in 0..STEPS {
                let (images, labels) = &theirs[j % BATCHES];
                loss = Some(burn.step(images, labels)?);
                j += 1;
            }
            drop(loss.map(|loss| loss.into_data()));
            both.burn.sync()?;
            Ok(())
        },
    )?;
    let per_step = |times: Vec<f64>| times.iter().map(|ms| ms / STEPS as f64).collect();
    let times = (per_step(times.0), per_step(times.1));
    let done = (BATCH as f64, "images/s");
    Ok(vec![
        Row::new("LeNet-5 training, batch 64, a step", done, times),
        Row::new("LeNet-5 training, up to the first loss", done, first),
    ])
}
