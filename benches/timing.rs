//! Sessions that were checked against the CPU before they are timed.

use std::sync::Arc;

use wizen::base::{Rng, Tensor};
use wizen::gpu::{Access, Gpu};
use wizen::graph::{Kind, Plan, Session, SessionOptions};
use wizen::kernels::{Kernel, Variant};

use crate::shapes::{Case, WithRows};

/// A session of a case that holds random arguments. Its result agrees with the CPU's, or it panics.
pub fn checked(gpu: &Gpu, case: &Case, variant: Variant) -> Session {
    let session = pollster::block_on(check(gpu, case, variant));
    session.unwrap_or_else(|error| panic!("{}/{variant}: {error}", case.name))
}

async fn check(gpu: &Gpu, case: &Case, variant: Variant) -> wizen::Result<Session> {
    let kernel = &case.kernel;
    let args = kernel.example_args(&mut Rng::new(1));
    let mut plan = Plan::single(Arc::clone(kernel))?;
    plan.steps[0].variant = Some(variant);
    let plan = Arc::new(plan);
    let session = Session::new(gpu, Arc::clone(&plan), SessionOptions::default()).await?;
    let mut inputs = Vec::new();
    for (value, arg) in plan.values.iter().zip(&args) {
        match value.kind {
            Kind::Input => inputs.push(arg),
            Kind::State(_) => session.write(&value.name, arg)?,
            Kind::Const(_) | Kind::Temp => {}
        }
    }
    let got = session.run(&inputs)?.await?;
    match &case.rows {
        None => compare(kernel, args, &got)?,
        Some(with_rows) => {
            let (args, got) = some_rows(with_rows, args, &got[0])?;
            compare(&with_rows(CHECKED), args, &[got])?;
        }
    }
    Ok(session)
}

/// Rows of a large product that are computed on the CPU.
const CHECKED: usize = 8;

/// The first, the last and evenly spaced rows between, of `x` and of the result.
fn some_rows(
    with_rows: &WithRows,
    mut args: Vec<Tensor>,
    got: &Tensor,
) -> wizen::Result<(Vec<Tensor>, Tensor)> {
    let small = with_rows(CHECKED).bindings();
    let rows = got.shape()[0];
    let pick = |tensor: &Tensor, shape: &[usize]| {
        let width = tensor.words().len() / rows;
        let words = (0..CHECKED).flat_map(|i| {
            let row = i * (rows - 1) / (CHECKED - 1);
            tensor.words()[row * width..(row + 1) * width].to_vec()
        });
        Tensor::from_words(shape, tensor.dtype(), words.collect())
    };
    let last = small.len() - 1;
    args[0] = pick(&args[0], &small[0].shape)?;
    args[last] = Tensor::zeros(&small[last].shape, small[last].dtype);
    Ok((args, pick(got, &small[last].shape)?))
}

/// Compares every result with the CPU's.
fn compare(kernel: &Arc<dyn Kernel>, mut args: Vec<Tensor>, got: &[Tensor]) -> wizen::Result<()> {
    let agreement = kernel.agreement(&args)?;
    kernel.cpu(&mut args)?;
    let bindings = kernel.bindings();
    let written = (0..args.len()).filter(|&i| bindings[i].access != Access::Read);
    let written: Vec<usize> = written.collect();
    assert_eq!(
        written.len(),
        got.len(),
        "{kernel:?}: one result per output"
    );
    for (i, got) in written.into_iter().zip(got) {
        let result = agreement[i].compare(got, &args[i]);
        let name = bindings[i].name;
        assert_eq!(result.violations, 0, "{kernel:?}: `{name}`: {result:?}");
    }
    Ok(())
}
