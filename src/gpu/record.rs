//! Recording steps into an encoder: one compute pass for all, or one per step with timestamps.

use super::device::Gpu;
use super::pipeline::Pipeline;

/// A kernel with its buffers, ready to be dispatched again and again.
#[derive(Debug)]
pub struct PreparedStep {
    pipeline: wgpu::ComputePipeline,
    storage: wgpu::BindGroup,
    params: wgpu::BindGroup,
    params_offset: u32,
    workgroups: [u32; 3],
}

impl PreparedStep {
    /// Binds `buffers` (in binding order, whole) and the slot of `params` that starts at
    /// `params_offset` and is `params_bytes` long.
    pub fn new(
        gpu: &Gpu,
        pipeline: &Pipeline,
        buffers: &[&wgpu::Buffer],
        (params, params_offset, params_bytes): (&wgpu::Buffer, u32, u64),
        workgroups: [u32; 3],
    ) -> Self {
        let entries: Vec<wgpu::BindGroupEntry<'_>> = buffers
            .iter()
            .enumerate()
            .map(|(i, buffer)| wgpu::BindGroupEntry {
                binding: i as u32,
                resource: buffer.as_entire_binding(),
            })
            .collect();
        let group = |layout, entries: &[wgpu::BindGroupEntry<'_>]| {
            gpu.device().create_bind_group(&wgpu::BindGroupDescriptor {
                label: None,
                layout,
                entries,
            })
        };
        let slot = wgpu::BufferBinding {
            buffer: params,
            offset: 0,
            size: std::num::NonZeroU64::new(params_bytes.max(4).next_multiple_of(16)),
        };
        let params = wgpu::BindGroupEntry {
            binding: 0,
            resource: wgpu::BindingResource::Buffer(slot),
        };
        Self {
            pipeline: pipeline.pipeline.clone(),
            storage: group(&pipeline.storage_layout, &entries),
            params: group(&pipeline.params_layout, &[params]),
            params_offset,
            workgroups,
        }
    }

    fn dispatch(&self, pass: &mut wgpu::ComputePass<'_>) {
        pass.set_pipeline(&self.pipeline);
        pass.set_bind_group(0, &self.storage, &[]);
        pass.set_bind_group(1, &self.params, &[self.params_offset]);
        let [x, y, z] = self.workgroups;
        pass.dispatch_workgroups(x, y, z);
    }
}

/// Records all steps as one compute pass.
pub fn encode_steps(encoder: &mut wgpu::CommandEncoder, label: &str, steps: &[PreparedStep]) {
    let descriptor = wgpu::ComputePassDescriptor {
        label: Some(label),
        timestamp_writes: None,
    };
    let mut pass = encoder.begin_compute_pass(&descriptor);
    for step in steps {
        step.dispatch(&mut pass);
    }
}

/// Timestamps of a recorded run: two 64-bit ticks per step in `buffer`.
#[derive(Debug)]
pub struct Timings {
    /// Holds `2 · steps` u64 ticks once the commands have run.
    pub buffer: wgpu::Buffer,
    /// Nanoseconds of one tick.
    pub period: f64,
}

/// Records every step as a pass of its own, with timestamps around it.
///
/// The device must have timestamps ([`super::Caps::timestamps`]).
pub fn encode_steps_timed(
    gpu: &Gpu,
    encoder: &mut wgpu::CommandEncoder,
    steps: &[PreparedStep],
) -> Timings {
    let count = 2 * steps.len() as u32;
    let bytes = u64::from(count.max(1)) * 8;
    let buffer = gpu.device().create_buffer(&wgpu::BufferDescriptor {
        label: Some("wizen timestamps"),
        size: bytes,
        usage: wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC,
        mapped_at_creation: false,
    });
    // A query set holds at most 4096 queries.
    for (part, chunk) in steps.chunks(2048).enumerate() {
        let query_set = gpu.device().create_query_set(&wgpu::QuerySetDescriptor {
            label: Some("wizen timestamps"),
            ty: wgpu::QueryType::Timestamp,
            count: 2 * chunk.len() as u32,
        });
        for (i, step) in chunk.iter().enumerate() {
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
                label: None,
                timestamp_writes: Some(wgpu::ComputePassTimestampWrites {
                    query_set: &query_set,
                    beginning_of_pass_write_index: Some(2 * i as u32),
                    end_of_pass_write_index: Some(2 * i as u32 + 1),
                }),
            });
            step.dispatch(&mut pass);
        }
        let start = part as u64 * 2048 * 16;
        encoder.resolve_query_set(&query_set, 0..2 * chunk.len() as u32, &buffer, start);
    }
    Timings {
        buffer,
        period: f64::from(gpu.queue().get_timestamp_period()),
    }
}
