use crate::harness;
use std::sync::Arc;
use wizen::base::*;
use wizen::graph::*;
use wizen::kernels::*;

pub fn gops(name: &str, kernel: Arc<dyn Kernel>) {
    let Some(gpu) = harness::gpu() else { return };
    let plan = Arc::new(Plan::single(Arc::clone(&kernel)).unwrap());
    let args = kernel.example_args(&mut Rng::new(1));
    let session = pollster::block_on(Session::new(
        &gpu,
        Arc::clone(&plan),
        SessionOptions::default(),
    ))
    .unwrap();
    let inputs: Vec<&Tensor> = args.iter().take(plan.inputs.len()).collect();
    let mut best = f64::INFINITY;
    let _ = pollster::block_on(session.profile(&inputs)).unwrap();
    let cpu = || {
        let s = std::fs::read_to_string("/proc/self/stat").unwrap();
        let f: Vec<&str> = s.rsplit(')').next().unwrap().split_whitespace().collect();
        f[11].parse::<f64>().unwrap() / 100.0
    };
    let reps = (2e9 / kernel.operations()).ceil().min(300.0);
    let c0 = cpu();
    for _ in 0..reps as usize {
        session.submit(&inputs).unwrap();
    }
    let _ = pollster::block_on(session.profile(&inputs)).unwrap();
    let c1 = (cpu() - c0) / reps;
    for _ in 0..10 {
        let t = pollster::block_on(session.profile(&inputs)).unwrap();
        best = best.min(t[0]);
    }
    println!(
        "{name}: {:.3} ms, {:.2} GOP/s wall; {:.2} GOP/s at two whole cores",
        best * 1e3,
        kernel.operations() / best / 1e9,
        2e-9 * kernel.operations() / c1
    );
}

#[derive(Debug)]
struct FromFile(Arc<dyn Kernel>, String, usize);
impl Kernel for FromFile {
    fn name(&self) -> &'static str {
        self.0.name()
    }
    fn bindings(&self) -> Vec<Binding> {
        self.0.bindings()
    }
    fn launch(&self, caps: &Caps) -> wizen::Result<Launch> {
        let mut launch = self.0.launch(caps)?;
        launch.source = std::fs::read_to_string(&self.1).unwrap().into();
        if self.2 > 0 {
            launch.workgroups = grid_1d(self.2, 1, caps);
        }
        Ok(launch)
    }
    fn cpu(&self, args: &mut [Tensor]) -> wizen::Result<()> {
        self.0.cpu(args)
    }
    fn agreement(&self, args: &[Tensor]) -> wizen::Result<Vec<Agreement>> {
        self.0.agreement(args)
    }
    fn operations(&self) -> f64 {
        self.0.operations()
    }
    fn example_args(&self, rng: &mut Rng) -> Vec<Tensor> {
        self.0.example_args(rng)
    }
}

// VARIANTS="file:rows:words:wg,..." : rows and words of y that one invocation makes
#[test]
fn variants() {
    let Ok(list) = std::env::var("VARIANTS") else {
        return;
    };
    let out = OutI8 {
        requant: Requant::Float,
        zero_point: 3,
        range: Range::affine(8),
    };
    for item in list.split(',') {
        let parts: Vec<&str> = item.split(':').collect();
        let num = |i: usize| parts[i].parse::<usize>().unwrap();
        for (m, n, k) in [(256usize, 256usize, 256usize)] {
            let groups = (m.div_ceil(num(1)) * n.div_ceil(4 * num(2))).div_ceil(num(3));
            let kernel = || {
                Arc::new(FromFile(
                    Arc::new(matmul_i8::MatmulI8 { m, n, k, out }),
                    parts[0].into(),
                    groups,
                ))
            };
            if m == 64 && parts.len() < 5 {
                harness::check_with(kernel(), kernel().example_args(&mut Rng::new(5)));
            }
            gops(&format!("{item} {m} {n} {k}"), kernel());
        }
    }
}

#[test]
fn perf_matmul() {
    let out = OutI8 {
        requant: Requant::Float,
        zero_point: 3,
        range: Range::affine(8),
    };
    for (m, n, k) in [
        (512, 512, 512),
        (1024, 1024, 1024),
        (64, 120, 400),
        (64, 84, 120),
        (64, 10, 84),
    ] {
        gops(
            &format!("matmul {m} {n} {k}"),
            Arc::new(matmul_i8::MatmulI8 { m, n, k, out }),
        );
    }
}

#[test]
fn perf_conv() {
    let out = OutI8 {
        requant: Requant::Float,
        zero_point: 3,
        range: Range::affine(8),
    };
    let conv = |padding, groups| Conv {
        stride: 1,
        padding,
        dilation: 1,
        groups,
    };
    for (name, x, w, conv) in [
        (
            "56x56x64->64 k3",
            [1, 56, 56, 64],
            [64, 3, 3, 64],
            conv(1, 1),
        ),
        (
            "28x28x1->6 k5 b64",
            [64, 28, 28, 1],
            [6, 5, 5, 1],
            conv(2, 1),
        ),
        (
            "14x14x6->16 k5 b64",
            [64, 14, 14, 6],
            [16, 5, 5, 6],
            conv(0, 1),
        ),
        (
            "56x56x64 depthwise k3",
            [1, 56, 56, 64],
            [64, 3, 3, 1],
            conv(1, 64),
        ),
    ] {
        gops(
            &format!("conv {name}"),
            Arc::new(conv2d_i8::Conv2dI8 {
                x,
                w,
                conv,
                x_zero_point: 3,
                out,
            }),
        );
    }
}
