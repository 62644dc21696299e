//! Float operations: forward and every gradient.

use wizen::base::{DType, Tensor};
use wizen::graph::Device;
use wizen::kernels::loss::{Criterion, Loss, LossGrad};
use wizen::kernels::map::{Map, MapGrad, Unary};
use wizen::kernels::norm::{
    BatchNorm, BatchNormEvalGrad, BatchNormGrad, BatchNormGradParams, BatchNormStats, Statistics,
};
use wizen::kernels::pool::{AvgPool, AvgPoolGrad, MaxPool, MaxPoolGrad};
use wizen::kernels::product::{
    By, Conv2d, Conv2dGradInput, Conv2dGradWeight, Float, Matmul, MatmulGrad,
};
use wizen::kernels::reduce::ColumnSum;
use wizen::kernels::{Conv, Pool};

use crate::golden::{Outputs, run_kernel};
use crate::golden_array::Array;
use crate::golden_case::{CaseResult, Reader};

/// Outputs by role.
pub fn outputs<const N: usize>(roles: [(&str, Array); N]) -> Outputs {
    roles
        .into_iter()
        .map(|(role, array)| (role.to_owned(), array))
        .collect()
}

/// Stride, padding, dilation, groups.
pub fn conv_of(case: &Reader) -> CaseResult<Conv> {
    let count = |name| case.count(name);
    let (stride, padding) = (count("stride")?, count("padding")?);
    Ok(Conv::square(
        stride,
        padding,
        count("dilation")?,
        count("groups")?,
    ))
}

/// Kernel, stride, padding.
pub fn pool_of(case: &Reader) -> CaseResult<Pool> {
    Ok(Pool::square(
        case.count("kernel")?,
        case.count("stride")?,
        case.count("padding")?,
    ))
}

/// `[rows, columns]`: the last axis against all others.
fn rows_and_columns(array: &Array) -> [usize; 2] {
    let columns = array.shape.last().copied().unwrap_or(1);
    [array.len() / columns, columns]
}

fn flat(array: &Array) -> Tensor {
    array.clone().reshaped(&rows_and_columns(array)).f32()
}

pub fn linear(case: &Reader, device: &Device) -> CaseResult<Outputs> {
    let (x, w, dy) = (case.input("x")?, case.input("w")?, case.input("dy")?);
    let bias = case.input("bias")?;
    let [m, k] = rows_and_columns(x);
    let n = w.shape[0];
    let kernel = Matmul {
        m,
        n,
        k,
        float: Float::F32,
        act: None,
    };
    let given = [("x", flat(x)), ("w", w.f32()), ("bias", bias.f32())];
    let y = run_kernel(device, kernel, &given)?;
    let given = [("dy", flat(dy)), ("w", w.f32())];
    let dx = run_kernel(
        device,
        MatmulGrad {
            m,
            n,
            k,
            by: By::Input,
        },
        &given,
    )?;
    let given = [("dy", flat(dy)), ("x", flat(x))];
    let dw = run_kernel(
        device,
        MatmulGrad {
            m,
            n,
            k,
            by: By::Weight,
        },
        &given,
    )?;
    let dbias = run_kernel(device, ColumnSum { rows: m, cols: n }, &[("x", flat(dy))])?;
    Ok(outputs([
        ("y", Array::of(&y["y"]).reshaped(&dy.shape)),
        ("dx", Array::of(&dx["dx"]).reshaped(&x.shape)),
        ("dw", Array::of(&dw["dw"])),
        ("dbias", Array::of(&dbias["y"])),
    ]))
}

