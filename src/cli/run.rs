//! `wizen run`

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;
use serde::Serialize;
use wizen::base::Tensor;
use wizen::compress::batch_for;
use wizen::graph::{Graph, lower};
use wizen::io::{is_array_file, load_arrays, load_image, save_arrays, save_image};
use wizen::{Error, Network, OpenOptions, Result};

use super::context::{Context, may_write, table};
use super::data::pictures_of;
use super::models::input_shape;
use super::pictures::PictureArgs;

/// Items of one run, at most.
const BATCH: usize = 32;

#[derive(Debug, Args)]
pub struct RunArgs {
    /// Model file
    model: PathBuf,
    /// What an input is fed: arrays (.npy, .npz, .safetensors, `[n, c, h, w]` or `[n, h, w, c]` for images) or a
    /// picture. NAME= may be left out where there is one input or the file has arrays called like them.
    /// NAME=1x3x224x224 says the shape of an input that an ONNX file leaves open
    #[arg(long = "input", value_name = "[NAME=]FILE", required = true)]
    inputs: Vec<String>,
    /// Where results go: .npz or .safetensors (all of them, by name), .npy (a single one), or a picture where one
    /// is a picture. Images are written as `[n, c, h, w]`
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Write to --out even if it is a file that is read
    #[arg(long)]
    force: bool,
    /// Architecture of weights alone, where their names and shapes do not tell
    #[arg(long)]
    arch: Option<String>,
    #[command(flatten)]
    pictures: PictureArgs,
}

#[derive(Serialize)]
struct Output {
    outputs: Vec<Written>,
    items: usize,
    precision: String,
    device: String,
    /// Milliseconds of computing, of all items.
    ms: f64,
}

#[derive(Serialize)]
struct Written {
    name: String,
    shape: Vec<usize>,
    min: f64,
    max: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<PathBuf>,
}

pub async fn run(context: &Context, args: RunArgs) -> Result<()> {
    let (mut shapes, mut files) = (Vec::new(), Vec::new());
    for text in &args.inputs {
        match input_shape(text) {
            Ok(shape) => shapes.push(shape),
            Err(_) => files.push(named(text)),
        }
    }
    let options = OpenOptions {
        arch: args.arch.clone(),
        inputs: shapes,
    };
    let mut network = wizen::open_with(&args.model, &options)?;
    let picture = files.iter().any(|(_, file)| !is_array_file(file));
    args.pictures
        .prepare(&mut network)?
        .say(context, &network, picture);
    if let Some(out) = &args.out {
        let read = files.iter().map(|(_, file)| Some(file.as_path()));
        let read: Vec<Option<&Path>> = read.chain([Some(args.model.as_path())]).collect();
        may_write(out, &read, args.force)?;
    }
    let inputs = feed(&network, &files)?;
    let items = inputs.first().map_or(1, |x| x.shape()[0]);
    let device = context.device().await?;
    let graph = network.runnable()?;
    let batch = batch_for(&graph, BATCH).min(items);
    // A network that states its batch itself runs one item after another.
    let (batch, batched) = match graph.with_batch(batch) {
        Ok(batched) => (batch, batched),
        Err(_) => (graph.batch(), graph.clone()),
    };
    let mut executor = device.load(lower(&batched, &device.caps())?).await?;
    let mut results: Vec<Vec<Tensor>> = Vec::new();
    let mut seconds = 0.0;
    let bar = context.progress("run", items);
    for start in (0..items).step_by(batch) {
        let count = batch.min(items - start);
        let part = inputs.iter().map(|x| rows(x, start, batch));
        let part: Vec<Tensor> = part.collect::<Result<_>>()?;
        let part: Vec<&Tensor> = part.iter().collect();
        let began = Instant::now();
        let outputs = executor.run(&part).await?;
        seconds += began.elapsed().as_secs_f64();
        let cut = outputs.iter().map(|y| rows(y, 0, count.min(y.shape()[0])));
        results.push(cut.collect::<Result<_>>()?);
        bar.inc(count as u64);
    }
    bar.finish_and_clear();
    let mut outputs = Vec::new();
    let mut arrays = Vec::new();
    for (i, name) in graph.output_names().iter().enumerate() {
        let whole = Tensor::stacked(results.iter().map(|batch| &batch[i]))?;
        let (shape, values) = as_files_have_it(&whole);
        let ends = |f: fn(f32, f32) -> f32, from| values.iter().copied().fold(from, f);
        outputs.push(Written {
            name: name.clone(),
            shape: shape.clone(),
            min: ends(f32::min, f32::INFINITY).into(),
            max: ends(f32::max, f32::NEG_INFINITY).into(),
            file: args.out.clone(),
        });
        arrays.push((name.clone(), shape, values));
    }
    if let Some(out) = &args.out {
        let ending = out.extension().unwrap_or_default().to_ascii_lowercase();
        match ending.to_str() {
            Some("npy" | "npz" | "safetensors") => save_arrays(out, &arrays)?,
            _ => {
                let picture = arrays
                    .iter()
                    .find(|(_, shape, _)| matches!(shape.as_slice(), [1, 1 | 3, _, _]));
                let (_, shape, values) = picture.ok_or_else(|| {
                    let problem =
                        "no result is one picture [1, 1 or 3, h, w]; write to .npz or .safetensors";
                    Error::invalid("--out", problem)
                })?;
                save_image(out, shape, values, network.preprocess.as_ref())?;
            }
        }
    }
    let output = Output {
        outputs,
        items,
        precision: network.precision(),
        device: device.name(),
        ms: seconds * 1e3,
    };
    context.finish(&output, || {
        let mut rows = table(&["result", "shape", "smallest", "largest"]);
        for written in &output.outputs {
            rows.add_row(vec![
                written.name.clone(),
                format!("{:?}", written.shape),
                format!("{:.6}", written.min),
                format!("{:.6}", written.max),
            ]);
        }
        let file = args.out.as_ref();
        let file = file.map_or(String::new(), |out| format!("-> {}\n", out.display()));
        format!(
            "{} items in {:.1} ms, {} on {}\n{rows}\n{file}",
            output.items, output.ms, output.precision, output.device
        )
    })
}

