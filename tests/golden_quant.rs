//! Quantization, fake quantization and observers.
//!
//! uint8 is int8 with 128 subtracted from values and zero points; floats do not notice.

use wizen::base::{DType, QParams, Range, Tensor};
use wizen::graph::Device;
use wizen::kernels::chunks_for;
use wizen::kernels::observe::{
    HistogramState, MinMaxState, ObserveHistogram, ObserveHistogramRange, ObserveMinMax,
    ObserveMovingAverage,
};
use wizen::kernels::quantize::{
    Dequantize, FakeQuant, FakeQuantGrad, FakeQuantScaleGrad, Quantize,
};
use wizen::kernels::reduce::ColumnSum;
use wizen::quant::{Convention, Search, choose, search};

use crate::golden::{Outputs, run_kernel};
use crate::golden_array::Array;
use crate::golden_case::{CaseResult, Reader};
use crate::golden_float::outputs;

/// What is subtracted from the integers of this type.
fn offset(dtype: &str) -> CaseResult<f64> {
    match dtype {
        "u8" => Ok(128.0),
        "i8" => Ok(0.0),
        _ => Err(format!("unknown dtype `{dtype}`")),
    }
}

/// Scale and zero point, one per slice of the axis, and the axis: attributes where they are one for all,
/// inputs where they are many.
fn params(case: &Reader) -> CaseResult<(Array, Array, Option<usize>)> {
    let given = [case.optional("scale"), case.optional("zero_point")];
    let axis = case.attr("axis").map(|_| case.count("axis")).transpose()?;
    if let [Some(scale), Some(zero_point)] = given {
        return Ok((scale.clone(), zero_point.clone(), axis));
    }
    let one = |x: f64| Array::new(&[1], vec![x]);
    Ok((
        one(case.number("scale")?),
        one(case.number("zero_point")?),
        axis,
    ))
}

fn inverse(scale: &Array) -> Tensor {
    Array::new(
        &scale.shape,
        scale.to_f32().iter().map(|&s| f64::from(1.0 / s)).collect(),
    )
    .f32()
}

pub fn quantize(case: &Reader, device: &Device) -> CaseResult<Outputs> {
    let (x, offset) = (case.input("x")?, offset(case.text("dtype")?)?);
    let (scale, zero_point, axis) = params(case)?;
    let zero_point = zero_point.map(|z| z - offset).i32();
    let shape = x.shape.clone();
    let kernel = Quantize {
        shape: shape.clone(),
        axis,
        range: Range::affine(8),
    };
    let given = [
        ("x", x.f32()),
        ("inv_scale", inverse(&scale)),
        ("zero_point", zero_point.clone()),
    ];
    let q = run_kernel(device, kernel, &given)?
        .remove("y")
        .ok_or("no `y`")?;
    let given = [
        ("q", q.clone()),
        ("scale", scale.f32()),
        ("zero_point", zero_point),
    ];
    let dtype = DType::I8;
    let y = run_kernel(device, Dequantize { shape, axis, dtype }, &given)?;
    Ok(outputs([
        ("q", Array::of(&q).map(|q| q + offset)),
        ("dequantized", Array::of(&y["y"])),
    ]))
}

pub fn fake_quantize(case: &Reader, device: &Device) -> CaseResult<Outputs> {
    let (x, dy) = (case.input("x")?, case.input("dy")?);
    let (scale, zero_point, axis) = params(case)?;
    let shape = x.shape.clone();
    let range = Range {
        qmin: case.integer("quant_min")?,
        qmax: case.integer("quant_max")?,
    };
    let (x, dy) = (("x", x.f32()), ("dy", dy.f32()));
    let inv_scale = ("inv_scale", inverse(&scale));
    let (scale, zero_point) = (("scale", scale.f32()), ("zero_point", zero_point.i32()));

    let kernel = FakeQuant {
        shape: shape.clone(),
        axis,
        range,
    };
    let given = [
        x.clone(),
        scale.clone(),
        inv_scale.clone(),
        zero_point.clone(),
    ];
    let y = run_kernel(device, kernel, &given)?;
    let kernel = FakeQuantGrad {
        shape: shape.clone(),
        axis,
        range,
    };
    let given = [x.clone(), inv_scale.clone(), zero_point.clone(), dy.clone()];
    let dx = run_kernel(device, kernel, &given)?;
    let mut found = outputs([("y", Array::of(&y["y"])), ("dx", Array::of(&dx["dx"]))]);

    if case.op() == "fake_quantize_learned_step" {
        let channels = scale.1.len();
        let chunks = chunks_for(x.1.len() / channels);
        let grad_factor = case.number("grad_factor")? as f32;
        let kernel = FakeQuantScaleGrad {
            shape,
            axis,
            range,
            grad_factor,
            chunks,
        };
        let partial = run_kernel(device, kernel, &[x, scale, inv_scale, zero_point, dy])?;
        let kernel = ColumnSum {
            rows: chunks,
            cols: channels,
        };
        let sum = run_kernel(device, kernel, &[("x", partial["partial"].clone())])?;
        found.insert("dscale".to_owned(), Array::of(&sum["y"]));
    }
    Ok(found)
}

