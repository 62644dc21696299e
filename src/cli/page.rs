//! `--report`: what quantization did, as a page.

use std::path::{Path, PathBuf};

use wizen::io::write_atomic;
use wizen::quant::LayerReport;
use wizen::report::{LayerError, Report};
use wizen::{Error, Result};

/// What the page of a quantized network says besides its layers.
pub struct Facts<'a> {
    /// The scheme.
    pub scheme: &'a str,
    /// The float model.
    pub model: &'a Path,
    /// Where the images come from.
    pub data: Option<&'a Path>,
    /// Remarks of the command.
    pub notes: Vec<String>,
    pub layers: &'a [LayerReport],
    pub bytes_before: u64,
    pub bytes_after: u64,
    pub seconds: f64,
    pub device: &'a str,
}

/// Writes the page, if one was asked for.
pub fn write_report(path: Option<&PathBuf>, facts: &Facts<'_>) -> Result<()> {
    let Some(path) = path else { return Ok(()) };
    let name = |path: &Path| {
        path.file_name()
            .map_or("model".into(), |name| name.to_string_lossy().into_owned())
    };
    let data = facts.data.map_or("synthetic digits".into(), |data| {
        format!("images of {}", data.display())
    });
    let mut notes = vec![format!(
        "{} bytes became {}: {:.2} × smaller, in {:.1} s.",
        super::context::bytes(facts.bytes_before),
        super::context::bytes(facts.bytes_after),
        facts.bytes_before as f64 / facts.bytes_after.max(1) as f64,
        facts.seconds
    )];
    notes.extend(facts.notes.iter().cloned());
    let html = Report {
        title: format!("{}, quantized to {}", name(facts.model), facts.scheme),
        subtitle: format!("calibrated on {data}"),
        notes,
        layers: facts.layers.iter().map(layer_error).collect(),
        device: facts.device.to_owned(),
        command: command_line(std::env::args().skip(1)),
        ..Report::default()
    }
    .to_html()?;
    write_atomic(path, |writer| {
        writer.write_all(html.as_bytes()).map_err(Error::io(path))
    })
}

/// A layer as the page shows it.
pub fn layer_error(layer: &LayerReport) -> LayerError {
    LayerError {
        name: layer.name.clone(),
        bits: layer.bits,
        sqnr_db: layer.sqnr_db.unwrap_or(f64::INFINITY),
        cosine: layer.cosine,
        range: layer.range,
        clipped: layer.range.map(|_| layer.clipped),
        alone_sqnr_db: layer.alone_sqnr_db,
        weight_sqnr_db: Some(layer.weight_sqnr_db.unwrap_or(f64::INFINITY)),
        weight_range: Some(layer.weight_range),
        weight_clipped: Some(layer.weight_clipped),
    }
}

/// The command as a shell takes it.
fn command_line(args: impl Iterator<Item = String>) -> String {
    args.fold("wizen".to_owned(), |line, arg| {
        let plain = |c: char| c.is_alphanumeric() || "-_./=,:+@%".contains(c);
        if !arg.is_empty() && arg.chars().all(plain) {
            line + " " + &arg
        } else {
            line + " '" + &arg.replace('\'', "'\\''") + "'"
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_quoted_where_a_shell_needs_it() {
        let args = ["quantize", "a b.st", "--out", "it's", ""].map(String::from);
        let line = command_line(args.into_iter());
        assert_eq!(line, r"wizen quantize 'a b.st' --out 'it'\''s' ''");
    }
}
