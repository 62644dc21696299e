//! Integer operations with PyTorch's float requantisation.
//!
//! Stored activations are uint8; 128 is subtracted from them and from their zero points.

use wizen::base::{DType, QParams, Range, Requant, Tensor};
use wizen::graph::Device;
use wizen::kernels::binary::{BinaryI8, BinaryOp};
use wizen::kernels::pool::{AvgPoolI8, MaxPool};
use wizen::kernels::product::{Conv2dI8, MatmulI8};
use wizen::kernels::{OutI8, Pool};

use crate::golden::{Outputs, run_kernel};
use crate::golden_array::Array;
use crate::golden_case::{CaseResult, Reader};
use crate::golden_float::{conv_of, outputs, pool_of};

fn signed(x: &Array) -> Array {
    x.map(|q| q - 128.0)
}

fn unsigned(x: &Array) -> Array {
    x.map(|q| q + 128.0)
}

/// The last step of an operation with output `y`; a ReLU raises the range to the zero point.
fn out_of(case: &Reader) -> CaseResult<OutI8> {
    let y = qparams(case, "y")?;
    Ok(OutI8 {
        requant: Requant::Float,
        zero_point: y.zero_point,
        range: y.range,
    })
}

fn qparams(case: &Reader, of: &str) -> CaseResult<QParams> {
    let zero_point = case.integer(&format!("{of}_zero_point"))? - 128;
    let mut range = Range::affine(8);
    if of == "y" && case.flag("relu")? {
        range.qmin = range.qmin.max(zero_point);
    }
    Ok(QParams {
        scale: case.number(&format!("{of}_scale"))? as f32,
        zero_point,
        range,
    })
}

/// Bias and multiplier of a layer with weights `w`, output channels first:
/// `bias[c] = rne(bias / (s_x · s_w[c])) − z_x · Σ w[c]`, `M[c] = s_x · s_w[c] / s_y`.
fn bias_and_multiplier(case: &Reader, w: &Array, out: OutI8) -> CaseResult<(Tensor, Tensor)> {
    let (x, w_scale) = (qparams(case, "x")?, case.input("w_scale")?);
    let y_scale = f64::from(qparams(case, "y")?.scale);
    let bias = case.input("bias")?;
    let channels = w.shape[0];
    let per_channel = w.len() / channels;
    let (mut biases, mut multipliers) = (Vec::new(), Vec::new());
    for (c, slice) in w.data.chunks(per_channel).enumerate() {
        let scale = f64::from(x.scale) * w_scale.data[c];
        let sum: f64 = slice.iter().sum();
        let bias = (bias.data[c] / scale).round_ties_even() - f64::from(x.zero_point) * sum;
        biases.push(bias as i32);
        multipliers.push(scale / y_scale);
    }
    let bias = Tensor::from_i32(&[channels], &biases).map_err(|e| e.to_string())?;
    Ok((bias, out.multipliers(&multipliers)))
}

pub fn linear(case: &Reader, device: &Device) -> CaseResult<Outputs> {
    let (x, w, out) = (case.input("x")?, case.input("w")?, out_of(case)?);
    let (bias, multiplier) = bias_and_multiplier(case, w, out)?;
    let [n, k] = [w.shape[0], w.shape[1]];
    let m = x.len() / k;
    let given = [
        ("x", signed(x).reshaped(&[m, k]).i8()),
        ("w", w.i8()),
        ("bias", bias),
        ("multiplier", multiplier),
    ];
    let y = run_kernel(
        device,
        MatmulI8 {
            m,
            n,
            k,
            out: Some(out),
        },
        &given,
    )?;
    let mut shape = x.shape.clone();
    *shape.last_mut().ok_or("x is a scalar")? = n;
    Ok(outputs([(
        "y",
        unsigned(&Array::of(&y["y"])).reshaped(&shape),
    )]))
}

pub fn conv2d(case: &Reader, device: &Device) -> CaseResult<Outputs> {
    let (x, w) = (
        signed(case.input("x")?).channels_last(),
        case.input("w")?.channels_last(),
    );
    let out = out_of(case)?;
    let (bias, multiplier) = bias_and_multiplier(case, &w, out)?;
    let kernel = Conv2dI8 {
        x: x.dims4(),
        w: w.dims4(),
        conv: conv_of(case)?,
        x_zero_point: qparams(case, "x")?.zero_point,
        out: Some(out),
        residual: None,
    };
    let given = [
        ("x", x.i8()),
        ("w", w.i8()),
        ("bias", bias),
        ("multiplier", multiplier),
    ];
    let y = run_kernel(device, kernel, &given)?;
    Ok(outputs([(
        "y",
        unsigned(&Array::of(&y["y"])).channels_first(),
    )]))
}

pub fn add(case: &Reader, device: &Device) -> CaseResult<Outputs> {
    let (a, b) = (signed(case.input("a")?), signed(case.input("b")?));
    let kernel = BinaryI8 {
        op: BinaryOp::Add,
        a: a.shape.clone(),
        b: b.shape.clone(),
        qa: qparams(case, "a")?,
        qb: qparams(case, "b")?,
        qy: qparams(case, "y")?,
        requant: Requant::Float,
    };
    let y = run_kernel(device, kernel, &[("a", a.i8()), ("b", b.i8())])?;
    Ok(outputs([("y", unsigned(&Array::of(&y["y"])))]))
}

pub fn max_pool(case: &Reader, device: &Device) -> CaseResult<Outputs> {
    let x = signed(case.input("x")?).channels_last();
    let kernel = MaxPool {
        x: x.dims4(),
        pool: pool_of(case)?,
        dtype: DType::I8,
    };
    let y = run_kernel(device, kernel, &[("x", x.i8())])?;
    Ok(outputs([(
        "y",
        unsigned(&Array::of(&y["y"])).channels_first(),
    )]))
}

/// The mean keeps the parameters of `x`.
pub fn global_avg_pool(case: &Reader, device: &Device) -> CaseResult<Outputs> {
    let (x, params) = (
        signed(case.input("x")?).channels_last(),
        qparams(case, "x")?,
    );
    let [n, h, w, c] = x.dims4();
    let out = OutI8 {
        requant: Requant::Float,
        zero_point: params.zero_point,
        range: params.range,
    };
    let kernel = AvgPoolI8 {
        x: x.dims4(),
        pool: Pool::whole(h, w),
        x_zero_point: params.zero_point,
        scale: 1.0,
        out,
    };
    let y = run_kernel(device, kernel, &[("x", x.i8())])?;
    Ok(outputs([(
        "y",
        unsigned(&Array::of(&y["y"])).reshaped(&[n, c, 1, 1]),
    )]))
}

pub fn matmul_i32(case: &Reader, device: &Device) -> CaseResult<Outputs> {
    let (a, b) = (case.input("a")?, case.input("b_transposed")?);
    let ([m, k], n) = ([a.shape[0], a.shape[1]], b.shape[0]);
    let bias = Array::new(&[n], vec![0.0; n]).i32();
    let given = [("x", a.i8()), ("w", b.i8()), ("bias", bias)];
    let y = run_kernel(device, MatmulI8 { m, n, k, out: None }, &given)?;
    Ok(outputs([("c", Array::of(&y["y"]))]))
}
