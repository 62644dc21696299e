//! What the kernels that quantize share: the rounded value, and what a device may make of it.

use super::super::channels::Channels;
use crate::base::{QParams, Range, Rng, Tensor};

/// `round_ties_even(x · inv_scale) + zero_point`, not yet clamped: [`QParams::unclamped`] with the
/// reciprocal given.
pub(super) fn unclamped(x: f32, inv_scale: f32, zero_point: i32) -> i32 {
    // `as` maps NaN to 0 and saturates.
    ((x * inv_scale).round_ties_even() as i32).saturating_add(zero_point)
}

/// The smallest and the largest value that a device may find for [`unclamped`]: WGSL lets a product
/// be either f32 neighbour of the exact one. They differ only next to a tie, and not at a tie whose
/// product is exact.
pub(super) fn candidates(x: f32, inv_scale: f32, zero_point: i32) -> (i32, i32) {
    let exact = f64::from(x) * f64::from(inv_scale);
    let nearest = exact as f32;
    let other = match f64::from(nearest).partial_cmp(&exact) {
        Some(std::cmp::Ordering::Less) => nearest.next_up(),
        Some(std::cmp::Ordering::Greater) => nearest.next_down(),
        _ => nearest,
    };
    let round = |t: f32| (t.round_ties_even() as i32).saturating_add(zero_point);
    let (a, b) = (round(nearest), round(other));
    (a.min(b), a.max(b))
}

/// Random `scale`, `inv_scale`, `zero_point` of each channel, such that values in [−2, 2) fill the
/// range and a few leave it.
pub(super) fn example_params(channels: Channels, range: Range, rng: &mut Rng) -> [Tensor; 3] {
    let params: Vec<QParams> = (0..channels.count)
        .map(|_| QParams {
            scale: rng.range(2.0, 5.0) / range.steps() as f32,
            zero_point: range.qmin + rng.below(range.steps() as usize + 1) as i32,
            range,
        })
        .collect();
    let scales: Vec<f32> = params.iter().map(|p| p.scale).collect();
    let inverses: Vec<f32> = params.iter().map(|p| p.inv_scale()).collect();
    let zero_points: Vec<i32> = params.iter().map(|p| p.zero_point).collect();
    let shape = [channels.count];
    [
        Tensor::from_f32(&shape, &scales).expect("one per channel"),
        Tensor::from_f32(&shape, &inverses).expect("one per channel"),
        Tensor::from_i32(&shape, &zero_points).expect("one per channel"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_inexact_products_next_to_a_tie_are_ambiguous() {
        assert_eq!(candidates(0.5, 1.0, 0), (0, 0));
        assert_eq!(candidates(0.625, 4.0, 3), (5, 5));
        assert_eq!(candidates(0.7, 1.3, 0), (1, 1));
        // The example of the f32 reciprocal: the product lies next to 127.5.
        let inv = 1.0 / 0.002_148_548_6f32;
        assert_eq!(candidates(0.273_939_94, inv, 0), (127, 128));
        assert_eq!(candidates(f32::NAN, 1.0, 7), (7, 7));
    }
}