/// Scale and zero point as PyTorch's observers choose them.
fn chosen(case: &Reader, ranges: &[(f32, f32)]) -> CaseResult<Outputs> {
    let offset = offset(case.text("dtype")?)?;
    let symmetric = symmetric(case)?;
    let params: Vec<QParams> = ranges
        .iter()
        .map(|&(min, max)| choose(min, max, Range::affine(8), symmetric, Convention::Torch))
        .collect();
    let array =
        |f: &dyn Fn(&QParams) -> f64| Array::new(&[params.len()], params.iter().map(f).collect());
    Ok(outputs([
        ("scale", array(&|q| f64::from(q.scale))),
        ("zero_point", array(&|q| f64::from(q.zero_point) + offset)),
    ]))
}

fn symmetric(case: &Reader) -> CaseResult<bool> {
    match case.text("scheme")? {
        "symmetric" => Ok(true),
        "affine" => Ok(false),
        other => Err(format!("unknown scheme `{other}`")),
    }
}

fn batches<'a>(case: &Reader<'a>) -> CaseResult<Vec<&'a Array>> {
    let batches = case.numbered("batch", 0)?;
    let count = case.count("batches")?;
    if batches.len() == count {
        Ok(batches)
    } else {
        Err(format!("{count} batches expected"))
    }
}

/// Minimum and maximum of `x`, on top of what `state` has seen.
fn observe(device: &Device, x: &Array, axis: Option<usize>, state: Tensor) -> CaseResult<Tensor> {
    let kernel = ObserveMinMax {
        shape: x.shape.clone(),
        axis,
    };
    let mut found = run_kernel(device, kernel, &[("x", x.f32()), ("state", state)])?;
    found.remove("state").ok_or_else(|| "no `state`".into())
}

pub fn min_max(case: &Reader, device: &Device) -> CaseResult<Outputs> {
    let batches = batches(case)?;
    let axis = case.attr("axis").map(|_| case.count("axis")).transpose()?;
    let channels = axis.map_or(1, |axis| batches[0].shape[axis]);
    let mut state = MinMaxState::initial(channels);
    for batch in batches {
        state = observe(device, batch, axis, state)?;
    }
    let seen = MinMaxState::decode(&state).map_err(|e| e.to_string())?;
    let ranges: Option<Vec<_>> = seen.into_iter().map(MinMaxState::range).collect();
    chosen(case, &ranges.ok_or("a channel without values")?)
}

pub fn moving_average(case: &Reader, device: &Device) -> CaseResult<Outputs> {
    let constant = case.number("averaging_constant")? as f32;
    let mut state = ObserveMovingAverage::initial(1);
    for batch in batches(case)? {
        let seen = observe(device, batch, None, MinMaxState::initial(1))?;
        let kernel = ObserveMovingAverage {
            channels: 1,
            constant,
        };
        let given = [("batch", seen), ("state", state)];
        state = run_kernel(device, kernel, &given)?
            .remove("state")
            .ok_or("no `state`")?;
    }
    let ranges = ObserveMovingAverage::decode(&state).map_err(|e| e.to_string())?;
    chosen(case, &[ranges[0].ok_or("no values")?])
}

pub fn histogram(case: &Reader, device: &Device) -> CaseResult<Outputs> {
    let bins = case.count("bins")?;
    let (mut range, mut counts) = (
        HistogramState::initial_range(),
        HistogramState::initial_counts(bins),
    );
    for x in batches(case)? {
        let batch = observe(device, x, None, MinMaxState::initial(1))?;
        let given = [("batch", batch), ("range", range), ("counts", counts)];
        let moved = run_kernel(device, ObserveHistogramRange { bins }, &given)?;
        let kernel = ObserveHistogram {
            shape: x.shape.clone(),
            bins,
        };
        let given = [
            ("x", x.f32()),
            ("range", moved["range"].clone()),
            ("counts", moved["counts"].clone()),
        ];
        let counted = run_kernel(device, kernel, &given)?;
        (range, counts) = (moved["range"].clone(), counted["counts"].clone());
    }
    let state = HistogramState::decode(&range, &counts).map_err(|e| e.to_string())?;
    let (state, levels) = (state.ok_or("no values")?, Range::affine(8));
    let range = search(&state, Search::NonLinear, levels, symmetric(case)?);
    chosen(case, &[range])
}
