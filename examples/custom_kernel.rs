//! A kernel from outside the crate: its own WGSL, its own CPU twin, used alone and inside a network.
//!
//! `cargo run --release --example custom_kernel`

use std::sync::Arc;

use wizen::base::{DType, Tensor, num_elements};
use wizen::gpu::Gpu;
use wizen::graph::ops::Custom;
use wizen::graph::{Device, Graph, lower};
use wizen::kernels::{
    Agreement, Binding, Caps, Kernel, Launch, Spec, grid_1d, params_bytes, ulp_f32,
};

/// `y = x · clamp(x + 3, 0, 6) / 6`, MobileNet's hard swish.
#[derive(Debug)]
struct HardSwish {
    shape: Vec<usize>,
}

const WGSL: &str = "
//# include common/index.wgsl
@group(0) @binding(0) var<storage, read> x: array<f32>;        // [len]
@group(0) @binding(1) var<storage, read_write> y: array<f32>;  // [len]
@group(1) @binding(0) var<uniform> params: vec4<u32>;          // len

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32,
        @builtin(num_workgroups) groups: vec3<u32>) {
    let i = linear_id(group, local, groups, 64u);
    if i >= params.x { return; }
    y[i] = x[i] * (clamp(x[i] + 3.0, 0.0, 6.0) * (1.0 / 6.0));
}
";

impl Kernel for HardSwish {
    fn name(&self) -> &'static str {
        "hard_swish"
    }

    fn bindings(&self) -> Vec<Binding> {
        vec![
            Binding::read("x", DType::F32, self.shape.clone()),
            Binding::write("y", DType::F32, self.shape.clone()),
        ]
    }

    fn launch(&self, caps: &Caps) -> wizen::Result<Launch> {
        let len = num_elements(&self.shape);
        Ok(Launch {
            source: WGSL.into(),
            spec: Spec::new(),
            params: params_bytes(&[len as u32, 0, 0, 0]),
            workgroups: grid_1d(len, 64, caps),
        })
    }

    fn cpu(&self, args: &mut [Tensor]) -> wizen::Result<()> {
        let y: Vec<f64> = args[0]
            .to_f64()
            .iter()
            .map(|x| x * (x + 3.0).clamp(0.0, 6.0) / 6.0)
            .collect();
        args[1].store_f64(&y)
    }

    fn agreement(&self, args: &[Tensor]) -> wizen::Result<Vec<Agreement>> {
        // Four roundings: x + 3, the constant 1/6, two products. The first one's error is relative to
        // |x| + 3 and is then multiplied by |x| / 6.
        let bound = |x: f64| ulp_f32((x.abs() + 3.0) * x.abs() / 6.0) * 4.0;
        Ok(vec![
            Agreement::Equal,
            Agreement::Within(args[0].to_f64().into_iter().map(bound).collect()),
        ])
    }

    fn operations(&self) -> f64 {
        4.0 * num_elements(&self.shape) as f64
    }
}

fn main() -> wizen::Result<()> {
    pollster::block_on(async {
        let mut graph = Graph::new();
        let x = graph.input("x", DType::F32, &[2, 4]);
        let swish = Arc::new(HardSwish { shape: vec![2, 4] });
        let y = graph.push("swish", Custom(swish), &[x])?;
        graph.output(y);

        let x = Tensor::from_f32(&[2, 4], &[-4.0, -3.0, -1.5, -0.5, 0.0, 1.0, 3.0, 4.5])?;
        for device in [Device::Gpu(Gpu::open().await?), Device::Cpu] {
            let mut executor = device.load(lower(&graph, &device.caps())?).await?;
            println!(
                "{}: {:?}",
                device.name(),
                executor.run(&[&x]).await?[0].to_f32()
            );
        }
        Ok(())
    })
}
