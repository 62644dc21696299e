//! Compute pipelines, made up front and shared.

use std::sync::PoisonError;

use super::device::{Gpu, from_wgpu_error};
use super::launch::{Access, Launch};
use super::shader::specialise;
use crate::error::{Error, Result};

/// A compiled kernel. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Pipeline {
    pub(super) pipeline: wgpu::ComputePipeline,
    pub(super) storage_layout: wgpu::BindGroupLayout,
    pub(super) params_layout: wgpu::BindGroupLayout,
}

/// Final WGSL text and access of every binding: equal keys are equal programs.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct PipelineKey {
    text: String,
    access: Vec<Access>,
}

impl Gpu {
    /// Compiles `launch`, or returns the pipeline compiled before. `access` is in binding order.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if the kernel binds more buffers than the device allows,
    /// [`Error::Device`] with the compiler's message, [`Error::Invalid`] from specialisation.
    pub async fn pipeline(
        &self,
        name: &str,
        launch: &Launch,
        access: &[Access],
    ) -> Result<Pipeline> {
        let text = specialise(name, &launch.source, &launch.spec)?;
        let key = PipelineKey {
            text,
            access: access.to_vec(),
        };
        let lock = || {
            self.inner
                .pipelines
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
        };
        if let Some(pipeline) = lock().get(&key) {
            return Ok(pipeline.clone());
        }
        let limit = self.caps().max_storage_buffers as usize;
        if access.len() > limit {
            let problem = format!(
                "it binds {} storage buffers, the limit is {limit}",
                access.len()
            );
            return Err(Error::Unsupported {
                op: name.into(),
                problem,
            });
        }
        let scope = self
            .device()
            .push_error_scope(wgpu::ErrorFilter::Validation);
        let internal = self.device().push_error_scope(wgpu::ErrorFilter::Internal);
        let pipeline = self.create_pipeline(name, &key);
        let errors = [internal.pop().await, scope.pop().await];
        if let Some(error) = errors.into_iter().flatten().next() {
            return Err(from_wgpu_error(name, error));
        }
        lock().insert(key, pipeline.clone());
        Ok(pipeline)
    }

    fn create_pipeline(&self, name: &str, key: &PipelineKey) -> Pipeline {
        let device = self.device();
        let entries: Vec<wgpu::BindGroupLayoutEntry> = key
            .access
            .iter()
            .enumerate()
            .map(|(i, &access)| {
                let read_only = access == Access::Read;
                layout_entry(
                    i as u32,
                    wgpu::BufferBindingType::Storage { read_only },
                    false,
                )
            })
            .collect();
        let layout = |entries: &[wgpu::BindGroupLayoutEntry]| {
            device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
                label: Some(name),
                entries,
            })
        };
        let storage_layout = layout(&entries);
        let params_layout = layout(&[layout_entry(0, wgpu::BufferBindingType::Uniform, true)]);
        let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
            label: Some(name),
            source: wgpu::ShaderSource::Wgsl(key.text.as_str().into()),
        });
        let pipeline_layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: Some(name),
            bind_group_layouts: &[Some(&storage_layout), Some(&params_layout)],
            immediate_size: 0,
        });
        let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(name),
            layout: Some(&pipeline_layout),
            module: &module,
            entry_point: Some("main"),
            compilation_options: wgpu::PipelineCompilationOptions {
                // Kernels write workgroup memory before they read it.
                zero_initialize_workgroup_memory: false,
                ..Default::default()
            },
            cache: None,
        });
        Pipeline {
            pipeline,
            storage_layout,
            params_layout,
        }
    }
}

fn layout_entry(
    binding: u32,
    ty: wgpu::BufferBindingType,
    dynamic: bool,
) -> wgpu::BindGroupLayoutEntry {
    wgpu::BindGroupLayoutEntry {
        binding,
        visibility: wgpu::ShaderStages::COMPUTE,
        ty: wgpu::BindingType::Buffer {
            ty,
            has_dynamic_offset: dynamic,
            min_binding_size: None,
        },
        count: None,
    }
}
