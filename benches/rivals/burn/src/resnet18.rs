//! ResNet18 with random weights, from images on the host to logits on the host.

use burn::tensor::DType;
use wizen::base::{Requant, Rng, Tensor};
use wizen::graph::{Device, Executor, Graph, lower, optimize, sqnr_db};
use wizen::quant::{self, Observer, Scheme};

use crate::Result;
use crate::device::Both;
use crate::report::{Row, take_turns};
use crate::rival::{ResNet18, channels_first};

/// Turns, by images at once.
fn rounds(batch: usize) -> usize {
    if batch == 1 { 5 } else { 3 }
}

/// Seed of the images.
pub const SEED: u64 = 7;
/// Images that int8 is calibrated on.
const CALIBRATION: usize = 4;
/// Decibels between logits and those of wizen's reference in fp32, at least. Rounding alone leaves much more;
/// a wrong layer leaves about none.
pub const CLOSE_F32: f64 = 80.0;
pub const CLOSE_F16: f64 = 35.0;
pub const CLOSE_I8: f64 = 15.0;

/// Random pixels.
pub fn images(batch: usize, seed: u64) -> Result<Tensor> {
    let mut rng = Rng::new(seed);
    let pixels: Vec<f32> = (0..batch * 224 * 224 * 3)
        .map(|_| rng.range(-2.0, 2.0))
        .collect();
    Ok(Tensor::from_f32(&[batch, 224, 224, 3], &pixels)?)
}

/// The network in fp32, one image, batch norms folded. They are not the identity: biases count.
pub fn float_network() -> Result<Graph> {
    let mut weights = wizen::models::random_weights("resnet18", 1)?;
    let mut rng = Rng::new(2);
    for (name, tensor) in &mut weights {
        if tensor.shape().len() == 1 && !name.starts_with("fc") {
            let around = if name.ends_with("weight") || name.ends_with("var") {
                1.0
            } else {
                0.0
            };
            for x in tensor.as_f32_mut()? {
                *x = around + rng.range(-0.2, 0.2);
            }
        }
    }
    Ok(optimize(&wizen::models::build("resnet18", 1, &weights)?)?)
}

/// The same in int8.
pub fn int8_network(both: &Both, float: &Graph) -> Result<Graph> {
    let schemes = Scheme::INT8.into();
    let batches = (0..CALIBRATION).map(|i| {
        let made = images(1, 100 + i as u64);
        made.map(|images| vec![images])
            .map_err(|e| wizen::Error::invalid("images", e.to_string()))
    });
    let found = quant::calibrate(&both.wizen, float, batches, Observer::MinMax, &schemes);
    let found = pollster::block_on(found)?;
    let params = found.with_weights(quant::choose_weights(float, &schemes, None)?);
    Ok(quant::freeze(float, &params, Requant::Float)?)
}

/// Logits of wizen's reference on the CPU.
pub fn reference(float: &Graph, images: &Tensor) -> Result<Vec<f64>> {
    let mut cpu = pollster::block_on(Device::Cpu.load(lower(float, &Device::Cpu.caps())?))?;
    logits(&mut cpu, images)
}

pub fn logits(network: &mut Executor, images: &Tensor) -> Result<Vec<f64>> {
    let outputs = pollster::block_on(network.run(&[images]))?;
    let logits = outputs.first().ok_or("the network has no result")?;
    Ok(logits.to_f64())
}

/// Fails where logits are further from the reference than rounding explains.
pub fn check(who: &str, want: &[f64], got: &[f64], close: f64) -> Result<()> {
    if want.len() != got.len() || got.iter().any(|x| !x.is_finite()) {
        return Err(format!("{who} is wrong: not {} finite logits", want.len()).into());
    }
    // None: they are equal.
    let db = sqnr_db(want, got).unwrap_or(f64::INFINITY);
    eprintln!("{who}: {db:.1} dB from the reference");
    if db < close {
        return Err(format!("{who} is wrong: {db:.1} dB from the reference").into());
    }
    Ok(())
}

/// Rows of one or of eight images at once.
pub fn rows(both: &Both, at_once: usize) -> Result<Vec<Row>> {
    let float = float_network()?;
    let int8 = int8_network(both, &float)?;
    let half = quant::to_f16(&float, &Default::default())?;
    let burn_f32 = ResNet18::new(&float, &both.burn, DType::F32)?;
    let burn_f16 = ResNet18::new(&float, &both.burn, DType::F16)?;
    // Batches of one seed begin with the same image.
    let want = reference(&float, &images(1, SEED)?)?;
    let mut rows = Vec::new();
    let cases = [
        (1, "fp32", &float, CLOSE_F32, &burn_f32, "f32", CLOSE_F32),
        (1, "fp16", &half, CLOSE_F16, &burn_f16, "f16", CLOSE_F16),
        (1, "fp16", &half, CLOSE_F16, &burn_f32, "f32", CLOSE_F32),
        (1, "int8", &int8, CLOSE_I8, &burn_f32, "f32", CLOSE_F32),
        (8, "fp32", &float, CLOSE_F32, &burn_f32, "f32", CLOSE_F32),
        (8, "int8", &int8, CLOSE_I8, &burn_f32, "f32", CLOSE_F32),
    ];
    let cases = cases.into_iter().filter(|(batch, ..)| *batch == at_once);
    for (batch, precision, graph, close, burn, burn_precision, burn_close) in cases {
        let images = images(batch, SEED)?;
        let mut wizen = both.load(&graph.with_batch(batch)?)?;
        let got = logits(&mut wizen, &images)?;
        check(&format!("wizen {precision}"), &want, &got[..1000], close)?;
        let pixels = channels_first(&images)?;
        let got: Vec<f64> = burn
            .run(&pixels, &both.burn)?
            .into_iter()
            .map(f64::from)
            .collect();
        check(
            &format!("burn {burn_precision}"),
            &want,
            &got[..1000],
            burn_close,
        )?;
        let times = take_turns(
            rounds(batch),
            || logits(&mut wizen, &images).map(drop),
            || burn.run(&pixels, &both.burn).map(drop),
        )?;
        let name = format!("ResNet18, batch {batch}, {precision} beside burn's {burn_precision}");
        rows.push(Row::new(&name, (batch as f64, "images/s"), times));
    }
    Ok(rows)
}
