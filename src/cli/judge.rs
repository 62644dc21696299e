//! How good what a command made is, with labels or without.

use wizen::Result;
use wizen::compress::{self, Job, OutputAgreement};
use wizen::data::Data;
use wizen::graph::Graph;

use super::context::percent;
use super::data::Sets;

/// Accuracy where there are labels, else how close each result is to the float network's.
pub struct Judged {
    pub accuracy: Option<f64>,
    pub outputs: Vec<OutputAgreement>,
}

/// Judges `made`, which came from `float`, on `data`.
pub async fn judge(job: &Job<'_>, float: &Graph, made: &Graph, data: &dyn Data) -> Result<Judged> {
    if data.labels().is_some() {
        let accuracy = compress::accuracy(job, made, data, None).await?;
        return Ok(Judged {
            accuracy: Some(accuracy.top1),
            outputs: Vec::new(),
        });
    }
    Ok(Judged {
        accuracy: None,
        outputs: compress::agreement(job, float, made, data).await?,
    })
}

/// The same in words.
pub fn verdict(accuracy: Option<f64>, outputs: &[OutputAgreement], sets: &Sets) -> String {
    let (n, kind) = (
        sets.judge.len(),
        if sets.held_out { "test" } else { "training" },
    );
    match accuracy {
        Some(accuracy) => format!("{} right of {n} {kind} images", percent(accuracy)),
        None => outputs.iter().map(close).collect::<Vec<_>>().join("; "),
    }
}

/// How close one result is.
pub fn close(result: &OutputAgreement) -> String {
    let close = match result.sqnr_db {
        Some(db) => format!("{db:.1} dB from the float model's"),
        None => "equal to the float model's".to_owned(),
    };
    let same = result
        .agreement
        .map(|share| format!(", the same class for {}", percent(share)));
    format!(
        "result `{}` {close}{}",
        result.name,
        same.unwrap_or_default()
    )
}
