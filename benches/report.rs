//! Everything that the benches measure, once, as a page: `benches/RESULTS.md`.
//!
//! `cargo bench --bench report -- --out benches/RESULTS.md [--rival FILE]…`; without `--out` the page is printed.
//! A rival's FILE is what a script of `benches/rivals/` printed, as JSON or Markdown. The device is the one that
//! `wizen devices` marks. As a test everything runs once and small, without ResNet18.

mod device;
mod markdown;
mod measured;
mod naive;
mod networks;
mod shapes;
mod timing;

use std::process::{Command, ExitCode};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use pollster::block_on;
use wizen::gpu::Gpu;
use wizen::graph::{Device, Peaks, measure_peaks};
use wizen::{Error, Result};

use device::{gpu, is_test};
use markdown::{Table, pasted};
use measured::Measure;
use networks::precisions;

/// Seconds for finding the fastest variants of a network's kernels.
const TUNE: u64 = 45;

#[derive(Default)]
struct Args {
    out: Option<String>,
    rivals: Vec<String>,
}

fn args() -> Result<Args> {
    let mut found = Args::default();
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut value = || {
            let missing = || Error::invalid("report", format!("`{arg}` needs a file"));
            args.next().ok_or_else(missing)
        };
        match arg.as_str() {
            "--out" => found.out = Some(value()?),
            "--rival" => found.rivals.push(value()?),
            "--bench" | "--test" => {}
            other => {
                let problem = format!("`{other}` is neither `--out FILE` nor `--rival FILE`");
                return Err(Error::invalid("report", problem));
            }
        }
    }
    Ok(found)
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let args = args()?;
    let Some(gpu) = gpu() else { return Ok(()) };
    let start = Instant::now();
    let say = |what: &str| eprintln!("{:4} s  {what}", start.elapsed().as_secs());
    // Before anything takes long: files that are not there.
    let mut rivals = String::new();
    for file in &args.rivals {
        let text = std::fs::read_to_string(file).map_err(Error::io(file))?;
        rivals.push_str(&format!("\n{}", pasted(&text)));
    }
    say("peaks");
    let measure = Measure {
        device: Device::Gpu(gpu.clone()),
        peaks: peaks(&gpu, if is_test() { 1 } else { 3 })?,
        gpu,
        test: is_test(),
    };
    let mut page = header(&measure);
    // A file is written as it grows: what was measured is not lost with a run that is stopped.
    let out = args.out.as_deref().filter(|_| !measure.test);
    let mut section = |title: &str, text: &str| {
        page.push_str(&format!("\n## {title}\n\n{text}"));
        out.map_or(Ok(()), |file| {
            std::fs::write(file, &page).map_err(Error::io(file))
        })
    };
    section("Peaks", &(about(PEAKS) + &measure.peaks()))?;
    say("matrix products");
    section("Matrix products", &(about(PRODUCTS) + &measure.products()))?;
    let mut table = Measure::network_table();
    if !measure.test {
        say("ResNet18: variants");
        let resnet18 = block_on(precisions(&measure.device, "resnet18"))?;
        measure.tune(&resnet18, 1, TUNE)?;
        say("ResNet18: steps");
        for (precision, graph) in &resnet18 {
            let steps = measure.steps(graph, 1)?;
            section(&format!("ResNet18, one image, {precision}"), &steps)?;
        }
        for batch in measure.batches() {
            if batch > 1 {
                say(&format!("ResNet18: variants for {batch}"));
                measure.tune(&resnet18, batch, TUNE)?;
            }
            say(&format!("ResNet18: {batch} at once"));
            measure.network(&mut table, "resnet18", &resnet18, batch)?;
        }
    }
    say("LeNet-5");
    let lenet5 = block_on(precisions(&measure.device, "lenet5"))?;
    measure.tune(&lenet5, 64, TUNE)?;
    for (precision, graph) in &lenet5 {
        let steps = measure.steps(graph, 64)?;
        section(&format!("LeNet-5, 64 images, {precision}"), &steps)?;
    }
    measure.network(&mut table, "lenet5", &lenet5, 64)?;
    measure.training(&mut table, 64)?;
    section("Networks", &(about(NETWORKS) + &table.finish()))?;
    say("kernels that move data");
    section(
        "Kernels that move data",
        &(about(MEMORY) + &measure.memory()),
    )?;
    say("masks");
    section("Masks", &measure.masks()?)?;
    if !rivals.is_empty() {
        section("Rivals", rivals.trim_start())?;
    }
    say("done");
    if out.is_none() {
        println!("{page}");
    }
    Ok(())
}

