//! Whole networks with random weights, at every precision, and a step of training.

use wizen::base::{Requant, Rng, Tensor};
use wizen::graph::{Device, Executor, Graph, lower, optimize};
use wizen::models;
use wizen::quant::{self, Observer, Scheme};
use wizen::train::{Loss, Optimizer, ParamGroup, Trainer};

/// The names and graphs of an architecture for one image: fp32, fp16, int8 calibrated on random images.
pub async fn precisions(device: &Device, arch: &str) -> wizen::Result<[(&'static str, Graph); 3]> {
    let weights = models::random_weights(arch, 1)?;
    let float = optimize(&models::build(arch, 1, &weights)?)?;
    let fp16 = quant::to_f16(&float, &Default::default())?;
    let schemes = Scheme::INT8.into();
    let batches = (0..2).map(|seed| Ok(vec![images(&float, seed)?]));
    let found = quant::calibrate(device, &float, batches, Observer::MinMax, &schemes).await?;
    let params = found.with_weights(quant::choose_weights(&float, &schemes, None)?);
    let int8 = quant::freeze(&float, &params, Requant::Float)?;
    Ok([("fp32", float), ("fp16", fp16), ("int8", int8)])
}

/// Random images for a graph.
pub fn images(graph: &Graph, seed: u64) -> wizen::Result<Tensor> {
    let shape = graph.value(graph.inputs()[0]).shape.clone();
    let mut rng = Rng::new(seed);
    let pixels: Vec<f32> = (0..shape.iter().product()).map(|_| rng.uniform()).collect();
    Tensor::from_f32(&shape, &pixels)
}

/// A network for `batch` images on the device, and images for it.
pub async fn resident(
    device: &Device,
    graph: &Graph,
    batch: usize,
) -> wizen::Result<(Executor, Tensor)> {
    let graph = graph.with_batch(batch)?;
    let images = images(&graph, 1)?;
    Ok((device.load(lower(&graph, &device.caps())?).await?, images))
}

/// LeNet-5 in training, and a batch for it.
pub struct Training {
    trainer: Trainer,
    images: Tensor,
    labels: Tensor,
}

impl Training {
    pub async fn new(device: &Device, batch: usize) -> wizen::Result<Self> {
        let weights = models::random_weights("lenet5", 1)?;
        let mut graph = models::lenet5(batch, &weights)?;
        let images = images(&graph, 1)?;
        let mut rng = Rng::new(2);
        let labels: Vec<u32> = (0..batch).map(|_| rng.below(10) as u32).collect();
        let all = graph.values().filter(|(id, _)| graph.tensor(*id).is_some());
        let groups = [ParamGroup::weights(all.map(|(id, _)| id).collect())];
        let loss = Loss::CrossEntropy.append(&mut graph)?;
        Ok(Self {
            trainer: Trainer::new(device, graph, loss, Optimizer::ADAM, &groups).await?,
            images,
            labels: Tensor::from_u32(&[batch], &labels)?,
        })
    }

    /// So many steps, waited for; the mean loss is finite, or this is an error.
    pub async fn steps(&mut self, steps: usize) -> wizen::Result<f32> {
        for _ in 0..steps {
            let inputs = [&self.images, &self.labels];
            self.trainer.step(&inputs, 1e-3).await?;
        }
        self.trainer.mean_loss().await
    }
}
