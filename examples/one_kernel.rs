//! One kernel, by hand: open a GPU, upload, run, read back, and compare with the CPU reference.
//!
//! `cargo run --release --example one_kernel`

use std::sync::Arc;

use wizen::base::{Range, Requant, Tensor};
use wizen::gpu::Gpu;
use wizen::graph::{Plan, Session, SessionOptions};
use wizen::kernels::{Kernel, OutI8, product::MatmulI8};

fn main() -> wizen::Result<()> {
    pollster::block_on(async {
        let gpu = Gpu::open().await?;
        let out = OutI8 {
            requant: Requant::Fixed,
            zero_point: -3,
            range: Range::affine(8),
        };
        let (m, n, k) = (2, 3, 5);
        let kernel = Arc::new(MatmulI8 {
            m,
            n,
            k,
            out: Some(out),
        });
        let x = Tensor::from_i8(&[m, k], &[1, -2, 3, -4, 5, 60, 70, 80, 90, 100])?;
        let w = Tensor::from_i8(&[n, k], &[10, 0, 0, 0, 0, 0, 20, 0, 0, 0, 1, 1, 1, 1, 1])?;
        let bias = Tensor::from_i32(&[n], &[0, 100, -7])?;
        let multiplier = out.multipliers(&[0.05; 3]);

        let plan = Arc::new(Plan::single(kernel.clone())?);
        let session = Session::new(&gpu, plan, SessionOptions::default()).await?;
        let y = session
            .run(&[&x, &w, &bias, &multiplier])?
            .await?
            .swap_remove(0);

        let mut args = [x, w, bias, multiplier, Tensor::zeros(&[m, n], y.dtype())];
        kernel.cpu(&mut args)?;
        println!("{}: {:?}", gpu.caps().name, y.to_i8()?);
        println!("CPU reference: {:?}", args[4].to_i8()?);
        assert_eq!(y, args[4], "integers are equal on every device");
        Ok(())
    })
}
