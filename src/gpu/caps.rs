//! What a device can do, as data.

use serde::Serialize;

/// Capabilities of an open device. Plain data: tests make their own.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Caps {
    /// The adapter's name.
    pub name: String,
    /// `vulkan`, `metal`, `dx12`, `gl` or `webgpu`.
    pub backend: String,
    /// The driver runs shaders on the processor.
    pub software: bool,
    /// Native `f16` arithmetic in shaders.
    pub f16: bool,
    /// 64-bit integers in shaders.
    pub int64: bool,
    /// Smallest and largest subgroup, where subgroup operations exist.
    pub subgroups: Option<(u32, u32)>,
    /// Timestamps can be written between compute passes.
    pub timestamps: bool,
    /// Bytes of one storage binding.
    pub max_storage_binding: u64,
    /// Bytes of one buffer.
    pub max_buffer: u64,
    /// Storage buffers of one shader.
    pub max_storage_buffers: u32,
    /// Workgroups in one dimension.
    pub max_workgroups: u32,
    /// Invocations of one workgroup.
    pub max_invocations: u32,
    /// Bytes of workgroup memory.
    pub max_workgroup_memory: u32,
    /// Alignment of dynamic uniform offsets, bytes.
    pub uniform_alignment: u32,
}

impl Caps {
    /// The limits that every WebGPU device has, and no optional feature.
    pub fn portable() -> Self {
        Self {
            name: "portable".into(),
            backend: "none".into(),
            software: false,
            f16: false,
            int64: false,
            subgroups: None,
            timestamps: false,
            max_storage_binding: 128 << 20,
            max_buffer: 256 << 20,
            max_storage_buffers: 8,
            max_workgroups: 65_535,
            max_invocations: 256,
            max_workgroup_memory: 16 << 10,
            uniform_alignment: 256,
        }
    }

    pub(super) fn of(device: &wgpu::Device, info: &wgpu::AdapterInfo) -> Self {
        let (features, limits) = (device.features(), device.limits());
        Self {
            name: info.name.clone(),
            backend: info.backend.to_str().to_owned(),
            software: info.device_type == wgpu::DeviceType::Cpu,
            f16: features.contains(wgpu::Features::SHADER_F16),
            int64: features.contains(wgpu::Features::SHADER_INT64),
            subgroups: features
                .contains(wgpu::Features::SUBGROUP)
                .then_some((info.subgroup_min_size, info.subgroup_max_size)),
            timestamps: features.contains(wgpu::Features::TIMESTAMP_QUERY),
            max_storage_binding: limits.max_storage_buffer_binding_size,
            max_buffer: limits.max_buffer_size,
            max_storage_buffers: limits.max_storage_buffers_per_shader_stage,
            max_workgroups: limits.max_compute_workgroups_per_dimension,
            max_invocations: limits.max_compute_invocations_per_workgroup,
            max_workgroup_memory: limits.max_compute_workgroup_storage_size,
            uniform_alignment: limits.min_uniform_buffer_offset_alignment,
        }
    }
}

/// One adapter of this machine, as `wizen devices` lists it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AdapterSummary {
    /// Position in the list; `--device INDEX` takes it.
    pub index: usize,
    /// The adapter's name.
    pub name: String,
    /// `vulkan`, `metal`, `dx12`, `gl` or `webgpu`.
    pub backend: String,
    /// Driver name and version.
    pub driver: String,
    /// `discrete`, `integrated`, `virtual`, `cpu` or `other`.
    pub device_type: String,
    /// Native `f16` arithmetic in shaders.
    pub f16: bool,
    /// Smallest and largest subgroup, where subgroup operations exist.
    pub subgroups: Option<(u32, u32)>,
    /// Timestamps for profiling.
    pub timestamps: bool,
    /// Shapes and types of cooperative matrices, as text; empty where there are none.
    pub cooperative_matrix: Vec<String>,
    /// Bytes of one storage binding.
    pub max_storage_binding: u64,
    /// Bytes of workgroup memory.
    pub max_workgroup_memory: u32,
    /// Invocations of one workgroup.
    pub max_invocations: u32,
    /// True for the one that `auto` takes.
    pub default: bool,
}