pub fn conv2d(case: &Reader, device: &Device) -> CaseResult<Outputs> {
    let (x, w, dy) = (case.input("x")?, case.input("w")?, case.input("dy")?);
    let (x, w, dy) = (x.channels_last(), w.channels_last(), dy.channels_last());
    let (bias, conv) = (case.input("bias")?, conv_of(case)?);
    let (xs, ws) = (x.dims4(), w.dims4());
    let kernel = Conv2d {
        x: xs,
        w: ws,
        conv,
        float: Float::F32,
        act: None,
        residual: false,
    };
    let given = [("x", x.f32()), ("w", w.f32()), ("bias", bias.f32())];
    let y = run_kernel(device, kernel, &given)?;
    let kernel = Conv2dGradInput { x: xs, w: ws, conv };
    let dx = run_kernel(device, kernel, &[("dy", dy.f32()), ("w", w.f32())])?;
    let kernel = Conv2dGradWeight {
        x: xs,
        w: ws,
        conv,
        parts: 1,
    };
    let dw = run_kernel(device, kernel, &[("dy", dy.f32()), ("x", x.f32())])?;
    let [rows, cols] = rows_and_columns(&dy);
    let dbias = run_kernel(device, ColumnSum { rows, cols }, &[("x", flat(&dy))])?;
    Ok(outputs([
        ("y", Array::of(&y["y"]).channels_first()),
        ("dx", Array::of(&dx["dx"]).channels_first()),
        ("dw", Array::of(&dw["dw"]).channels_first()),
        ("dbias", Array::of(&dbias["y"])),
    ]))
}

pub fn relu(case: &Reader, device: &Device) -> CaseResult<Outputs> {
    let (x, dy) = (case.input("x")?, case.input("dy")?);
    let shape = x.shape.clone();
    let (dtype, f) = (DType::F32, Unary::Relu);
    let kernel = Map {
        shape: shape.clone(),
        dtype,
        f,
    };
    let y = run_kernel(device, kernel, &[("x", x.f32())])?;
    let given = [("x", y["y"].clone()), ("dy", dy.f32())];
    let dx = run_kernel(device, MapGrad { shape, f }, &given)?;
    Ok(outputs([
        ("y", Array::of(&y["y"])),
        ("dx", Array::of(&dx["dx"])),
    ]))
}

pub fn max_pool(case: &Reader, device: &Device) -> CaseResult<Outputs> {
    let (x, dy) = (
        case.input("x")?.channels_last(),
        case.input("dy")?.channels_last(),
    );
    let pool = pool_of(case)?;
    let kernel = MaxPool {
        x: x.dims4(),
        pool,
        dtype: DType::F32,
    };
    let y = run_kernel(device, kernel, &[("x", x.f32())])?;
    let given = [("x", x.f32()), ("dy", dy.f32())];
    let dx = run_kernel(
        device,
        MaxPoolGrad {
            x: x.dims4(),
            pool,
            relu: false,
        },
        &given,
    )?;
    Ok(outputs([
        ("y", Array::of(&y["y"]).channels_first()),
        ("dx", Array::of(&dx["dx"]).channels_first()),
    ]))
}

pub fn global_avg_pool(case: &Reader, device: &Device) -> CaseResult<Outputs> {
    let (x, dy) = (case.input("x")?.channels_last(), case.input("dy")?);
    let [n, h, w, c] = x.dims4();
    let (dtype, pool, dims) = (DType::F32, Pool::whole(h, w), x.dims4());
    let kernel = AvgPool {
        x: dims,
        pool,
        dtype,
    };
    let y = run_kernel(device, kernel, &[("x", x.f32())])?;
    let given = [("dy", dy.clone().reshaped(&[n, 1, 1, c]).f32())];
    let dx = run_kernel(device, AvgPoolGrad { x: dims, pool }, &given)?;
    Ok(outputs([
        ("y", Array::of(&y["y"]).reshaped(&dy.shape)),
        ("dx", Array::of(&dx["dx"]).channels_first()),
    ]))
}

/// A `[rows, channels]` result as a PyTorch image like `x` (which is channels last).
fn image(result: &Tensor, x: &Array) -> Array {
    Array::of(result).reshaped(&x.shape).channels_first()
}

