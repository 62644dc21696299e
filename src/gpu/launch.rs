//! What a kernel asks the device to run, as plain data.

use std::borrow::Cow;

use super::caps::Caps;
use super::shader::Spec;
use crate::error::{Error, Result};

/// How a shader uses a storage buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    /// `var<storage, read>`.
    Read,
    /// `var<storage, read_write>`, every word of the value written without being read.
    Write,
    /// `var<storage, read_write>`, updated in place.
    ReadWrite,
}

/// One dispatch: everything the device needs besides the buffers. Made without touching a device.
#[derive(Clone, Debug)]
pub struct Launch {
    /// WGSL text, valid as it stands.
    pub source: Cow<'static, str>,
    /// Values for the text's top-level `const` and `alias` lines.
    pub spec: Spec,
    /// Bytes of the uniform at `@group(1) @binding(0)`; at least 4, a multiple of 4.
    pub params: Vec<u8>,
    /// Workgroups along x, y, z.
    pub workgroups: [u32; 3],
}

/// The bytes of a `#[repr(C)]` struct of 4-byte scalars.
pub fn params_bytes<P: bytemuck::NoUninit>(params: &P) -> Vec<u8> {
    bytemuck::bytes_of(params).to_vec()
}

/// Workgroups for `items` work items, `per_group` to a workgroup, folded into two dimensions.
///
/// Shaders recover the linear index with `linear_id` of `common/index.wgsl` and must check it
/// against their item count: the fold may launch a few workgroups too many.
pub fn grid_1d(items: usize, per_group: usize, caps: &Caps) -> [u32; 3] {
    let groups = items.div_ceil(per_group).max(1);
    let limit = caps.max_workgroups as usize;
    let rows = groups.div_ceil(limit);
    [groups.div_ceil(rows) as u32, rows as u32, 1]
}

/// Checks an explicit grid against the device's limit.
///
/// # Errors
/// [`Error::Unsupported`] naming `op` if a dimension is too large.
pub fn grid_3d(op: &str, groups: [usize; 3], caps: &Caps) -> Result<[u32; 3]> {
    if let Some(too_many) = groups.iter().find(|&&n| n > caps.max_workgroups as usize) {
        return Err(Error::Unsupported {
            op: op.into(),
            problem: format!(
                "{too_many} workgroups in one dimension, the limit is {}",
                caps.max_workgroups
            ),
        });
    }
    Ok(groups.map(|n| n.max(1) as u32))
}
