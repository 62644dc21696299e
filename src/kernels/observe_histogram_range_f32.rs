//! `range` takes in the minimum and maximum of `batch`, `counts` moves into the new range, `batch` starts anew
//!
//! A histogram of `bins` bins whose width is a power of two and whose edges are multiples of it:
//!
//! ```text
//! bin(x) = floor(x · 2^−exponent) − first            range = [key(min), key(max), first, exponent]
//! ```
//!
//! When the range grows, the exponent is raised until `bin` maps minimum and maximum of all values so
//! far into the bins, and whole bins are merged. So moving is exact and integer: at every time the counts are
//! those of one histogram of all values, on every device. In exchange at least `bins / 2` bins, not
//! always all of them, cover the values. The window keeps the values in its middle; `first` and
//! `exponent` are i32 in u32. Bins are at least 2⁻²² of the largest magnitude wide.
//!
//! Order within a batch: [`super::observe_min_max_f32`] into `batch`, this, then
//! [`super::observe_histogram_f32`]. [`HistogramState`] makes and reads the state.

use super::float_bits::{bin_of, float_of_key};
use super::observe_histogram_f32::ObserveHistogramF32;
use super::observe_min_max_f32::{MinMaxState, ObserveMinMaxF32};
use super::{Agreement, Binding, Caps, Kernel, Launch, Spec, params_bytes};
use crate::base::{DType, Rng, Tensor};
use crate::error::{Error, Result};

/// Widens a histogram for a batch. Bindings: `batch[1, 4]` (reset), `range[4]` (updated),
/// `counts[bins]` (updated).
#[derive(Clone, Debug)]
pub struct ObserveHistogramRangeF32 {
    /// Bins, at least 2 and at most 4096 (16 KiB of workgroup memory); 2048 is usual.
    pub bins: usize,
}

/// A histogram read back, cut to the bins from the smallest to the largest value seen.
#[derive(Clone, Debug, PartialEq)]
pub struct HistogramState {
    /// Values of each bin.
    pub counts: Vec<f64>,
    /// Lower edge of the first bin and upper edge of the last.
    pub edges: (f64, f64),
    /// Smallest and largest value seen, exactly.
    pub min_max: (f32, f32),
}

impl HistogramState {
    /// The range before the first batch: u32 `[4]`.
    pub fn initial_range() -> Tensor {
        let words = [u32::MAX, 0, 0, SMALLEST_EXPONENT as u32];
        Tensor::from_u32(&[4], &words).expect("four words")
    }

    /// The counts before the first batch: u32 `[bins]`.
    pub fn initial_counts(bins: usize) -> Tensor {
        Tensor::zeros(&[bins], DType::U32)
    }

    /// Reads `range` and `counts`; `None` if no finite value was seen.
    ///
    /// # Errors
    /// [`Error::DType`] or [`Error::Shape`] if they are not u32 `[4]` and u32 `[bins]`;
    /// [`Error::Invalid`] if they contradict one another.
    pub fn decode(range: &Tensor, counts: &Tensor) -> Result<Option<Self>> {
        let op = "histogram state";
        let counts = counts.as_u32()?;
        let &[low, high, first, exponent] = range.as_u32()? else {
            return Err(Error::shape(op, "range", "[4]", range.shape()));
        };
        if low > high {
            return Ok(None);
        }
        let (min, max) = (float_of_key(low), float_of_key(high));
        let (first, exponent) = (first as i32, exponent as i32);
        let begin = i64::from(bin_of(min, exponent)) - i64::from(first);
        let end = i64::from(bin_of(max, exponent)) - i64::from(first) + 1;
        if begin < 0 || end > counts.len() as i64 {
            let bins = counts.len();
            let problem = format!("{min} to {max} lie in bins {begin} to {end} of {bins}");
            return Err(Error::invalid(op, problem));
        }
        let edge = |bin: i64| (i64::from(first) + bin) as f64 * 2f64.powi(exponent);
        Ok(Some(Self {
            counts: counts[begin as usize..end as usize]
                .iter()
                .map(|&n| f64::from(n))
                .collect(),
            edges: (edge(begin), edge(end)),
            min_max: (min, max),
        }))
    }
}