pub fn batch_norm_eval(case: &Reader, device: &Device) -> CaseResult<Outputs> {
    let (x, dy) = (
        case.input("x")?.channels_last(),
        case.input("dy")?.channels_last(),
    );
    let (gamma, beta) = (case.input("gamma")?.f32(), case.input("beta")?.f32());
    let mean = case.input("running_mean")?.f32();
    let variance = case.input("running_var")?.f32();
    let eps = case.number("eps")? as f32;
    let [rows, channels] = rows_and_columns(&x);
    let given = [
        ("x", flat(&x)),
        ("gamma", gamma.clone()),
        ("beta", beta),
        ("mean", mean.clone()),
        ("spread", variance.clone()),
    ];
    let y = run_kernel(
        device,
        BatchNorm {
            rows,
            channels,
            statistics: Statistics::Running { eps },
        },
        &given,
    )?;
    let given = [
        ("dy", flat(&dy)),
        ("gamma", gamma),
        ("variance", variance.clone()),
    ];
    let dx = run_kernel(
        device,
        BatchNormEvalGrad {
            rows,
            channels,
            eps,
        },
        &given,
    )?;
    let inv_std = run_kernel(
        device,
        Map {
            shape: vec![channels],
            dtype: DType::F32,
            f: Unary::InvStd { eps },
        },
        &[("x", variance)],
    )?;
    let given = [
        ("x", flat(&x)),
        ("dy", flat(&dy)),
        ("mean", mean),
        ("inv_std", inv_std["y"].clone()),
    ];
    let params = run_kernel(device, BatchNormGradParams { rows, channels }, &given)?;
    Ok(outputs([
        ("y", image(&y["y"], &x)),
        ("dx", image(&dx["dx"], &x)),
        ("dgamma", Array::of(&params["dgamma"])),
        ("dbeta", Array::of(&params["dbeta"])),
    ]))
}

pub fn batch_norm_train(case: &Reader, device: &Device) -> CaseResult<Outputs> {
    let (x, dy) = (
        case.input("x")?.channels_last(),
        case.input("dy")?.channels_last(),
    );
    let (gamma, beta) = (case.input("gamma")?.f32(), case.input("beta")?.f32());
    let (eps, momentum) = (case.number("eps")? as f32, case.number("momentum")? as f32);
    let [rows, channels] = rows_and_columns(&x);
    let given = [
        ("x", flat(&x)),
        ("running_mean", case.input("running_mean")?.f32()),
        ("running_variance", case.input("running_var")?.f32()),
    ];
    let stats = run_kernel(
        device,
        BatchNormStats {
            rows,
            channels,
            eps,
            momentum,
        },
        &given,
    )?;
    let (mean, inv_std) = (
        ("mean", stats["mean"].clone()),
        ("inv_std", stats["inv_std"].clone()),
    );
    let given = [
        ("x", flat(&x)),
        ("gamma", gamma.clone()),
        ("beta", beta),
        mean.clone(),
        ("spread", stats["inv_std"].clone()),
    ];
    let kernel = BatchNorm {
        rows,
        channels,
        statistics: Statistics::Batch,
    };
    let y = run_kernel(device, kernel, &given)?;
    let given = [
        ("x", flat(&x)),
        ("dy", flat(&dy)),
        mean.clone(),
        inv_std.clone(),
    ];
    let params = run_kernel(device, BatchNormGradParams { rows, channels }, &given)?;
    let given = [
        ("x", flat(&x)),
        ("dy", flat(&dy)),
        ("gamma", gamma),
        mean,
        inv_std,
        ("dgamma", params["dgamma"].clone()),
        ("dbeta", params["dbeta"].clone()),
    ];
    let dx = run_kernel(device, BatchNormGrad { rows, channels }, &given)?;
    Ok(outputs([
        ("y", image(&y["y"], &x)),
        ("dx", image(&dx["dx"], &x)),
        ("dgamma", Array::of(&params["dgamma"])),
        ("dbeta", Array::of(&params["dbeta"])),
        ("running_mean", Array::of(&stats["running_mean"])),
        ("running_var", Array::of(&stats["running_variance"])),
    ]))
}

pub fn softmax_cross_entropy(case: &Reader, device: &Device) -> CaseResult<Outputs> {
    let (logits, labels) = (case.input("logits")?, case.input("labels")?);
    let ([rows, cols], criterion) = (rows_and_columns(logits), Criterion::CrossEntropy);
    let given = [("x", logits.f32()), ("wanted", labels.u32())];
    let loss = Loss {
        criterion,
        rows,
        cols,
    };
    let loss = run_kernel(device, loss, &given)?;
    let grad = LossGrad {
        criterion,
        rows,
        cols,
    };
    let dx = run_kernel(device, grad, &given)?;
    Ok(outputs([
        ("loss", Array::of(&loss["loss"])),
        ("dlogits", Array::of(&dx["dx"])),
    ]))
}
