//! A network of one's own, by the public API alone: built, quantized on one's own data, saved, loaded and run.
//!
//! `cargo run --release --example own_network [FILE]`

use wizen::base::{DType, Rng, Tensor};
use wizen::compress::{Job, QuantizeOptions, quantize};
use wizen::data::{Data, FromFn};
use wizen::gpu::Gpu;
use wizen::graph::ops::{Conv2d, GlobalAvgPool, Linear, MaxPool};
use wizen::graph::{Device, Graph, lower, sqnr_db};
use wizen::kernels::{Conv, Pool, map::Unary};
use wizen::{Network, Result};

/// Random numbers, `±√(3/fan_in)`.
fn random(rng: &mut Rng, shape: &[usize]) -> Result<Tensor> {
    let bound = (3.0 / shape[1..].iter().product::<usize>() as f32).sqrt();
    let numbers = (0..shape.iter().product()).map(|_| rng.range(-bound, bound));
    Tensor::from_f32(shape, &numbers.collect::<Vec<f32>>())
}

/// Two convolutions, a pool, a mean and five classes, for images of 12 × 12 pixels.
fn network() -> Result<Network> {
    let (mut graph, mut rng) = (Graph::new(), Rng::new(1));
    let images = graph.input("images", DType::F32, &[1, 12, 12, 3]);
    let layer = |act| {
        Conv2d::new(Conv::square(1, 1, 1, 1))
            .without_bias()
            .with(act)
    };
    let w = graph.param("conv1.weight", random(&mut rng, &[8, 3, 3, 3])?);
    let x = graph.push("conv1", layer(Unary::Relu), &[images, w])?;
    let pool = Pool::square(2, 2, 0);
    let x = graph.push("pool", MaxPool { pool }, &[x])?;
    let w = graph.param("conv2.weight", random(&mut rng, &[16, 3, 3, 8])?);
    let x = graph.push("conv2", layer(Unary::Relu), &[x, w])?;
    let x = graph.push("mean", GlobalAvgPool, &[x])?;
    let w = graph.param("classes.weight", random(&mut rng, &[5, 16])?);
    let y = graph.push("classes", Linear::default(), &[x, w])?;
    graph.output(y);
    Ok(Network::new("mine", graph))
}

/// One image with a bright square, the item of this number.
fn image(item: usize) -> Result<Vec<Tensor>> {
    let mut rng = Rng::new(item as u64);
    let (row, column) = (rng.below(8), rng.below(8));
    let bright = |i: usize| {
        let (y, x) = (i / 36, i / 3 % 12);
        (row..row + 4).contains(&y) && (column..column + 4).contains(&x)
    };
    let pixels = (0..432).map(|i| rng.uniform() * if bright(i) { 1.0 } else { 0.2 });
    let pixels: Vec<f32> = pixels.collect();
    Ok(vec![Tensor::from_f32(&[1, 12, 12, 3], &pixels)?])
}

async fn answers(device: &Device, network: &Network, data: &dyn Data) -> Result<Vec<f64>> {
    let items: Vec<usize> = (0..data.len()).collect();
    let graph = network.runnable()?.with_batch(items.len())?;
    let mut executor = device.load(lower(&graph, &device.caps())?).await?;
    let inputs = data.inputs(&items)?;
    Ok(executor.run(&inputs.iter().collect::<Vec<_>>()).await?[0].to_f64())
}

/// From a float file to an int8 file; returns the SQNR of its results in dB.
async fn run(device: &Device, file: &str) -> Result<f64> {
    network()?.save(file)?;
    let data = FromFn::new("squares", 32, image);

    let float = wizen::open(file, None)?;
    let options = QuantizeOptions::default();
    let made = quantize(&Job::new(device), &float, &data, &options).await?;
    made.network.save(file)?;

    for layer in &made.layers {
        println!(
            "{}: {:.1} dB",
            layer.name,
            layer.sqnr_db.unwrap_or(f64::INFINITY)
        );
    }
    let int8 = wizen::open(file, None)?;
    println!("{} {} on {}", int8.arch, int8.precision(), device.name());
    let want = answers(device, &float, &data).await?;
    let got = answers(device, &int8, &data).await?;
    let db = sqnr_db(&want, &got).unwrap_or(f64::INFINITY);
    println!("results: {db:.1} dB");
    Ok(db)
}

fn main() -> Result<()> {
    let file = std::env::args().nth(1);
    let file = file.unwrap_or_else(|| "own_network.safetensors".into());
    pollster::block_on(async {
        let device = Device::Gpu(Gpu::open().await?);
        run(&device, &file).await.map(drop)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Eight bits of noise on every layer leave results far above it.
    #[test]
    fn int8_is_close_to_float() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("own.safetensors");
        let file = file.to_str().expect("UTF-8");
        let db = pollster::block_on(run(&Device::Cpu, file)).expect("runs");
        assert!((25.0..80.0).contains(&db), "{db} dB");
    }
}
