//! Answers that are no numbers, and where they come from.

use super::executor::Device;
use super::lower::lower;
use super::session::SessionOptions;
use super::values::Graph;
use crate::base::{DType, Tensor};
use crate::error::{Error, Result};
use crate::kernels::Access;

/// Checks that results of `graph` are finite.
///
/// # Errors
/// [`Error::Invalid`] if one is not, naming the first layer, in running order, of which that is true (the network
/// runs once more to find it), or the input that was not finite already; what the device reports.
pub async fn check_finite(
    device: &Device,
    graph: &Graph,
    inputs: &[&Tensor],
    results: &[Tensor],
) -> Result<()> {
    let Some(bad) = results.iter().find_map(not_finite) else {
        return Ok(());
    };
    for (&id, input) in graph.inputs().iter().zip(inputs) {
        if let Some(bad) = not_finite(input) {
            let problem = format!("its elements must be finite, one is {bad}");
            return Err(Error::invalid(&graph.value(id).name, problem));
        }
    }
    let options = SessionOptions {
        trace: true,
        ..SessionOptions::default()
    };
    let plan = lower(graph, &device.caps())?;
    let mut executor = device.load_with(plan, options).await?;
    let values = executor.trace(inputs).await?;
    let plan = executor.plan();
    for step in &plan.steps {
        let bindings = step.kernel.bindings();
        for (binding, &arg) in bindings.iter().zip(&step.args) {
            let written = binding.access != Access::Read;
            if let Some(bad) = values[arg]
                .as_ref()
                .filter(|_| written)
                .and_then(not_finite)
            {
                return Err(overflow(&step.name, bad, plan.values[arg].dtype));
            }
        }
    }
    Err(overflow("the network", bad, DType::F32))
}

/// The sentence about a layer whose result is not finite.
pub(crate) fn overflow(layer: &str, bad: f64, dtype: DType) -> Error {
    // A conversion is named by the layer that it is made for.
    let layer = layer.rsplit_once(" at ").map_or(layer, |(_, layer)| layer);
    let problem = match dtype {
        DType::F16 => format!(
            "it has elements that fp16 cannot hold (above 65504), the first is {bad}; take int8, or keep \
             this layer in fp32 with --layer {layer}=float, or the network in fp32"
        ),
        _ => format!(
            "it is the first layer whose result is not finite: {bad}; the weights are damaged, or too large for \
             their precision"
        ),
    };
    Error::invalid(layer, problem)
}

/// The first element that is infinite or NaN.
pub(crate) fn not_finite(tensor: &Tensor) -> Option<f64> {
    match tensor.dtype() {
        DType::F32 | DType::F16 => tensor.to_f64().into_iter().find(|x| !x.is_finite()),
        DType::I8 | DType::I32 | DType::U32 => None,
    }
}
