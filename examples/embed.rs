//! int8 inference inside an application that already owns a `wgpu::Device`: its own encoder, its own
//! buffers, one submission together with the application's other work.
//!
//! `cargo run --release --example embed [MODEL]`

use std::collections::HashMap;
use std::sync::Arc;

use wizen::Network;
use wizen::gpu::Gpu;
use wizen::graph::{Graph, Session, SessionOptions, lower};
use wizen::io::Loaded;
use wizen::models::{lenet5, random_weights};

/// A model file, or LeNet-5 with random weights.
fn network() -> wizen::Result<Graph> {
    match std::env::args().nth(1) {
        Some(path) => match Network::load(&path)? {
            Loaded::Wizen(model) => Ok(model.graph),
            Loaded::Foreign(_) => Err(wizen::Error::format(path, "it is not a wizen model")),
        },
        None => lenet5(1, &random_weights("lenet5", 1)?),
    }
}

fn main() -> wizen::Result<()> {
    pollster::block_on(async {
        // The application's own device and buffers.
        let instance =
            wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle_from_env());
        let adapter = instance
            .request_adapter(&wgpu::RequestAdapterOptions::default())
            .await
            .map_err(|e| wizen::Error::NoGpu(e.to_string()))?;
        let (device, queue) = adapter
            .request_device(&wgpu::DeviceDescriptor::default())
            .await
            .map_err(|e| wizen::Error::NoGpu(e.to_string()))?;
        let usage = wgpu::BufferUsages::STORAGE
            | wgpu::BufferUsages::COPY_SRC
            | wgpu::BufferUsages::COPY_DST;
        let camera = device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("camera image"),
            size: 28 * 28 * 4,
            usage,
            mapped_at_creation: false,
        });

        // wizen on that device: nothing is opened, the input is the application's buffer.
        let gpu = Gpu::from_wgpu(&adapter, device.clone(), queue.clone());
        let plan = Arc::new(lower(&network()?, gpu.caps())?);
        let external = HashMap::from([("images".to_owned(), camera.clone())]);
        let options = SessionOptions {
            external,
            ..SessionOptions::default()
        };
        let session = Session::new(&gpu, Arc::clone(&plan), options).await?;

        // One frame: the application draws into its buffer, the network runs, one submission.
        let frame: Vec<f32> = (0..28 * 28).map(|i| (i % 28) as f32 / 28.0).collect();
        queue.write_buffer(&camera, 0, bytemuck::cast_slice(&frame));
        let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        session.record(&mut encoder);
        queue.submit([encoder.finish()]);

        let output = &plan.values[plan.outputs[0]].name;
        println!(
            "{}: {:?}",
            gpu.caps().name,
            session.read(output)?.await?.to_f32()
        );
        Ok(())
    })
}
