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
    /// Rows and columns of the cooperative matrices of f16 whose products are summed in f32, where there are any.
    pub cooperative_f16: Option<u32>,
    /// Rows and columns of the cooperative matrices of f32, where there are any.
    pub cooperative_f32: Option<u32>,
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
            cooperative_f16: None,
            cooperative_f32: None,
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

    pub(super) fn of(device: &wgpu::Device, adapter: &wgpu::Adapter) -> Self {
        let (features, limits) = (device.features(), device.limits());
        let info = adapter.get_info();
        let f16 = features.contains(wgpu::Features::SHADER_F16);
        let subgroups = features
            .contains(wgpu::Features::SUBGROUP)
            .then_some((info.subgroup_min_size, info.subgroup_max_size));
        // A kernel has to know which subgroup it runs in, so that without subgroup operations there are none.
        let matrices = if features.contains(COOPERATIVE) && subgroups.is_some() {
            adapter.cooperative_matrix_properties()
        } else {
            Vec::new()
        };
        Self {
            name: info.name.clone(),
            backend: info.backend.to_str().to_owned(),
            software: info.device_type == wgpu::DeviceType::Cpu,
            f16,
            int64: features.contains(wgpu::Features::SHADER_INT64),
            subgroups,
            cooperative_f16: side_of(&matrices, wgpu::CooperativeScalarType::F16).filter(|_| f16),
            cooperative_f32: side_of(&matrices, wgpu::CooperativeScalarType::F32),
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

/// The feature of cooperative matrices.
pub(super) const COOPERATIVE: wgpu::Features = wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX;

/// Whether cooperative matrices work where an adapter announces them. Of the software drivers lavapipe does; in
/// Mesa 26.2 they are there with subgroups of eight alone: with four, wgpu takes them for granted and panics when
/// the device opens, with sixteen the driver's compiler crashes.
pub(super) fn cooperative_works(info: &wgpu::AdapterInfo) -> bool {
    info.device_type != wgpu::DeviceType::Cpu
        || (info.subgroup_min_size, info.subgroup_max_size) == (8, 8)
}

/// Rows and columns of the largest matrices of `operands` with sums in f32 that WGSL can name: square ones.
pub(super) fn side_of(
    matrices: &[wgpu::CooperativeMatrixProperties],
    operands: wgpu::CooperativeScalarType,
) -> Option<u32> {
    let named = matrices.iter().filter(|p| {
        p.ab_type == operands
            && p.cr_type == wgpu::CooperativeScalarType::F32
            && [p.n_size, p.k_size] == [p.m_size; 2]
            && [8, 16].contains(&p.m_size)
    });
    named.map(|p| p.m_size).max()
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

#[cfg(test)]
mod tests {
    use super::*;
    use wgpu::CooperativeScalarType::{F16, F32, I32};

    fn matrix(
        [m_size, n_size, k_size]: [u32; 3],
        ab_type: wgpu::CooperativeScalarType,
        cr_type: wgpu::CooperativeScalarType,
    ) -> wgpu::CooperativeMatrixProperties {
        wgpu::CooperativeMatrixProperties {
            m_size,
            n_size,
            k_size,
            ab_type,
            cr_type,
            saturating_accumulation: false,
        }
    }

    #[test]
    fn only_square_matrices_with_f32_sums_are_used() {
        let nvidia = [
            matrix([16, 16, 16], F16, F16),
            matrix([16, 8, 16], F16, F32),
            matrix([16, 16, 16], F16, F32),
            matrix([16, 8, 8], F16, F32),
        ];
        assert_eq!(side_of(&nvidia, F16), Some(16));
        assert_eq!(side_of(&nvidia, F32), None);
        let apple = [
            matrix([8, 8, 8], F32, F32),
            matrix([8, 8, 8], F16, F16),
            matrix([8, 8, 8], F16, F32),
        ];
        assert_eq!(side_of(&apple, F16), Some(8));
        assert_eq!(side_of(&apple, F32), Some(8));
        let neither = [
            matrix([8, 16, 16], F16, F32),
            matrix([16, 16, 16], F16, F16),
            matrix([16, 16, 16], I32, I32),
        ];
        assert_eq!(side_of(&neither, F16), None);
        assert_eq!(side_of(&[], F16), None);
    }
}
