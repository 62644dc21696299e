//! The launch that element-by-element kernels share.

use super::{Caps, Const, Launch, Spec, grid_1d};

const WORKGROUP: usize = 64;
/// Elements of one invocation: workgroups cost time too, above all on a CPU.
pub(super) const EACH: usize = 4;

/// Elements that a word of `common/halves.wgsl` holds, and the constants for it: two where the device has
/// 64-bit integers and neighbours come in pairs. Where loads are dear, two cost what one does.
pub(super) fn halves(spec: Spec, pairs: bool, caps: &Caps) -> (usize, Spec) {
    if pairs && caps.int64 {
        return (2, spec.with("Word", Const::Type("u64")).with("HALVES", 2));
    }
    (1, spec)
}

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