/// The best of several times: whatever else the machine does only lowers what a probe reaches.
fn peaks(gpu: &Gpu, times: usize) -> Result<Peaks> {
    let mut best = block_on(measure_peaks(gpu))?;
    for _ in 1..times {
        let again = block_on(measure_peaks(gpu))?;
        best = Peaks {
            f32_gops: best.f32_gops.max(again.f32_gops),
            f16_gops: best.f16_gops.max(again.f16_gops),
            i8_gops: best.i8_gops.max(again.i8_gops),
            copy_gbs: best.copy_gbs.max(again.copy_gbs),
        };
    }
    Ok(best)
}

const PEAKS: &str = "The best that probes reached (`probe_*`, `copy_u32`). f16 and int8 may be multiplied as f32, \
    so neither peak is below that of f32.";
const PRODUCTS: &str = "N × N × N, checked against the CPU before they are timed (up to N = 512 whole, above in eight \
    rows). `naive` computes 4 × 4 outputs in an invocation and shares nothing. Medians.";
const NETWORKS: &str = "Random weights; upload, run, result; the precisions in turns. Medians with extremes. \
    \"Of peak\": what the steps need at the peaks, by the time taken. A training step is forward, backward and Adam.";
const MEMORY: &str = "Bytes are those of every operand, once.";

fn about(text: &str) -> String {
    format!("{text}\n\n")
}

fn header(measure: &Measure) -> String {
    let adapters = block_on(wizen::gpu::list_adapters());
    let name = &measure.gpu.caps().name;
    let driver = adapters
        .iter()
        .find(|adapter| adapter.name == *name && adapter.backend == measure.gpu.caps().backend);
    let mut table = Table::new(&["", ""], 2);
    let mut row = |what: &str, is: String| table.row(&[what.to_owned(), is]);
    row("device", measure.device.name());
    row(
        "driver",
        driver.map_or_else(|| "not stated".to_owned(), |a| a.driver.clone()),
    );
    row("processor", processor());
    row("date", date());
    row("commit", commit());
    row("wizen", env!("CARGO_PKG_VERSION").to_owned());
    format!(
        "# Results\n\nWritten by `cargo bench --bench report -- --out benches/RESULTS.md`, not by hand.\n\n{}",
        table.finish()
    )
}

fn processor() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == "model name").then(|| value.trim().to_owned())
    });
    let model = model.unwrap_or_else(|| std::env::consts::ARCH.to_owned());
    format!("{model}, {cores} cores")
}

/// The commit that is checked out, and whether files differ from it.
fn commit() -> String {
    let git = |args: &[&str]| {
        let output = Command::new("git").args(args).output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        output.status.success().then(|| text.trim().to_owned())
    };
    let Some(head) = git(&["rev-parse", "--short=12", "HEAD"]) else {
        return "not stated: this is no git checkout".to_owned();
    };
    match git(&[
        "status",
        "--porcelain",
        "--",
        "src",
        "shaders",
        "benches",
        "Cargo.lock",
    ]) {
        Some(changes) if changes.is_empty() => head,
        _ => head + ", with changes",
    }
}

/// Today, in UTC.
fn date() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let mut days = now.map_or(0, |since| since.as_secs() / 86_400);
    let leap =
        |year: u64| year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400);
    let mut year = 1970;
    while days >= 365 + u64::from(leap(year)) {
        days -= 365 + u64::from(leap(year));
        year += 1;
    }
    let february = 28 + u64::from(leap(year));
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    format!("{year}-{month:02}-{:02}", days + 1)
}
