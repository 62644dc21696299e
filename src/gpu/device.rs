//! Opening a device, or taking the application's own.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use super::caps::{AdapterSummary, COOPERATIVE, Caps, cooperative_works};
use super::disk_cache::DiskCache;
use super::pipeline::{Pipeline, PipelineKey};
use super::readback::Poller;
use super::tuning::Tuning;
use crate::error::{Error, Result};

/// An open GPU. Cheap to clone: clones share the device, the queue and the pipelines.
#[derive(Clone, Debug)]
pub struct Gpu {
    pub(super) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(super) struct Inner {
    pub device: wgpu::Device,
    pub queue: wgpu::Queue,
    pub caps: Caps,
    pub pipelines: Mutex<HashMap<PipelineKey, Pipeline>>,
    pub failure: Arc<Mutex<Option<Error>>>,
    pub poller: Poller,
    /// `None`: compiled pipelines are not kept on disk.
    pub cache: Option<DiskCache>,
    pub tuning: Tuning,
    pub variant: Option<String>,
}

/// Which adapter to open.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum AdapterChoice {
    /// The fastest kind there is: discrete, integrated, virtual, software; Vulkan, Metal and DX12
    /// before OpenGL.
    #[default]
    Best,
    /// By position in [`list_adapters`].
    Index(usize),
    /// The first whose name or backend contains this text, ignoring case; among OpenGL's only if no other does.
    Named(String),
}

/// How to open a GPU.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GpuOptions {
    /// Which adapter.
    pub adapter: AdapterChoice,
    /// A folder that keeps the driver's compiled pipelines from one process to the next, one file per
    /// kind of adapter, where wgpu can (Vulkan). It is created if need be, and only this user should be
    /// able to write there: the driver is given what lies in it. `None`: the disk is not touched. A file
    /// that cannot be read or written is logged and does no other harm.
    pub cache_dir: Option<PathBuf>,
    /// Take this variant of every kernel that has it on the device (the names of the kernels' `Variant`),
    /// whatever is thought or was measured to be faster.
    pub variant: Option<String>,
}

impl From<AdapterChoice> for GpuOptions {
    fn from(adapter: AdapterChoice) -> Self {
        Self {
            adapter,
            cache_dir: None,
            variant: None,
        }
    }
}

/// Adapters of these backends, best first.
async fn ranked_adapters(backends: wgpu::Backends) -> Vec<wgpu::Adapter> {
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle_from_env();
    descriptor.backends = backends;
    let instance = wgpu::Instance::new(descriptor);
    let mut adapters = instance.enumerate_adapters(backends).await;
    adapters.retain(|adapter| {
        let flags = adapter.get_downlevel_capabilities().flags;
        flags.contains(wgpu::DownlevelFlags::COMPUTE_SHADERS)
    });
    adapters.sort_by_key(|adapter| {
        let info = adapter.get_info();
        let kind = match info.device_type {
            wgpu::DeviceType::DiscreteGpu => 0,
            wgpu::DeviceType::IntegratedGpu => 1,
            wgpu::DeviceType::VirtualGpu => 2,
            wgpu::DeviceType::Cpu => 3,
            wgpu::DeviceType::Other => 4,
        };
        (u8::from(info.backend == wgpu::Backend::Gl), kind)
    });
    adapters
}

/// The groups of backends to ask in turn, until one has what is wanted; `asked` is what `WGPU_BACKEND` says.
/// OpenGL comes last and alone: where there is no display, asking it prints lines on stderr.
fn turns(asked: Option<wgpu::Backends>) -> Vec<wgpu::Backends> {
    match asked {
        Some(asked) => vec![asked],
        None => vec![wgpu::Backends::PRIMARY, wgpu::Backends::SECONDARY],
    }
}

/// Which of these adapters, given as `(name, backend)`, is meant.
fn pick(choice: &AdapterChoice, adapters: &[(String, &str)]) -> Option<usize> {
    match choice {
        AdapterChoice::Best => (!adapters.is_empty()).then_some(0),
        AdapterChoice::Index(i) => (*i < adapters.len()).then_some(*i),
        AdapterChoice::Named(text) => {
            let text = text.to_lowercase();
            let is = |(name, backend): &(String, &str)| {
                name.to_lowercase().contains(&text) || backend.contains(&text)
            };
            adapters.iter().position(is)
        }
    }
}

