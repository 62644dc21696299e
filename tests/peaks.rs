//! The probes of a device's speed, and the clock that they use.

use std::sync::Arc;

use crate::harness;
use wizen::base::Tensor;
use wizen::graph::{Plan, Session, SessionOptions, measure_peaks};
use wizen::kernels::binary::Accumulate;

#[test]
fn every_timed_run_runs() {
    let Some(gpu) = harness::gpu() else { return };
    pollster::block_on(async {
        let plan = Plan::single(Arc::new(Accumulate { len: 1 })).expect("a plan");
        let state = plan.values[plan.outputs[0]].name.clone();
        let session = Session::new(&gpu, Arc::new(plan), SessionOptions::default()).await;
        let session = session.expect("fits");
        let one = Tensor::from_f32(&[1], &[1.0]).expect("fits");
        session.submit(&[&one]).expect("one input");
        let seconds = session.time_runs(4).await.expect("runs");
        assert!(seconds > 0.0, "{seconds}");
        let sum = session.read(&state).expect("a state").await.expect("read");
        assert_eq!(sum.as_f32().expect("f32"), [5.0]);
    });
}

#[test]
fn peaks_are_numbers_in_order() {
    let Some(gpu) = harness::gpu() else { return };
    let peaks = pollster::block_on(measure_peaks(&gpu)).expect("probes run");
    for peak in [peaks.f32_gops, peaks.copy_gbs] {
        assert!(peak > 0.0 && peak.is_finite(), "{peaks:?}");
    }
    assert!(peaks.f16_gops >= peaks.f32_gops, "{peaks:?}");
    assert!(peaks.i8_gops >= peaks.f32_gops, "{peaks:?}");
}
