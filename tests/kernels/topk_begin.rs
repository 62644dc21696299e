//! topk_begin: with and without anything to prune.

use std::sync::Arc;

use crate::harness;
use wizen::base::{DType, Rng, Tensor};
use wizen::kernels::Kernel;
use wizen::kernels::topk_begin::TopkBegin;

#[test]
fn every_status() {
    for k in [0, 1, u32::MAX] {
        let mut args = TopkBegin.example_args(&mut Rng::new(harness::seed()));
        args[0] = Tensor::from_u32(&[1], &[k]).expect("fits");
        assert_eq!(args[0].dtype(), DType::U32);
        harness::check_with(Arc::new(TopkBegin), args);
    }
}
