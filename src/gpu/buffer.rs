//! Buffers: created in batches inside one error scope, filled, guarded.

use super::device::{Gpu, from_wgpu_error};
use crate::error::{Error, Result};

/// Buffers under construction: creation errors are collected once, at [`Buffers::finish`].
///
/// One error scope for a whole session keeps creation asynchronous and cheap.
pub struct Buffers<'gpu> {
    gpu: &'gpu Gpu,
    memory: wgpu::ErrorScopeGuard,
    validation: wgpu::ErrorScopeGuard,
}

impl<'gpu> Buffers<'gpu> {
    /// Starts a batch.
    pub fn new(gpu: &'gpu Gpu) -> Self {
        let memory = gpu
            .device()
            .push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let validation = gpu.device().push_error_scope(wgpu::ErrorFilter::Validation);
        Self {
            gpu,
            memory,
            validation,
        }
    }

    /// A storage buffer of `bytes` bytes (rounded up to 4, at least 4) that can be copied both ways.
    ///
    /// # Errors
    /// [`Error::Unsupported`] naming `label` if the device does not allow a buffer that large.
    pub fn storage(&self, label: &str, bytes: u64) -> Result<wgpu::Buffer> {
        let caps = self.gpu.caps();
        let limit = caps.max_storage_binding.min(caps.max_buffer);
        if bytes > limit {
            return Err(Error::Unsupported {
                op: label.into(),
                problem: format!(
                    "it needs a buffer of {bytes} bytes, the limit is {limit}; use a smaller batch, fp16 or the CPU"
                ),
            });
        }
        let usage = wgpu::BufferUsages::STORAGE
            | wgpu::BufferUsages::COPY_SRC
            | wgpu::BufferUsages::COPY_DST;
        Ok(self.create(label, bytes, usage))
    }

    /// A uniform buffer with these contents.
    pub fn uniform(&self, label: &str, contents: &[u8]) -> wgpu::Buffer {
        let usage = wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST;
        let buffer = self.create(label, contents.len() as u64, usage);
        if !contents.is_empty() {
            self.gpu.queue().write_buffer(&buffer, 0, contents);
        }
        buffer
    }

    fn create(&self, label: &str, bytes: u64, usage: wgpu::BufferUsages) -> wgpu::Buffer {
        let size = bytes.max(4).next_multiple_of(4);
        let descriptor = wgpu::BufferDescriptor {
            label: Some(label),
            size,
            usage,
            mapped_at_creation: false,
        };
        self.gpu.device().create_buffer(&descriptor)
    }

    /// Ends the batch.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`] or [`Error::Device`] naming `op` if a buffer could not be made.
    pub async fn finish(self, op: &str) -> Result<()> {
        let errors = [self.validation.pop().await, self.memory.pop().await];
        match errors.into_iter().flatten().next() {
            Some(error) => Err(from_wgpu_error(op, error)),
            None => Ok(()),
        }
    }
}
