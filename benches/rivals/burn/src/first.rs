//! From the start of a process to the first result: a ResNet18 is read from a file, the device opened, one image
//! run. Every process finds empty caches.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use burn::tensor::DType;
use wizen::gpu::Gpu;
use wizen::graph::{Device, Graph, lower};
use wizen::io::{Loaded, Model};

use crate::Result;
use crate::device::{Both, open_burn};
use crate::report::Row;
use crate::resnet18::{
    CLOSE_F32, CLOSE_I8, SEED, check, float_network, images, int8_network, logits, reference,
};
use crate::rival::{ResNet18, channels_first};

/// First argument of the processes that are timed.
pub const CHILD: &str = "first-result";
const ROUNDS: usize = 3;

/// What a timed process does.
pub fn child(who: &str, file: &str) -> Result<()> {
    let Loaded::Wizen(model) = Model::load(file)? else {
        return Err(format!("{file} is no model of wizen").into());
    };
    let images = images(1, SEED)?;
    let logits: Vec<f64> = match who {
        "wizen" => {
            let device = Device::Gpu(pollster::block_on(Gpu::open())?);
            let plan = lower(&model.graph, &device.caps())?;
            let mut network = pollster::block_on(device.load(plan))?;
            logits(&mut network, &images)?
        }
        "burn" => {
            let (device, _) = open_burn()?;
            let network = ResNet18::new(&model.graph, &device, DType::F32)?;
            let logits = network.run(&channels_first(&images)?, &device)?;
            logits.into_iter().map(f64::from).collect()
        }
        _ => return Err(format!("`{who}` is neither wizen nor burn").into()),
    };
    println!("{}", serde_json::to_string(&logits)?);
    Ok(())
}

/// Starts a process; returns its logits and the milliseconds until they were there.
fn start(who: &str, file: &Path) -> Result<(Vec<f64>, f64)> {
    let caches = tempfile::tempdir()?;
    let mut command = Command::new(std::env::current_exe()?);
    command.args([CHILD, who]).arg(file).stdout(Stdio::piped());
    for variable in [
        "XDG_CACHE_HOME",
        "MESA_SHADER_CACHE_DIR",
        "__GL_SHADER_DISK_CACHE_PATH",
    ] {
        command.env(variable, caches.path());
    }
    command.current_dir(caches.path());
    let start = Instant::now();
    let mut process = command.spawn()?;
    let mut text = String::new();
    let stdout = process.stdout.take().ok_or("the process has no output")?;
    BufReader::new(stdout).read_line(&mut text)?;
    let ms = start.elapsed().as_secs_f64() * 1e3;
    if !process.wait()?.success() {
        return Err(format!("the process of {who} failed").into());
    }
    Ok((serde_json::from_str(&text)?, ms))
}

fn save(graph: &Graph, precision: &str, file: &Path) -> Result<()> {
    let model = Model {
        arch: "resnet18".into(),
        precision: precision.into(),
        graph: graph.clone(),
        ..Model::default()
    };
    model.save(file)?;
    Ok(())
}

pub fn rows(both: &Both) -> Result<Vec<Row>> {
    let folder = tempfile::tempdir()?;
    let float = float_network()?;
    let want = reference(&float, &images(1, SEED)?)?;
    let (float_file, int8_file) = (folder.path().join("fp32.st"), folder.path().join("int8.st"));
    save(&int8_network(both, &float)?, "int8", &int8_file)?;
    save(&float, "fp32", &float_file)?;
    let (mut fp32, mut int8, mut burn) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        for (who, file, close, times) in [
            ("wizen", &float_file, CLOSE_F32, &mut fp32),
            ("wizen", &int8_file, CLOSE_I8, &mut int8),
            ("burn", &float_file, CLOSE_F32, &mut burn),
        ] {
            let (got, ms) = start(who, file)?;
            check(who, &want, &got, close)?;
            times.push(ms);
        }
    }
    let done = (1.0, "images/s");
    let name = |precision: &str| {
        format!("ResNet18, first result of a process, {precision} beside burn's f32")
    };
    Ok(vec![
        Row::new(&name("fp32"), done, (fp32, burn.clone())),
        Row::new(&name("int8"), done, (int8, burn)),
    ])
}
