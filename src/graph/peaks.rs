//! What a device can do at best: the figures that the speed of kernels is held against.

use std::sync::Arc;

use serde::Serialize;

use super::plan::Plan;
use super::session::{Session, SessionOptions};
use crate::base::{DType, Rng};
use crate::error::Result;
use crate::gpu::Gpu;
use crate::kernels::movement::Copy;
use crate::kernels::probe::{Arithmetic, Probe};
use crate::kernels::{Access, Cost, Kernel};

/// The highest speeds that probes reached on a device.
///
/// Kernels may multiply f16 and int8 as f32, and do where that is faster; therefore neither peak is below that of
/// f32.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Peaks {
    /// f32 multiply-adds: 10⁹ operations in a second, two to a multiply-add.
    pub f32_gops: f64,
    /// The same in f16, native where the device has it.
    pub f16_gops: f64,
    /// The same in int8 (`dot4I8Packed`).
    pub i8_gops: f64,
    /// A copy from one buffer into another: 10⁹ bytes read and written in a second.
    pub copy_gbs: f64,
}

/// What holds a kernel back at best, and how near it came.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Share {
    /// `arithmetic` or `memory`.
    pub of: Limit,
    /// Time at the peak by time taken. Above 1 where operands come from a cache that the copy does not fit in.
    pub share: f64,
}

/// What limits a kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Limit {
    /// The peak of its precision.
    Arithmetic,
    /// The bandwidth of a copy.
    Memory,
}

impl Peaks {
    /// The peak for operands of this type: integers wider than int8 count as f32.
    pub fn gops(&self, dtype: DType) -> f64 {
        match dtype {
            DType::F16 => self.f16_gops,
            DType::I8 => self.i8_gops,
            DType::F32 | DType::I32 | DType::U32 => self.f32_gops,
        }
    }

    /// How near work that took `seconds` came to what it needs at least: the arithmetic at the peak of
    /// `dtype`, or the bytes at the speed of a copy, whichever takes longer.
    pub fn share(&self, cost: Cost, dtype: DType, seconds: f64) -> Share {
        let arithmetic = cost.operations * 1e-9 / self.gops(dtype);
        let memory = cost.bytes * 1e-9 / self.copy_gbs;
        let of = if arithmetic >= memory {
            Limit::Arithmetic
        } else {
            Limit::Memory
        };
        Share {
            of,
            share: arithmetic.max(memory) / seconds,
        }
    }
}

/// Invocations of a probe: enough for the largest devices.
const INVOCATIONS: usize = 1 << 17;
/// Bytes that are copied: more than caches hold, a quarter of what every device allows.
const COPIED: usize = 64 << 20;
/// A launch takes at least as long, in seconds, for the clock and the driver's own work not to matter.
const LONG: f64 = 0.01;
/// Times that the longest launch is repeated; the fastest counts.
const RUNS: usize = 10;

/// Measures a device, in a second or a few.
///
/// Each figure is the best of several programs, because devices differ in what they like: chains, fused or not,
/// packed or native.
///
/// # Errors
/// What the device reports.
pub async fn measure_peaks(gpu: &Gpu) -> Result<Peaks> {
    let len = INVOCATIONS;
    let mut f32_gops = 0f64;
    for (chains, arithmetic) in [
        (8, Arithmetic::F32),
        (10, Arithmetic::F32),
        (8, Arithmetic::F32Fused),
    ] {
        let probe = |steps| Probe {
            len,
            steps,
            chains,
            arithmetic,
        };
        f32_gops = f32_gops.max(gops(gpu, probe).await?);
    }
    let mut f16_gops = f32_gops;
    if gpu.caps().f16 {
        let probe = |steps| Probe {
            len,
            steps,
            chains: 8,
            arithmetic: Arithmetic::F16Native,
        };
        f16_gops = f16_gops.max(gops(gpu, probe).await?);
    }
    let probe = |steps| Probe {
        len,
        steps,
        chains: 8,
        arithmetic: Arithmetic::I8,
    };
    let i8_gops = f32_gops.max(gops(gpu, probe).await?);
    Ok(Peaks {
        f32_gops,
        f16_gops,
        i8_gops,
        copy_gbs: copy_gbs(gpu, COPIED).await?,
    })
}

/// Operations of a probe in a second: as many rounds as take long enough.
async fn gops<K: Kernel + 'static>(gpu: &Gpu, probe: impl Fn(usize) -> K) -> Result<f64> {
    let mut steps = 1;
    loop {
        let probe = Arc::new(probe(steps));
        let operations = probe.operations();
        let session = resident(gpu, probe).await?;
        // The first launch of a session also waits for its uploads and the driver's compiler.
        session.time_runs(1).await?;
        let seconds = session.time_runs(1).await?;
        if seconds >= LONG || steps >= 1 << 16 {
            let fastest = fastest(&session, 1).await?.min(seconds);
            return Ok(operations / fastest * 1e-9);
        }
        let more = (1.5 * LONG / seconds.max(1e-6)).clamp(2.0, 64.0);
        steps = (steps as f64 * more) as usize;
    }
}

/// Bytes read and written in a second by a copy of `bytes` bytes.
///
/// # Errors
/// What the device reports.
pub async fn copy_gbs(gpu: &Gpu, bytes: usize) -> Result<f64> {
    let copy = Arc::new(Copy { rows: bytes / 16 });
    let moved = copy.cost().bytes;
    let session = resident(gpu, copy).await?;
    session.time_runs(1).await?;
    let seconds = session.time_runs(1).await?;
    let runs = (LONG / seconds.max(1e-6)).ceil().clamp(1.0, 1000.0) as usize;
    Ok(moved / fastest(&session, runs).await? * 1e-9)
}

async fn fastest(session: &Session, runs: usize) -> Result<f64> {
    let mut least = f64::INFINITY;
    for _ in 0..RUNS {
        least = least.min(session.time_runs(runs).await?);
    }
    Ok(least)
}

/// A session that holds random arguments.
async fn resident(gpu: &Gpu, kernel: Arc<dyn Kernel>) -> Result<Session> {
    let args = kernel.example_args(&mut Rng::new(1));
    let bindings = kernel.bindings().into_iter().zip(&args);
    let read = bindings.filter(|(binding, _)| binding.access == Access::Read);
    let inputs: Vec<_> = read.map(|(_, arg)| arg).collect();
    let plan = Arc::new(Plan::single(Arc::clone(&kernel))?);
    let session = Session::new(gpu, plan, SessionOptions::default()).await?;
    session.submit(&inputs)?;
    Ok(session)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_of_what_limits() {
        let peaks = Peaks {
            f32_gops: 10.0,
            f16_gops: 10.0,
            i8_gops: 40.0,
            copy_gbs: 5.0,
        };
        let cost = |operations, bytes| Cost { operations, bytes };
        let product = peaks.share(cost(20e9, 1e9), DType::I8, 1.0);
        assert_eq!((product.of, product.share), (Limit::Arithmetic, 0.5));
        let float = peaks.share(cost(20e9, 1e9), DType::F32, 4.0);
        assert_eq!((float.of, float.share), (Limit::Arithmetic, 0.5));
        let copy = peaks.share(cost(0.0, 5e9), DType::U32, 2.0);
        assert_eq!((copy.of, copy.share), (Limit::Memory, 0.5));
    }
}
