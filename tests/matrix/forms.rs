//! Other forms of a network: as ONNX, run on a picture, with layers in float.

use serde_json::Value;

use wizen::graph::Graph;
use wizen::graph::ops::Softmax;

use super::{Row, mobile};
use crate::cli::{json, text};

/// The same as many files have it: ending in shares.
pub fn with_shares() -> Graph {
    let mut graph = mobile();
    let logits = graph.outputs()[0];
    graph.set_outputs(Vec::new());
    let shares = graph.push("shares", Softmax, &[logits]).expect("fits");
    graph.output(shares);
    graph
}

impl Row {
    /// Integers alone are equal everywhere; a softmax of floats behind them is within its bound.
    pub fn is_exact(&self, compared: &Value) -> bool {
        let steps = compared["steps"].as_array().expect("steps");
        let mut within = steps.iter().map(|step| step["mismatches"] == 0);
        compared["equal"] == true || (self.name == "onnx" && within.all(|within| within))
    }

    /// Written as ONNX and read again: floats to the last digits, integers to the last bit.
    pub fn converted(&self) {
        let data = text(&self.data);
        for from in [&self.file, &self.path("int8")] {
            let onnx = self.path("again.onnx");
            let made = self.cell(&["convert", text(from), "--out", text(&onnx), "--force"]);
            let made = made.expect("runs");
            assert!(made["bytes_after"].as_u64() > Some(0));
            let against = ["--against", text(from), "--data", data, "--limit", "4"];
            let same = json(&[&["compare", text(&onnx)], &against[..]].concat());
            let db = same["output_sqnr_db"].as_f64();
            let exact = same["equal"] == true;
            let float = from == &self.file && db.is_none_or(|db| db > 100.0);
            assert!(exact || float, "{} {from:?}: {db:?} dB", self.name);
        }
    }

    /// A picture in, every result out, in the order of ONNX's axes.
    pub fn run(&self) {
        let (picture, out) = (self.data.join("0/0.png"), self.path("results.safetensors"));
        let args = [
            "run",
            text(&self.file),
            "--input",
            text(&picture),
            "--out",
            text(&out),
        ];
        let made = self.cell(&args).expect("runs");
        let outputs = made["outputs"].as_array().expect("a list");
        let tensors = wizen::io::read_safetensors(&out).expect("readable").1;
        assert_eq!(outputs.len(), self.network.graph.outputs().len());
        assert_eq!(outputs.len(), tensors.len());
        for (&id, name) in self
            .network
            .graph
            .outputs()
            .iter()
            .zip(self.network.graph.output_names())
        {
            let mut shape = self.network.graph.value(id).shape.clone();
            if let [_, h, w, c] = shape[..] {
                shape = vec![1, c, h, w];
            }
            let (_, tensor) = tensors
                .iter()
                .find(|(own, _)| own == name)
                .expect("its name");
            assert_eq!(tensor.shape, shape, "{}", self.name);
        }
    }

    /// Layers that cost most stay float, until the results are as close as was asked for.
    pub fn kept_float(&self) {
        let (data, out) = (text(&self.data), self.path("auto.st"));
        let db = "45";
        let args = [
            "quantize",
            text(&self.file),
            "--data",
            data,
            "--out",
            text(&out),
            "--auto-float",
            db,
        ];
        let quick = ["--calib", "10", "--alone", "0", "--requant", "fixed"];
        self.cell(&[&args[..], &quick[..]].concat()).expect("runs");
        let against = [
            "--against",
            text(&self.file),
            "--data",
            data,
            "--limit",
            "10",
        ];
        let close = json(&[&["compare", text(&out)], &against[..]].concat());
        assert!(
            close["output_sqnr_db"].as_f64() >= Some(45.0),
            "{}: {close}",
            self.name
        );
    }
}
