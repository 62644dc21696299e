//! channel_mask_expand: every axis, channels around whole words.

use crate::harness;
use wizen::kernels::channel_mask_expand::ChannelMaskExpand;

#[test]
fn every_axis() {
    for shape in [
        vec![64, 3, 7, 7],
        vec![31, 1],
        vec![129, 130],
        vec![2, 33, 65],
    ] {
        for dim in 0..shape.len() {
            let shape = shape.clone();
            harness::check(Box::new(ChannelMaskExpand { shape, dim }));
        }
    }
}