/// That of the smallest subnormal: no bins are narrower.
const SMALLEST_EXPONENT: i32 = -149;

/// The smallest and largest key so far, the first bin and the exponent, if any value was seen.
fn widened(bins: i32, batch: &[u32], range: &[u32]) -> Option<(u32, u32, i32, i32)> {
    let (low, high) = (range[0].min(batch[0]), range[1].max(batch[1]));
    if low > high {
        return None;
    }
    let (min, max) = (float_of_key(low), float_of_key(high));
    let (old_first, old_exponent) = (range[2] as i32, range[3] as i32);
    let biased = |x: f32| (x.to_bits() >> 23 & 255) as i32;
    // |min|, |max| < 2^(biased − 126): bins are numbered within ±2²².
    let mut exponent = old_exponent.max(biased(min).max(biased(max)) - 148);
    while bin_of(max, exponent) - bin_of(min, exponent) >= bins {
        exponent += 1;
    }
    let (a, b) = (bin_of(min, exponent), bin_of(max, exponent));
    let stays =
        range[0] <= range[1] && exponent == old_exponent && a >= old_first && b < old_first + bins;
    let first = if stays {
        old_first
    } else {
        a - (bins - 1 - (b - a)) / 2
    };
    Some((low, high, first, exponent))
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::NoUninit)]
struct Params {
    unused: u32,
}

impl Kernel for ObserveHistogramRangeF32 {
    fn name(&self) -> &'static str {
        "observe_histogram_range_f32"
    }

    fn bindings(&self) -> Vec<Binding> {
        vec![
            Binding::update("batch", DType::U32, [1, 4]),
            Binding::update("range", DType::U32, [4]),
            Binding::update("counts", DType::U32, [self.bins]),
        ]
    }

    fn launch(&self, caps: &Caps) -> Result<Launch> {
        check_bins(self.name(), self.bins, caps)?;
        Ok(Launch {
            source: include_str!("../../shaders/observe_histogram_range_f32.wgsl").into(),
            spec: Spec::new().with("BINS", self.bins as u32),
            params: params_bytes(&Params { unused: 0 }),
            workgroups: [1, 1, 1],
        })
    }

    fn cpu(&self, args: &mut [Tensor]) -> Result<()> {
        let (batch, range) = (args[0].as_u32()?, args[1].as_u32()?);
        let old = args[2].as_u32()?;
        if let Some((low, high, first, exponent)) = widened(self.bins as i32, batch, range) {
            let (old_first, old_exponent) = (range[2] as i32, range[3] as i32);
            let shift = (exponent - old_exponent).min(31);
            let mut counts = vec![0u32; self.bins];
            for (i, &n) in old.iter().enumerate() {
                let bin = ((old_first + i as i32) >> shift) - first;
                let bin = bin.clamp(0, self.bins as i32 - 1) as usize;
                counts[bin] = counts[bin].wrapping_add(n);
            }
            args[1] = Tensor::from_u32(&[4], &[low, high, first as u32, exponent as u32])?;
            args[2] = Tensor::from_u32(&[self.bins], &counts)?;
        }
        args[0] = MinMaxState::initial(1);
        Ok(())
    }

    fn agreement(&self, _args: &[Tensor]) -> Result<Vec<Agreement>> {
        Ok(vec![Agreement::Equal; 3])
    }

    fn operations(&self) -> f64 {
        4.0 * self.bins as f64
    }

    /// A histogram of one batch and a second batch; what is new, wider or narrower is random.
    fn example_args(&self, rng: &mut Rng) -> Vec<Tensor> {
        let mut state = [
            HistogramState::initial_range(),
            HistogramState::initial_counts(self.bins),
        ];
        let mut batch = MinMaxState::initial(1);
        for step in 0..2 {
            let (centre, width) = (rng.range(-1.0, 1.0), 4f32.powf(rng.range(-2.0, 2.0)));
            let x: Vec<f32> = (0..500)
                .map(|_| centre + width * rng.range(-1.0, 1.0))
                .collect();
            let x = Tensor::from_f32(&[500], &x).expect("500 values");
            let shape = vec![500];
            let mut seen = [x, batch];
            let observe = ObserveMinMaxF32 {
                shape: shape.clone(),
                axis: None,
            };
            observe.cpu(&mut seen).expect("f32 and a state");
            let [x, after] = seen;
            batch = after;
            if step == 0 {
                let [range, counts] = state;
                let mut args = [batch, range, counts];
                self.cpu(&mut args).expect("states");
                let [reset, range, counts] = args;
                let mut args = [x, range, counts];
                let bins = self.bins;
                let count = ObserveHistogramF32 { shape, bins };
                count.cpu(&mut args).expect("f32 and states");
                let [_, range, counts] = args;
                (batch, state) = (reset, [range, counts]);
            }
        }
        let [range, counts] = state;
        vec![batch, range, counts]
    }
}

