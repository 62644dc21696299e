//! Reading buffers back without blocking.

use std::future::Future;
use std::pin::Pin;

use futures_intrusive::channel::shared::oneshot_channel;

use super::device::Gpu;
use crate::error::{Error, Result};

/// Bytes on their way from the device; await it.
pub type Pending<T> = Pin<Box<dyn Future<Output = Result<T>>>>;

/// Drives the device's callbacks from a thread of its own, so that futures complete without anybody
/// polling. Browsers do it by themselves.
#[derive(Debug)]
pub(super) struct Poller {
    #[cfg(not(target_arch = "wasm32"))]
    requests: Option<std::sync::mpsc::Sender<wgpu::SubmissionIndex>>,
    #[cfg(not(target_arch = "wasm32"))]
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Poller {
    #[cfg(target_arch = "wasm32")]
    pub fn new(_device: &wgpu::Device) -> Self {
        Self {}
    }

    #[cfg(not(target_arch = "wasm32"))]
    pub fn new(device: &wgpu::Device) -> Self {
        let (requests, inbox) = std::sync::mpsc::channel();
        let device = device.clone();
        let thread = std::thread::Builder::new()
            .name("wizen-poll".into())
            .spawn(move || {
                while let Ok(submission) = inbox.recv() {
                    let wait = wgpu::PollType::Wait {
                        submission_index: Some(submission),
                        timeout: None,
                    };
                    if let Err(error) = device.poll(wait) {
                        log::error!("polling the GPU device: {error}");
                    }
                }
            });
        // Without a thread every read back reports it; nothing hangs.
        let thread = thread.ok();
        Self {
            requests: thread.is_some().then_some(requests),
            thread,
        }
    }

    #[cfg(target_arch = "wasm32")]
    fn wake(&self, _submission: wgpu::SubmissionIndex) -> bool {
        true
    }

    #[cfg(not(target_arch = "wasm32"))]
    fn wake(&self, submission: wgpu::SubmissionIndex) -> bool {
        self.requests
            .as_ref()
            .is_some_and(|requests| requests.send(submission).is_ok())
    }
}

/// The thread holds the device: it must be gone before the driver may be unloaded at exit.
#[cfg(not(target_arch = "wasm32"))]
impl Drop for Poller {
    fn drop(&mut self) {
        self.requests = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            log::error!("the thread that polls the GPU device panicked");
        }
    }
}

impl Gpu {
    /// Copies `regions` (buffer and bytes from its start) into one staging buffer, submits everything
    /// recorded in `encoder`, and returns the bytes, region by region.
    ///
    /// `op` names the culprit in errors.
    pub fn submit_and_read(
        &self,
        op: &str,
        mut encoder: wgpu::CommandEncoder,
        regions: &[(&wgpu::Buffer, u64)],
    ) -> Pending<Vec<Vec<u8>>> {
        let op = op.to_owned();
        let gpu = self.clone();
        let total: u64 = regions.iter().map(|(_, bytes)| bytes).sum();
        let memory = self
            .device()
            .push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let staging = self.device().create_buffer(&wgpu::BufferDescriptor {
            label: Some("wizen readback"),
            size: total.max(4),
            usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let memory = memory.pop();
        let mut offset = 0;
        for (buffer, bytes) in regions.iter().filter(|(_, bytes)| *bytes > 0) {
            encoder.copy_buffer_to_buffer(buffer, 0, &staging, offset, *bytes);
            offset += bytes;
        }
        let sizes: Vec<usize> = regions.iter().map(|(_, bytes)| *bytes as usize).collect();
        let submission = self.queue().submit([encoder.finish()]);
        let (sender, receiver) = oneshot_channel();
        staging.map_async(wgpu::MapMode::Read, .., move |result| {
            // The receiver is gone if the caller dropped the future: nothing to tell.
            let _ = sender.send(result);
        });
        let polled = self.inner.poller.wake(submission);
        Box::pin(async move {
            if let Some(error) = memory.await {
                return Err(super::device::from_wgpu_error(&op, error));
            }
            if !polled {
                return Err(Error::Device {
                    op,
                    problem: "the polling thread could not be started".into(),
                });
            }
            let mapped = receiver.receive().await;
            gpu.check()?;
            let lost = |problem: String| Error::Device {
                op: op.clone(),
                problem,
            };
            mapped
                .ok_or_else(|| lost("the device went away while reading".into()))?
                .map_err(|e| lost(format!("reading back: {e}")))?;
            let view = staging
                .get_mapped_range(..)
                .map_err(|e| lost(e.to_string()))?;
            let mut start = 0;
            let out = sizes
                .iter()
                .map(|&size| {
                    start += size;
                    view[start - size..start].to_vec()
                })
                .collect();
            Ok(out)
        })
    }
}
