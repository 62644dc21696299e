//! Masks and sparsity schedules.

use serde_json::Value;
use wizen::base::Tensor;
use wizen::graph::Device;
use wizen::prune::{Amount, Norm, Schedule, Scope, channel_masks, magnitude_masks, mask_to_bools};

use crate::golden::Outputs;
use crate::golden_array::Array;
use crate::golden_case::{CaseResult, Reader};
use crate::golden_float::outputs;

/// PyTorch's rule: a float is a share, an integer a count.
fn amount_of(value: Option<&Value>) -> CaseResult<Amount> {
    let value = value.ok_or("no `amount` in the attributes")?;
    if let Some(count) = value.as_u64() {
        return Ok(Amount::Count(count as usize));
    }
    value
        .as_f64()
        .map(Amount::Fraction)
        .ok_or_else(|| format!("the amount is {value}"))
}

fn norm_of(name: &str) -> CaseResult<Norm> {
    match name {
        "1" => Ok(Norm::L1),
        "2" => Ok(Norm::L2),
        "inf" => Ok(Norm::Max),
        _ => Err(format!("unknown norm `{name}`")),
    }
}

/// PyTorch's mask: 1 where the weight stays.
fn as_array(mask: &Tensor, shape: &[usize]) -> CaseResult<Array> {
    let keep = mask_to_bools(mask, shape.iter().product()).map_err(|e| e.to_string())?;
    Ok(Array::new(
        shape,
        keep.into_iter()
            .map(|keep| f64::from(u8::from(keep)))
            .collect(),
    ))
}

fn by_magnitude(
    device: &Device,
    weights: &[Tensor],
    old: Option<&Tensor>,
    scope: Scope,
    amount: Amount,
) -> CaseResult<Vec<Tensor>> {
    let weights: Vec<&Tensor> = weights.iter().collect();
    let old = vec![old; weights.len()];
    pollster::block_on(magnitude_masks(device, &weights, &old, scope, amount))
        .map_err(|e| e.to_string())
}

pub fn l1_unstructured(case: &Reader, device: &Device) -> CaseResult<Outputs> {
    let (w, amount) = (case.input("w")?, amount_of(case.attr("amount"))?);
    let masks = by_magnitude(device, &[w.f32()], None, Scope::PerTensor, amount)?;
    Ok(outputs([("mask", as_array(&masks[0], &w.shape)?)]))
}

pub fn ln_structured(case: &Reader, device: &Device) -> CaseResult<Outputs> {
    let (w, amount) = (case.input("w")?, amount_of(case.attr("amount"))?);
    let (norm, dim) = (norm_of(case.text("n")?)?, case.count("dim")?);
    let mask = pollster::block_on(channel_masks(device, &w.f32(), None, norm, dim, amount))
        .map_err(|e| e.to_string())?;
    Ok(outputs([("mask", as_array(&mask, &w.shape)?)]))
}

pub fn global(case: &Reader, device: &Device) -> CaseResult<Outputs> {
    let (weights, amount) = (case.numbered("w", 0)?, amount_of(case.attr("amount"))?);
    let tensors: Vec<Tensor> = weights.iter().map(|w| w.f32()).collect();
    let masks = by_magnitude(device, &tensors, None, Scope::Global, amount)?;
    let mut found = Outputs::new();
    for (i, (mask, w)) in masks.iter().zip(weights).enumerate() {
        found.insert(format!("mask{i}"), as_array(mask, &w.shape)?);
    }
    Ok(found)
}

/// Repeated pruning: every step takes its share of what the steps before have left.
pub fn iterative(case: &Reader, device: &Device) -> CaseResult<Outputs> {
    let w = case.input("w")?;
    let steps = case
        .attr("steps")
        .and_then(Value::as_array)
        .ok_or("no `steps`")?;
    let mut mask: Option<Tensor> = None;
    for step in steps {
        let name = step
            .get(0)
            .and_then(Value::as_str)
            .ok_or("a step without a name")?;
        let amount = amount_of(step.get(1))?;
        mask = Some(match name {
            "l1_unstructured" => {
                by_magnitude(device, &[w.f32()], mask.as_ref(), Scope::PerTensor, amount)?.remove(0)
            }
            _ => {
                let (norm, dim) = name
                    .strip_prefix("ln_structured_n")
                    .and_then(|rest| rest.split_once("_dim"))
                    .ok_or_else(|| format!("unknown pruning step `{name}`"))?;
                let dim = dim.parse().map_err(|e| format!("{name}: {e}"))?;
                let (w, norm) = (w.f32(), norm_of(norm)?);
                let mask = channel_masks(device, &w, mask.as_ref(), norm, dim, amount);
                pollster::block_on(mask).map_err(|e| e.to_string())?
            }
        });
    }
    let mask = mask.ok_or("no steps")?;
    Ok(outputs([("mask", as_array(&mask, &w.shape)?)]))
}

pub fn schedule(case: &Reader) -> CaseResult<Outputs> {
    let schedule = Schedule::Cubic {
        initial: case.number("initial")?,
        target: case.number("final")?,
        begin: case.count("begin_step")?,
        steps: case.count("steps")?,
        frequency: case.count("frequency")?,
    };
    schedule.check().map_err(|e| e.to_string())?;
    Ok(outputs([(
        "sparsity",
        case.input("t")?.map(|t| schedule.sparsity_at(t as usize)),
    )]))
}