/// `NAME=FILE`, or a file alone.
fn named(text: &str) -> (Option<String>, PathBuf) {
    match text.split_once('=') {
        Some((name, file)) if !Path::new(text).exists() => (Some(name.to_owned()), file.into()),
        _ => (None, text.into()),
    }
}

/// What every input is fed, in the order of the network's inputs.
fn feed(network: &Network, files: &[(Option<String>, PathBuf)]) -> Result<Vec<Tensor>> {
    let graph = &network.graph;
    let mut found: BTreeMap<String, Tensor> = BTreeMap::new();
    for (name, file) in files {
        if let Some(name) = name
            && !graph
                .inputs()
                .iter()
                .any(|&id| graph.value(id).name == *name)
        {
            let names = graph.inputs();
            let names: Vec<&str> = names
                .iter()
                .map(|&id| graph.value(id).name.as_str())
                .collect();
            let problem = format!("there is no input `{name}`; there are {}", names.join(", "));
            return Err(Error::invalid("--input", problem));
        }
        if is_array_file(file) {
            let only = name
                .as_ref()
                .map(|name| input_alone(graph, name))
                .transpose()?;
            let of = only.as_ref().unwrap_or(graph);
            let arrays = load_arrays(file, of)?;
            for (&id, tensor) in of.inputs().iter().zip(arrays.all()) {
                found.insert(of.value(id).name.clone(), tensor.clone());
            }
            continue;
        }
        let preprocess = pictures_of(network)?;
        let image = load_image(file, &preprocess)?;
        let shape = [&[1], image.shape()].concat();
        let only = graph
            .inputs()
            .first()
            .map(|&id| graph.value(id).name.clone());
        let name = name.clone().or(only).unwrap_or_default();
        found.insert(name, image.reshaped(&shape)?);
    }
    let mut inputs = Vec::new();
    for id in graph.inputs() {
        let name = &graph.value(id).name;
        let tensor = found.remove(name).ok_or_else(|| {
            let problem = format!("nothing is given for `{name}` {:?}", graph.value(id).shape);
            Error::invalid("--input", problem)
        })?;
        inputs.push(tensor);
    }
    let items: Vec<usize> = inputs.iter().map(|x| x.shape()[0]).collect();
    match items.iter().any(|&n| n != items[0]) {
        true => {
            let problem = format!("the inputs have {items:?} items, expected as many in each");
            Err(Error::invalid("--input", problem))
        }
        false => Ok(inputs),
    }
}

/// A graph that has this input alone.
fn input_alone(graph: &Graph, name: &str) -> Result<Graph> {
    let value = graph.value(graph.find(name)?);
    let mut only = Graph::new();
    only.input(name, value.dtype, &value.shape);
    Ok(only)
}

/// `count` items of a batch from `start` on; the last one fills up what is missing.
fn rows(x: &Tensor, start: usize, count: usize) -> Result<Tensor> {
    let items = x.shape()[0].max(1);
    let size = x.words().len() / items;
    let mut words = Vec::with_capacity(count * size);
    for i in start..start + count {
        let at = i.min(items - 1) * size;
        words.extend_from_slice(&x.words()[at..at + size]);
    }
    let mut shape = x.shape().to_vec();
    shape[0] = count;
    Tensor::from_words(&shape, x.dtype(), words)
}

/// Images as `[n, c, h, w]`, everything else as it is.
fn as_files_have_it(x: &Tensor) -> (Vec<usize>, Vec<f32>) {
    let values = x.to_f32();
    let &[n, h, w, c] = x.shape() else {
        return (x.shape().to_vec(), values);
    };
    let mut turned = Vec::with_capacity(values.len());
    for image in values.chunks_exact((h * w * c).max(1)) {
        for channel in 0..c {
            turned.extend((0..h * w).map(|at| image[at * c + channel]));
        }
    }
    (vec![n, c, h, w], turned)
}
