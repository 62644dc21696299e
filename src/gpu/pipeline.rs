//! Compute pipelines, made up front and shared.

use std::collections::HashSet;
use std::sync::PoisonError;

#[cfg(not(target_arch = "wasm32"))]
use crate::base::parallel::*;

use super::device::{Gpu, from_wgpu_error};
use super::disk_cache::DiskCache;
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

/// A kernel to compile.
#[derive(Clone, Debug)]
pub struct PipelineRequest<'a> {
    /// Name of the kernel, for errors.
    pub name: &'a str,
    /// Its shader and constants.
    pub launch: &'a Launch,
    /// Access of its buffers, in binding order.
    pub access: Vec<Access>,
}

impl Gpu {
    /// Compiles `launch`, or returns the pipeline compiled before. `access` is in binding order.
    ///
    /// # Errors
    /// As [`Self::pipelines`].
    pub async fn pipeline(
        &self,
        name: &str,
        launch: &Launch,
        access: &[Access],
    ) -> Result<Pipeline> {
        let request = PipelineRequest {
            name,
            launch,
            access: access.to_vec(),
        };
        Ok(self.pipelines(&[request]).await?.swap_remove(0))
    }

    /// A pipeline for every request, in order. Equal programs are compiled once, and never again on this
    /// device; different ones at the same time, on all processor cores (in browsers one after another).
    ///
    /// # Errors
    /// Of the first request that fails: [`Error::Unsupported`] if the kernel binds more buffers than the
    /// device allows, [`Error::Device`] with the compiler's message, [`Error::Invalid`] from
    /// specialisation.
    pub async fn pipelines(&self, requests: &[PipelineRequest<'_>]) -> Result<Vec<Pipeline>> {
        let keys: Vec<PipelineKey> = requests
            .iter()
            .map(|request| self.key(request))
            .collect::<Result<_>>()?;
        let lock = || {
            self.inner
                .pipelines
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
        };
        let mut missing: Vec<(&str, &PipelineKey)> = Vec::new();
        {
            let made = lock();
            let mut seen = HashSet::new();
            for (request, key) in requests.iter().zip(&keys) {
                if !made.contains_key(key) && seen.insert(key) {
                    missing.push((request.name, key));
                }
            }
        }
        // wgpu's error scopes belong to their thread: each is opened and closed around one pipeline, so
        // that an error finds its kernel. What they caught is awaited here.
        #[cfg(not(target_arch = "wasm32"))]
        let created: Vec<_> = missing
            .par_iter()
            // OpenGL has one context: threads would wait for it until wgpu gives up.
            .with_min_len(if self.caps().backend == "gl" {
                missing.len().max(1)
            } else {
                1
            })
            .map(|(name, key)| self.create_caught(name, key))
            .collect();
        #[cfg(target_arch = "wasm32")]
        let created: Vec<_> = missing
            .iter()
            .map(|(name, key)| self.create_caught(name, key))
            .collect();
        let mut failed = None;
        for ((name, key), (pipeline, internal, validation)) in missing.into_iter().zip(created) {
            let errors = [internal.await, validation.await];
            match errors.into_iter().flatten().next() {
                Some(error) => {
                    failed.get_or_insert_with(|| from_wgpu_error(name, error));
                }
                None => {
                    lock().insert(key.clone(), pipeline);
                }
            }
        }
        if let Some(error) = failed {
            return Err(error);
        }
        let made = lock();
        Ok(keys.iter().map(|key| made[key].clone()).collect())
    }

    fn key(&self, request: &PipelineRequest<'_>) -> Result<PipelineKey> {
        let limit = self.caps().max_storage_buffers as usize;
        let count = request.access.len();
        if count > limit {
            return Err(Error::Unsupported {
                op: request.name.into(),
                problem: format!("it binds {count} storage buffers, the limit is {limit}"),
            });
        }
        let launch = request.launch;
        Ok(PipelineKey {
            text: specialise(request.name, &launch.source, &launch.spec)?,
            access: request.access.clone(),
        })
    }

    /// A pipeline that may be broken, and what the compiler has to say: internal errors, then validation.
    fn create_caught(
        &self,
        name: &str,
        key: &PipelineKey,
    ) -> (
        Pipeline,
        impl Future<Output = Option<wgpu::Error>> + use<>,
        impl Future<Output = Option<wgpu::Error>> + use<>,
    ) {
        let device = self.device();
        let validation = device.push_error_scope(wgpu::ErrorFilter::Validation);
        let internal = device.push_error_scope(wgpu::ErrorFilter::Internal);
        let pipeline = self.create_pipeline(name, key);
        (pipeline, internal.pop(), validation.pop())
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
            cache: self.inner.cache.as_ref().map(DiskCache::for_new_pipeline),
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
