//! Taking turns, and what is printed of it.

use std::time::Instant;

use serde_json::{Value, json};

use crate::Result;

/// Milliseconds of several runs.
pub struct Times(Vec<f64>);

impl Times {
    fn new(mut times: Vec<f64>) -> Self {
        times.sort_by(f64::total_cmp);
        Self(times)
    }

    pub fn median(&self) -> f64 {
        let (low, high) = ((self.0.len() - 1) / 2, self.0.len() / 2);
        (self.0[low] + self.0[high]) / 2.0
    }
}

/// One comparison.
pub struct Row {
    pub name: String,
    pub wizen: Times,
    pub burn: Times,
    /// What a run does, and its unit: for rates.
    pub done: (f64, &'static str),
}

impl Row {
    /// A row out of runs that took turns.
    pub fn new(name: &str, done: (f64, &'static str), (wizen, burn): (Vec<f64>, Vec<f64>)) -> Self {
        let row = Self {
            name: name.to_owned(),
            wizen: Times::new(wizen),
            burn: Times::new(burn),
            done,
        };
        eprintln!(
            "{}: {:.2} and {:.2} ms",
            row.name,
            row.wizen.median(),
            row.burn.median()
        );
        row
    }
}

/// Milliseconds of a call.
pub fn time(run: impl FnOnce() -> Result<()>) -> Result<f64> {
    let start = Instant::now();
    run()?;
    Ok(start.elapsed().as_secs_f64() * 1e3)
}

/// Times both, one after the other, `rounds` times, after one round that does not count.
pub fn take_turns(
    rounds: usize,
    mut wizen: impl FnMut() -> Result<()>,
    mut burn: impl FnMut() -> Result<()>,
) -> Result<(Vec<f64>, Vec<f64>)> {
    wizen()?;
    burn()?;
    let (mut a, mut b) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        a.push(time(&mut wizen)?);
        b.push(time(&mut burn)?);
    }
    Ok((a, b))
}

/// burn's version, as it was built.
fn burn_version() -> Result<&'static str> {
    let lock = include_str!("../Cargo.lock");
    let version = lock.split("[[package]]").find_map(|package| {
        let rest = package.split_once("name = \"burn\"\nversion = \"")?.1;
        rest.split('"').next()
    });
    version.ok_or_else(|| "Cargo.lock has no burn".into())
}

/// A table for people.
pub fn markdown(device: &str, rows: &[Row]) -> Result<String> {
    let mut text = format!(
        "wizen beside burn {} (wgpu) on {device}\n\n",
        burn_version()?
    );
    text += "| | wizen ms | burn ms | burn / wizen | wizen | burn |\n|---|--:|--:|--:|--:|--:|";
    for row in rows {
        let (a, b) = (row.wizen.median(), row.burn.median());
        let (done, unit) = row.done;
        let rate = |ms: f64| format!("{:.1} {unit}", done / ms * 1e3);
        let rates = format!("{} | {}", rate(a), rate(b));
        text += &format!(
            "\n| {} | {a:.1} | {b:.1} | {:.2} | {rates} |",
            row.name,
            b / a
        );
    }
    Ok(text)
}

/// One object for machines.
pub fn json(device: &str, rows: &[Row]) -> Result<String> {
    let row = |row: &Row| {
        let (a, b) = (row.wizen.median(), row.burn.median());
        let (done, unit) = row.done;
        json!({
            "name": row.name,
            "wizen_ms": a,
            "wizen_ms_all": row.wizen.0,
            "burn_ms": b,
            "burn_ms_all": row.burn.0,
            "ratio": b / a,
            "unit": unit,
            "wizen_rate": done / a * 1e3,
            "burn_rate": done / b * 1e3,
        })
    };
    let rows: Vec<Value> = rows.iter().map(row).collect();
    let object = json!({"device": device, "burn": burn_version()?, "rows": rows});
    Ok(object.to_string())
}
