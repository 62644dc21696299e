//! global_avg_pool_f16: the last layers of real networks, odd channels.

use crate::harness;
use wizen::kernels::global_avg_pool_f16::GlobalAvgPoolF16;

#[test]
fn real_layers() {
    for x in [
        [2, 7, 7, 512],
        [1, 1, 1, 10],
        [3, 14, 13, 71],
        [65, 2, 2, 1],
    ] {
        harness::check(Box::new(GlobalAvgPoolF16 { x }));
    }
}