/// The adapter that is meant.
async fn find_adapter(choice: &AdapterChoice) -> Result<wgpu::Adapter> {
    let mut seen = Vec::new();
    for backends in turns(wgpu::Backends::from_env()) {
        let mut adapters = ranked_adapters(backends).await;
        let infos = adapters.iter().map(wgpu::Adapter::get_info);
        let found: Vec<_> = infos.map(|i| (i.name, i.backend.to_str())).collect();
        if let Some(i) = pick(choice, &found) {
            return Ok(adapters.swap_remove(i));
        }
        seen.extend(found);
        // A position counts among the adapters that are listed, which are those of one turn.
        if matches!(choice, AdapterChoice::Index(_)) && !seen.is_empty() {
            break;
        }
    }
    let there: Vec<String> = seen
        .iter()
        .map(|(name, backend)| format!("{name} ({backend})"))
        .collect();
    let there = there.join(", ");
    Err(Error::NoGpu(match choice {
        AdapterChoice::Index(i) if !seen.is_empty() => {
            format!("no adapter has number {i}; there are: {there}")
        }
        AdapterChoice::Named(text) if !seen.is_empty() => {
            format!("no adapter has `{text}` in its name or backend; there are: {there}")
        }
        _ => "wgpu finds no adapter; install a driver (for a software one on Debian: \
              mesa-vulkan-drivers), or use the CPU"
            .into(),
    }))
}

/// Lists the adapters of this machine, the one that [`AdapterChoice::Best`] takes first.
///
/// OpenGL's are listed where nothing else answers. `WGPU_BACKEND` (for example `vulkan` or `gl`) says which
/// backends to ask instead.
pub async fn list_adapters() -> Vec<AdapterSummary> {
    for backends in turns(wgpu::Backends::from_env()) {
        let adapters = ranked_adapters(backends).await;
        if !adapters.is_empty() {
            let summaries = adapters.iter().enumerate();
            return summaries.map(|(i, a)| summarise(i, a)).collect();
        }
    }
    Vec::new()
}

fn summarise(index: usize, adapter: &wgpu::Adapter) -> AdapterSummary {
    let (info, features, limits) = (adapter.get_info(), adapter.features(), adapter.limits());
    let device_type = match info.device_type {
        wgpu::DeviceType::DiscreteGpu => "discrete",
        wgpu::DeviceType::IntegratedGpu => "integrated",
        wgpu::DeviceType::VirtualGpu => "virtual",
        wgpu::DeviceType::Cpu => "cpu",
        wgpu::DeviceType::Other => "other",
    };
    let has_subgroups = features.contains(wgpu::Features::SUBGROUP);
    AdapterSummary {
        index,
        name: info.name,
        backend: info.backend.to_str().to_owned(),
        driver: format!("{} {}", info.driver, info.driver_info)
            .trim()
            .to_owned(),
        device_type: device_type.to_owned(),
        f16: features.contains(wgpu::Features::SHADER_F16),
        subgroups: has_subgroups.then_some((info.subgroup_min_size, info.subgroup_max_size)),
        timestamps: features.contains(wgpu::Features::TIMESTAMP_QUERY),
        cooperative_matrix: adapter
            .cooperative_matrix_properties()
            .iter()
            .map(|p| {
                format!(
                    "{}x{}x{} {:?}->{:?}",
                    p.m_size, p.n_size, p.k_size, p.ab_type, p.cr_type
                )
            })
            .collect(),
        max_storage_binding: limits.max_storage_buffer_binding_size,
        max_workgroup_memory: limits.max_compute_workgroup_storage_size,
        max_invocations: limits.max_compute_invocations_per_workgroup,
        default: index == 0,
    }
}

