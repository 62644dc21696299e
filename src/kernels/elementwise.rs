//! The launch that element-by-element kernels share.

use super::{Caps, Launch, Spec, grid_1d};

const WORKGROUP: usize = 64;
/// Elements of one invocation: workgroups cost time too, above all on a CPU.
const EACH: usize = 4;

/// `items` work items, several to an invocation.
pub(super) fn launch(
    source: &'static str,
    spec: Spec,
    params: Vec<u8>,
    items: usize,
    caps: &Caps,
) -> Launch {
    Launch {
        source: source.into(),
        spec: spec
            .with("WORKGROUP", WORKGROUP as u32)
            .with("EACH", EACH as u32),
        params,
        workgroups: grid_1d(items, WORKGROUP * EACH, caps),
    }
}
