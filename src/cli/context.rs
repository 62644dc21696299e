//! Device, progress bars, tables and JSON: how commands talk to the outside.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use comfy_table::{CellAlignment, ContentArrangement, Table, TableComponent, presets};
use etcetera::BaseStrategy;
use etcetera::base_strategy::choose_native_strategy;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;
use wizen::compress::{Control, Job};
use wizen::gpu::{AdapterChoice, Gpu, GpuOptions};
use wizen::graph::Device;
use wizen::{Error, Result};

use super::Common;

/// Set when the user wants the job to end.
pub static STOP: AtomicBool = AtomicBool::new(false);

/// What every command gets.
#[derive(Debug)]
pub struct Context {
    pub common: Common,
}

impl Context {
    pub fn new(common: Common) -> Self {
        Self { common }
    }

    /// Opens the device that `--device` names.
    pub async fn device(&self) -> Result<Device> {
        self.open(&self.common.device).await
    }

    /// Opens a device by the rules of `--device`.
    pub async fn open(&self, wanted: &str) -> Result<Device> {
        let choice = match wanted {
            "cpu" => return Ok(Device::Cpu),
            "auto" => {
                let options = self.options(AdapterChoice::Best);
                return Ok(match Gpu::open_with(&options).await {
                    Ok(gpu) => Device::Gpu(gpu),
                    Err(error) => {
                        self.say(&format!(
                            "{error}; running on the CPU reference, which is slow"
                        ));
                        Device::Cpu
                    }
                });
            }
            "gpu" => AdapterChoice::Best,
            other => match other.parse::<usize>() {
                Ok(index) => AdapterChoice::Index(index),
                Err(_) => AdapterChoice::Named(other.to_owned()),
            },
        };
        Ok(Device::Gpu(Gpu::open_with(&self.options(choice)).await?))
    }

    fn options(&self, adapter: AdapterChoice) -> GpuOptions {
        let cache_dir = if self.common.no_cache {
            None
        } else {
            cache_dir(std::env::var_os("WIZEN_CACHE").map(PathBuf::from))
        };
        GpuOptions {
            adapter,
            cache_dir,
            variant: self.common.variant.map(|variant| variant.name().to_owned()),
        }
    }

    /// A line for people, on stderr.
    pub fn say(&self, line: &str) {
        eprintln!("{line}");
    }

    /// The result: JSON on stdout if asked for, else what `human` prints.
    pub fn finish<T: Serialize>(&self, result: &T, human: impl FnOnce() -> String) -> Result<()> {
        let text = if self.common.json {
            serde_json::to_string(result)
                .map_err(|e| Error::invalid("json", format!("the result cannot be written: {e}")))?
        } else {
            human()
        };
        // A closed pipe (`wizen … | head`) is no failure of the job.
        use std::io::Write as _;
        match writeln!(std::io::stdout(), "{}", text.trim_end()) {
            Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
                Err(Error::io("stdout")(error))
            }
            _ => Ok(()),
        }
    }

    /// From here on Ctrl-C ends a job between two of its steps; a second one ends the program at once.
    pub fn listen(&self) -> Result<()> {
        let pressed = || {
            if STOP.swap(true, Ordering::Relaxed) {
                std::process::exit(130);
            }
        };
        ctrlc::set_handler(pressed)
            .map_err(|e| Error::invalid("Ctrl-C", format!("the system does not report it: {e}")))
    }

    /// A job on this device whose stages are progress bars.
    pub fn job<'a>(&'a self, device: &'a Device) -> Job<'a> {
        let mut current: Option<(String, ProgressBar)> = None;
        Job::watched(device, move |update| {
            if current
                .as_ref()
                .is_none_or(|(stage, _)| stage != update.stage)
            {
                let bar = self.progress(update.stage, update.of);
                if let Some((_, old)) = current.replace((update.stage.to_owned(), bar)) {
                    old.finish_and_clear();
                }
            }
            if let Some((_, bar)) = &current {
                bar.set_position(update.done as u64);
                if let Some(loss) = update.loss {
                    bar.set_message(format!("loss {loss:.4}"));
                }
                if update.done >= update.of {
                    bar.finish_and_clear();
                    current = None;
                }
            }
            match STOP.load(Ordering::Relaxed) {
                true => Control::Stop,
                false => Control::Continue,
            }
        })
    }

    /// A progress bar on stderr; silent where stderr is no terminal.
    pub fn progress(&self, what: &str, steps: usize) -> ProgressBar {
        let bar = ProgressBar::with_draw_target(Some(steps as u64), ProgressDrawTarget::stderr());
        let template = "{prefix:22} [{bar:30}] {pos}/{len} {elapsed} (left {eta}) {msg}";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_prefix(what.to_owned());
        bar.enable_steady_tick(Duration::from_millis(200));
        bar
    }
}

/// Where compiled pipelines are kept: nowhere if `wanted` is `off`, in the folder it names, or in the
/// user's cache folder.
fn cache_dir(wanted: Option<PathBuf>) -> Option<PathBuf> {
    match wanted.filter(|wanted| !wanted.as_os_str().is_empty()) {
        Some(off) if off.as_os_str() == "off" => None,
        Some(folder) => Some(folder),
        None => match choose_native_strategy() {
            Ok(user) => Some(user.cache_dir().join("wizen")),
            Err(error) => {
                log::warn!("compiled pipelines are not kept: {error}");
                None
            }
        },
    }
}

/// Checks that `out` is none of the files that are read, unless the user says so.
pub fn may_write(out: &Path, read: &[Option<&Path>], force: bool) -> Result<()> {
    // What is not there yet is no file that is read.
    let Ok(target) = out.canonicalize() else {
        return Ok(());
    };
    let same = |path: &&Path| path.canonicalize().is_ok_and(|path| path == target);
    match read.iter().flatten().find(|path| same(path)) {
        Some(path) if !force => {
            let problem = format!(
                "{} is a file that this command reads; give another name, or --force",
                path.display()
            );
            Err(Error::invalid("--out", problem))
        }
        _ => Ok(()),
    }
}

/// A table with this header; columns after the first are aligned right.
pub fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table
        .load_preset(presets::UTF8_HORIZONTAL_ONLY)
        .remove_style(TableComponent::HorizontalLines)
        .remove_style(TableComponent::MiddleIntersections)
        .remove_style(TableComponent::LeftBorderIntersections)
        .remove_style(TableComponent::RightBorderIntersections)
        .set_header(header.to_vec());
    table.set_content_arrangement(ContentArrangement::Disabled);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// `98.76 %`
pub fn percent(share: f64) -> String {
    format!("{:.2} %", 100.0 * share)
}

/// Bytes with thousands separated.
pub fn bytes(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push('\u{202f}');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_goes_where_it_is_told() {
        assert_eq!(cache_dir(Some("off".into())), None);
        assert_eq!(cache_dir(Some("/a/b".into())), Some("/a/b".into()));
        let usual = cache_dir(None);
        assert_eq!(cache_dir(Some("".into())), usual);
        assert!(usual.is_none_or(|folder| folder.is_absolute() && folder.ends_with("wizen")));
    }
}