impl Gpu {
    /// Opens the best adapter with everything it offers.
    ///
    /// # Errors
    /// [`Error::NoGpu`] if there is no adapter or it refuses to open.
    pub async fn open() -> Result<Self> {
        Self::open_adapter(&AdapterChoice::Best).await
    }

    /// Opens a chosen adapter with everything it offers.
    ///
    /// # Errors
    /// [`Error::NoGpu`] if no adapter matches (the message lists those there are) or it refuses to open.
    pub async fn open_adapter(choice: &AdapterChoice) -> Result<Self> {
        Self::open_with(&choice.clone().into()).await
    }

    /// Opens an adapter with everything it offers, and keeps compiled pipelines on disk if told so.
    ///
    /// # Errors
    /// [`Error::NoGpu`] if no adapter matches (the message lists those there are) or it refuses to open.
    pub async fn open_with(options: &GpuOptions) -> Result<Self> {
        let adapter = find_adapter(&options.adapter).await?;
        let mut wanted = wgpu::Features::SHADER_F16
            | wgpu::Features::SHADER_INT64
            | wgpu::Features::SUBGROUP
            | wgpu::Features::TIMESTAMP_QUERY;
        if cooperative_works(&adapter.get_info()) {
            wanted |= COOPERATIVE;
        }
        if options.cache_dir.is_some() {
            wanted |= wgpu::Features::PIPELINE_CACHE;
        }
        let features = adapter.features() & wanted;
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("wizen"),
            required_features: features,
            required_limits: adapter.limits(),
            experimental_features: experimental(features),
            memory_hints: wgpu::MemoryHints::Performance,
            ..Default::default()
        };
        let (device, queue) = adapter.request_device(&descriptor).await.map_err(|e| {
            Error::NoGpu(format!("{} refused to open: {e}", adapter.get_info().name))
        })?;
        let cache = match &options.cache_dir {
            Some(folder) => DiskCache::open(&device, &adapter.get_info(), folder).await,
            None => None,
        };
        let tuning = Tuning::open(&adapter.get_info(), options.cache_dir.as_deref());
        let variant = options.variant.clone();
        let gpu = Self::with_cache(&adapter, device, queue, (cache, tuning, variant));
        gpu.watch();
        Ok(gpu)
    }

    /// Uses the application's own device: nothing is opened, no handler is replaced, no file touched.
    pub fn from_wgpu(adapter: &wgpu::Adapter, device: wgpu::Device, queue: wgpu::Queue) -> Self {
        let tuning = Tuning::open(&adapter.get_info(), None);
        Self::with_cache(adapter, device, queue, (None, tuning, None))
    }

    fn with_cache(
        adapter: &wgpu::Adapter,
        device: wgpu::Device,
        queue: wgpu::Queue,
        (cache, tuning, variant): (Option<DiskCache>, Tuning, Option<String>),
    ) -> Self {
        let caps = Caps::of(&device, adapter);
        let poller = Poller::new(&device);
        let inner = Inner {
            device,
            queue,
            caps,
            poller,
            cache,
            tuning,
            variant,
            pipelines: Mutex::default(),
            failure: Arc::default(),
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// Records errors that reach no error scope, so that the next call returns them.
    fn watch(&self) {
        let failure = Arc::clone(&self.inner.failure);
        self.inner
            .device
            .on_uncaptured_error(Arc::new(move |error| {
                store(&failure, from_wgpu_error("device", error));
            }));
        let failure = Arc::clone(&self.inner.failure);
        self.inner
            .device
            .set_device_lost_callback(move |reason, message| {
                if !matches!(reason, wgpu::DeviceLostReason::Destroyed) {
                    store(&failure, Error::DeviceLost(message));
                }
            });
    }

    /// What this device can do.
    pub fn caps(&self) -> &Caps {
        &self.inner.caps
    }

    /// The wgpu device.
    pub fn device(&self) -> &wgpu::Device {
        &self.inner.device
    }

    /// The wgpu queue.
    pub fn queue(&self) -> &wgpu::Queue {
        &self.inner.queue
    }

    /// Writes the pipelines compiled since the last time to [`GpuOptions::cache_dir`], if there is one.
    /// The last clone of this GPU does so by itself when it is dropped.
    pub fn save_pipelines(&self) {
        if let Some(cache) = &self.inner.cache {
            cache.save();
        }
    }

    /// The variant that [`GpuOptions::variant`] asks for.
    pub fn forced_variant(&self) -> Option<&str> {
        self.inner.variant.as_deref()
    }

    /// What was measured to be best for this key, in this process or (with [`GpuOptions::cache_dir`]) before.
    pub fn tuned(&self, key: &str) -> Option<String> {
        self.inner.tuning.get(key)
    }

    /// Remembers what is best for a key, in this process.
    pub fn remember(&self, key: &str, choice: &str) {
        self.inner.tuning.set(key.to_owned(), choice.to_owned());
    }

    /// Writes what is remembered to [`GpuOptions::cache_dir`], if there is one. What other processes wrote
    /// stays; a failure is logged.
    pub fn save_tuning(&self) {
        self.inner.tuning.save();
    }

    /// Returns an error that the device reported since the last call, if there was one.
    ///
    /// # Errors
    /// What the device reported.
    pub fn check(&self) -> Result<()> {
        let mut slot = self
            .inner
            .failure
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        slot.take().map_or(Ok(()), Err)
    }
}

/// What wgpu wants to be told before it opens a device with one of its experimental features.
#[allow(
    unsafe_code,
    reason = "wgpu has no safe way to ask for an experimental feature"
)]
fn experimental(features: wgpu::Features) -> wgpu::ExperimentalFeatures {
    if !features.contains(COOPERATIVE) {
        return wgpu::ExperimentalFeatures::disabled();
    }
    // SAFETY: wgpu warns that there may be bugs behind such a feature that safe code can hit. What hits them here
    // are the shaders of the cooperative variants alone, which are this crate's own text: they load and store
    // matrices inside their arrays, from workgroup memory only, in control flow that is uniform in a subgroup.
    unsafe { wgpu::ExperimentalFeatures::enabled() }
}

