//! Square products, operands and results resident on the device.

use std::sync::Arc;

use burn::tensor::{DType, Tensor as BurnTensor, TensorData};
use wizen::base::{Range, Requant, Rng, Tensor};
use wizen::graph::{Kind, Plan, Session, SessionOptions};
use wizen::kernels::product::{Float, Matmul, MatmulI8};
use wizen::kernels::{Kernel, OutI8};
use wizen::wgpu::PollType;

use crate::Result;
use crate::device::Both;
use crate::report::{Row, take_turns};

const N: usize = 1024;
/// Products of one run.
const LAUNCHES: usize = 4;
const ROUNDS: usize = 9;

pub fn rows(both: &Both) -> Result<Vec<Row>> {
    let (m, n, k) = (N, N, N);
    let matmul = |float| -> Arc<dyn Kernel> {
        Arc::new(Matmul {
            m,
            n,
            k,
            float,
            act: None,
        })
    };
    let (f32, f16) = (matmul(Float::F32), matmul(Float::F16));
    let out = OutI8 {
        requant: Requant::Float,
        zero_point: 0,
        range: Range::affine(8),
    };
    let i8: Arc<dyn Kernel> = Arc::new(MatmulI8 {
        m,
        n,
        k,
        out: Some(out),
    });
    // burn has no bias: in floats wizen's is zero.
    let args_f32 = without_bias(f32.example_args(&mut Rng::new(1)));
    let args_f16 = without_bias(f16.example_args(&mut Rng::new(2)));
    let args_i8 = i8.example_args(&mut Rng::new(3));

    let burn_f32 = [
        x(both, &args_f32, DType::F32),
        w(both, &args_f32, DType::F32),
    ];
    check(&f32, &args_f32, &product(&burn_f32, &args_f32)?, "burn f32")?;
    let burn_f16 = [
        x(both, &args_f16, DType::F16),
        w(both, &args_f16, DType::F16),
    ];
    check(&f16, &args_f16, &product(&burn_f16, &args_f16)?, "burn f16")?;
    let scheme = both.burn.settings().quantization.scheme;
    eprintln!("burn's quantized product: {scheme:?}");
    let burn_q = burn_f32
        .clone()
        .map(|tensor| tensor.quantize_dynamic(&scheme));
    // Operands as they are once quantized: their product is what burn owes.
    let [qx, qw] = burn_q.clone().map(|tensor| tensor.dequantize());
    let mut args_q = args_f32.clone();
    args_q[0] = Tensor::from_f32(&[N, N], &floats(qx)?)?;
    args_q[1] = Tensor::from_f32(&[N, N], &floats(qw.transpose())?)?;
    check(&f32, &args_q, &product(&burn_q, &args_q)?, "burn quantized")?;

    let mut rows = Vec::new();
    for (name, kernel, args, burn) in [
        ("matmul 1024, fp32", &f32, &args_f32, &burn_f32),
        ("matmul 1024, fp16", &f16, &args_f16, &burn_f16),
        ("matmul 1024, int8", &i8, &args_i8, &burn_q),
    ] {
        let session = session(both, kernel, args)?;
        let times = take_turns(ROUNDS, || launch(both, &session), || multiply(both, burn))?;
        let per_product = |times: Vec<f64>| times.iter().map(|ms| ms / LAUNCHES as f64).collect();
        let times = (per_product(times.0), per_product(times.1));
        rows.push(Row::new(
            name,
            (kernel.cost().operations * 1e-9, "GOP/s"),
            times,
        ));
    }
    Ok(rows)
}

fn without_bias(mut args: Vec<Tensor>) -> Vec<Tensor> {
    args[2] = Tensor::zeros(args[2].shape(), args[2].dtype());
    args
}

fn x(both: &Both, args: &[Tensor], dtype: DType) -> BurnTensor<2> {
    let data = TensorData::new(args[0].to_f32(), [N, N]).convert_dtype(dtype);
    BurnTensor::from_data(data, (&both.burn, dtype))
}

/// burn multiplies rows by columns: `w` as it wants it, rows of `[k, n]`.
fn w(both: &Both, args: &[Tensor], dtype: DType) -> BurnTensor<2> {
    let w = args[1].to_f32();
    let transposed: Vec<f32> = (0..N * N).map(|i| w[i % N * N + i / N]).collect();
    let data = TensorData::new(transposed, [N, N]).convert_dtype(dtype);
    BurnTensor::from_data(data, (&both.burn, dtype))
}

fn floats<const D: usize>(tensor: BurnTensor<D>) -> Result<Vec<f32>> {
    Ok(tensor
        .into_data()
        .convert_dtype(DType::F32)
        .try_into_vec::<f32>()?)
}

/// burn's product, in the type of `like`.
fn product([x, w]: &[BurnTensor<2>; 2], like: &[Tensor]) -> Result<Tensor> {
    let values = floats(x.clone().matmul(w.clone()))?;
    let mut y = like.last().ok_or("a product has a result")?.clone();
    y.store_f64(&values.into_iter().map(f64::from).collect::<Vec<_>>())?;
    Ok(y)
}

/// Holds a product against the reference, as closely as wizen's own kernel has to agree with it.
fn check(kernel: &Arc<dyn Kernel>, args: &[Tensor], got: &Tensor, who: &str) -> Result<()> {
    let mut args = args.to_vec();
    let agreement = kernel.agreement(&args)?;
    kernel.cpu(&mut args)?;
    let (Some(want), Some(agreement)) = (args.last(), agreement.last()) else {
        return Err("a product has a result".into());
    };
    let found = agreement.compare(got, want);
    if found.violations > 0 {
        return Err(format!("{who} is wrong: {found:?}").into());
    }
    Ok(())
}

/// A session that holds the arguments, checked.
fn session(both: &Both, kernel: &Arc<dyn Kernel>, args: &[Tensor]) -> Result<Session> {
    let plan = Arc::new(Plan::single(Arc::clone(kernel))?);
    both.tune(&plan)?;
    let session = Session::new(&both.gpu, Arc::clone(&plan), SessionOptions::default());
    let session = pollster::block_on(session)?;
    let bound = plan.values.iter().zip(args);
    let inputs = bound.filter(|(value, _)| matches!(value.kind, Kind::Input));
    let inputs: Vec<_> = inputs.map(|(_, arg)| arg).collect();
    let got = pollster::block_on(session.run(&inputs)?)?.swap_remove(0);
    check(kernel, args, &got, &format!("wizen's {}", kernel.name()))?;
    Ok(session)
}

fn launch(both: &Both, session: &Session) -> Result<()> {
    let mut encoder = both
        .gpu
        .device()
        .create_command_encoder(&Default::default());
    for _ in 0..LAUNCHES {
        session.record(&mut encoder);
    }
    let submission = both.gpu.queue().submit([encoder.finish()]);
    both.gpu.device().poll(PollType::Wait {
        submission_index: Some(submission),
        timeout: None,
    })?;
    Ok(())
}

fn multiply(both: &Both, [x, w]: &[BurnTensor<2>; 2]) -> Result<()> {
    // Results stay alive until the device is done: none may be left out as unused.
    let results: Vec<_> = (0..LAUNCHES).map(|_| x.clone().matmul(w.clone())).collect();
    both.burn.sync()?;
    drop(results);
    Ok(())
}