/// Bins need their place in workgroup memory, and a value on either side of 0 needs two.
pub(super) fn check_bins(op: &str, bins: usize, caps: &Caps) -> Result<()> {
    if bins < 2 {
        return Err(Error::invalid(
            op,
            format!("{bins} bins, expected at least 2"),
        ));
    }
    if 4 * bins > caps.max_workgroup_memory as usize {
        let problem = format!(
            "{bins} bins need {} bytes of workgroup memory, it has {}",
            4 * bins,
            caps.max_workgroup_memory
        );
        return Err(Error::Unsupported {
            op: op.into(),
            problem,
        });
    }
    Ok(())
}

/// The usual size, the smallest, and one that no workgroup divides.
pub fn samples() -> Vec<Box<dyn Kernel>> {
    [2048, 2, 257]
        .into_iter()
        .map(|bins| Box::new(ObserveHistogramRangeF32 { bins }) as Box<dyn Kernel>)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three batches through the three kernels equal one histogram of all values.
    #[test]
    fn moving_is_exact() {
        let mut rng = Rng::new(3);
        let bins = 64;
        let (mut range, mut counts) = (
            HistogramState::initial_range(),
            HistogramState::initial_counts(bins),
        );
        let mut all = Vec::new();
        for (low, high) in [
            (0.0, 0.0),
            (0.25, 0.5),
            (-0.5, 3.0),
            (-0.1, 0.1),
            (-200.0, 1.0),
        ] {
            let x: Vec<f32> = (0..100).map(|_| rng.range(low, high)).collect();
            all.extend_from_slice(&x);
            let shape = vec![x.len()];
            let x = Tensor::from_f32(&shape, &x).expect("fits");
            let mut seen = [x, MinMaxState::initial(1)];
            let observe = ObserveMinMaxF32 {
                shape: shape.clone(),
                axis: None,
            };
            observe.cpu(&mut seen).expect("f32");
            let [x, batch] = seen;
            let mut args = [batch, range, counts];
            ObserveHistogramRangeF32 { bins }
                .cpu(&mut args)
                .expect("u32");
            let [_, new_range, new_counts] = args;
            let mut args = [x, new_range, new_counts];
            ObserveHistogramF32 { shape, bins }
                .cpu(&mut args)
                .expect("f32");
            [_, range, counts] = args;

            let seen = HistogramState::decode(&range, &counts)
                .expect("consistent")
                .expect("values were seen");
            let width = (seen.edges.1 - seen.edges.0) / seen.counts.len() as f64;
            let mut want = vec![0.0; seen.counts.len()];
            for &x in &all {
                want[((f64::from(x) - seen.edges.0) / width).floor() as usize] += 1.0;
            }
            assert_eq!(seen.counts, want);
            let (min, max) = all
                .iter()
                .fold((f32::MAX, f32::MIN), |(a, b), &x| (a.min(x), b.max(x)));
            assert_eq!(seen.min_max, (min, max));
        }
    }

    #[test]
    fn nothing_seen() {
        let (range, counts) = (
            HistogramState::initial_range(),
            HistogramState::initial_counts(8),
        );
        assert_eq!(
            HistogramState::decode(&range, &counts).expect("states"),
            None
        );
        let mut args = [MinMaxState::initial(1), range.clone(), counts.clone()];
        ObserveHistogramRangeF32 { bins: 8 }
            .cpu(&mut args)
            .expect("u32");
        assert_eq!(args[1..], [range, counts]);
    }
}