fn store(slot: &Mutex<Option<Error>>, error: Error) {
    // The first error is the cause; later ones are its consequences.
    slot.lock()
        .unwrap_or_else(PoisonError::into_inner)
        .get_or_insert(error);
}

/// Our error for one of wgpu's, with the operation that met it.
pub(super) fn from_wgpu_error(op: &str, error: wgpu::Error) -> Error {
    match error {
        wgpu::Error::OutOfMemory { source } => Error::OutOfMemory {
            op: op.into(),
            problem: source.to_string(),
        },
        wgpu::Error::Validation { description, .. } | wgpu::Error::Internal { description, .. } => {
            Error::Device {
                op: op.into(),
                problem: description.trim().to_owned(),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opengl_is_asked_last_or_by_name() {
        let primary_then_gl = [wgpu::Backends::PRIMARY, wgpu::Backends::GL];
        assert_eq!(turns(None), primary_then_gl);
        assert!(!primary_then_gl[0].contains(wgpu::Backends::GL));
        assert_eq!(turns(Some(wgpu::Backends::GL)), [wgpu::Backends::GL]);
        assert_eq!(
            turns(Some(wgpu::Backends::VULKAN)),
            [wgpu::Backends::VULKAN]
        );
    }

    #[test]
    fn adapters_are_picked_by_rank_position_or_text() {
        let adapters = [
            ("Big GPU".to_owned(), "vulkan"),
            ("soft".to_owned(), "dx12"),
        ];
        let named = |text: &str| pick(&AdapterChoice::Named(text.into()), &adapters);
        assert_eq!(pick(&AdapterChoice::Best, &adapters), Some(0));
        assert_eq!(pick(&AdapterChoice::Index(1), &adapters), Some(1));
        assert_eq!(pick(&AdapterChoice::Index(2), &adapters), None);
        assert_eq!(pick(&AdapterChoice::Best, &[]), None);
        assert_eq!(named("big"), Some(0));
        assert_eq!(named("DX12"), Some(1));
        // Then OpenGL is asked.
        assert_eq!(named("gl"), None);
    }
}
