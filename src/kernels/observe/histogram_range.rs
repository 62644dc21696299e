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
//! Order within a batch: [`super::ObserveMinMax`] into `batch`, this, then
//! [`ObserveHistogram`]. [`HistogramState`] makes and reads the state.

use super::super::frame::{boxed, equal_but, params};
use super::super::{Agreement, Binding, Caps, Kernel, Launch, Spec};
use super::float_bits::{bin_of, float_of_key};
use super::{MinMaxState, ObserveHistogram};
use crate::base::{DType, Rng, Tensor};
use crate::error::{Error, Result};

/// Widens a histogram for a batch. Bindings: `batch[1, 4]` (reset), `range[4]` (updated),
/// `counts[bins]` (updated).
#[derive(Clone, Debug)]
pub struct ObserveHistogramRange {
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

impl Kernel for ObserveHistogramRange {
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
            source: include_str!("../../../shaders/observe/histogram_range.wgsl").into(),
            spec: Spec::new().with("BINS", self.bins as u32),
            params: params(self.name(), [0u32.into()])?,
            workgroups: [1; 3],
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
        equal_but(3, [])
    }

    fn operations(&self) -> f64 {
        4.0 * self.bins as f64
    }

    /// A histogram of one batch and a second batch; what is new, wider or narrower is random.
    fn example_args(&self, rng: &mut Rng) -> Vec<Tensor> {
        let mut batch = || {
            let (centre, width) = (rng.range(-1.0, 1.0), 4f32.powf(rng.range(-2.0, 2.0)));
            let x = (0..500).map(|_| centre + width * rng.range(-1.0, 1.0));
            x.collect::<Vec<f32>>()
        };
        let (first, second) = (batch(), batch());
        let states = [
            HistogramState::initial_range(),
            HistogramState::initial_counts(self.bins),
        ];
        let [range, counts] = HistogramState::observe(&first, states).expect("f32 and states");
        let seen = MinMaxState::observe(&second).expect("f32 and a state");
        vec![seen, range, counts]
    }
}

impl HistogramState {
    /// The range and counts after a batch more, by the references.
    ///
    /// # Errors
    /// [`Error::DType`] if they are not u32.
    pub fn observe(x: &[f32], [range, counts]: [Tensor; 2]) -> Result<[Tensor; 2]> {
        let (shape, bins) = (vec![x.len()], counts.len());
        let mut args = [MinMaxState::observe(x)?, range, counts];
        ObserveHistogramRange { bins }.cpu(&mut args)?;
        let [_, range, counts] = args;
        let mut args = [Tensor::from_f32(&shape, x)?, range, counts];
        ObserveHistogram { shape, bins }.cpu(&mut args)?;
        let [_, range, counts] = args;
        Ok([range, counts])
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
pub(super) fn samples() -> Vec<Box<dyn Kernel>> {
    boxed([2048, 2, 257].map(|bins| ObserveHistogramRange { bins }))
}
