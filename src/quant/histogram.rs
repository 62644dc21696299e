//! From a histogram to the range of real values worth keeping.
//!
//! All searches take the `counts` of equally wide bins and the outer `edges` of the first and the last
//! bin, think of the values of a bin as spread evenly over it, and return a range within the edges (that
//! of [`mse`] may reach to 0). They are deterministic. [`search`] applies one of them to what the observer kernels saw.

use serde::{Deserialize, Serialize};

use super::qparams::{Convention, choose};
use crate::base::{QParams, Range};
use crate::kernels::observe::HistogramState;

/// How to choose a range from a histogram.
#[derive(Clone, Copy, Debug, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Search {
    /// All values.
    MinMax,
    /// [`non_linear`], PyTorch's `HistogramObserver`.
    NonLinear,
    /// [`mse`].
    #[default]
    Mse,
    /// [`percentile`] with this share of the values kept, 0 to 1.
    Percentile(f64),
    /// [`entropy`], TensorRT's calibration.
    Entropy,
    /// The one of the others with the least [`squared_error`]; percentiles are 99.99 and 99.999 %.
    Best,
}

/// The range to quantize for, within the smallest and the largest value seen.
pub fn search(seen: &HistogramState, search: Search, range: Range, symmetric: bool) -> (f32, f32) {
    let (counts, edges) = (&seen.counts[..], seen.edges);
    if search == Search::Best {
        let all = [
            Search::MinMax,
            Search::NonLinear,
            Search::Mse,
            Search::Percentile(0.9999),
            Search::Percentile(0.99999),
            Search::Entropy,
        ];
        let tried = all.map(|how| self::search(seen, how, range, symmetric));
        let error = |&(min, max): &(f32, f32)| {
            let q = choose(min, max, range, symmetric, Convention::Wizen);
            squared_error(counts, edges, q)
        };
        let least = tried.iter().map(|range| (error(range), *range));
        // Strictly less: of equal ones the first, which clips least.
        return least
            .reduce(|a, b| if b.0 < a.0 { b } else { a })
            .map_or(seen.min_max, |(_, range)| range);
    }
    let (min, max) = match search {
        Search::MinMax => edges,
        Search::NonLinear => non_linear(counts, edges, (range.steps() + 1) as usize),
        Search::Mse => mse(counts, edges, range, symmetric),
        Search::Percentile(share) => percentile(counts, edges, share),
        Search::Entropy => entropy(counts, edges, range),
        Search::Best => edges,
    };
    let clamp = |x: f64| (x as f32).clamp(seen.min_max.0, seen.min_max.1);
    (clamp(min), clamp(max))
}

fn bin_width(counts: &[f64], edges: (f64, f64)) -> f64 {
    (edges.1 - edges.0) / counts.len().max(1) as f64
}

/// PyTorch's `_non_linear_param_search`: takes bins away from one end at a time, the end where a further
/// share of 10⁻⁵ of the values takes more bins, until the quantization error into `levels` levels grows.
pub fn non_linear(counts: &[f64], edges: (f64, f64), levels: usize) -> (f64, f64) {
    const STEP: f64 = 1e-5;
    let width = bin_width(counts, edges);
    let cumulative: Vec<f64> = counts
        .iter()
        .scan(0.0, |sum, n| {
            *sum += n;
            Some(*sum)
        })
        .collect();
    let total = cumulative.last().copied().unwrap_or(0.0);
    if !(total > 0.0 && width > 0.0) {
        return edges;
    }
    let (mut start, mut end) = (0, counts.len() - 1);
    let (mut alpha, mut beta) = (0.0, 1.0);
    let mut least = f64::INFINITY;
    while alpha < beta {
        let (next_alpha, next_beta) = (alpha + STEP, beta - STEP);
        let (mut left, mut right) = (start, end);
        while left < end && cumulative[left] < next_alpha * total {
            left += 1;
        }
        while right > start && cumulative[right] > next_beta * total {
            right -= 1;
        }
        let (mut next_start, mut next_end) = (start, end);
        if left - start > end - right {
            next_start = left;
            alpha = next_alpha;
        } else {
            next_end = right;
            beta = next_beta;
        }
        if (next_start, next_end) == (start, end) {
            continue;
        }
        let error = levels_error(counts, width, (next_start, next_end), levels);
        if error > least {
            break;
        }
        least = error;
        (start, end) = (next_start, next_end);
    }
    let edge = |bin: usize| edges.0 + width * bin as f64;
    (edge(start), edge(end + 1))
}

/// Squared distance of all values to the centres of `levels` equal parts of the bins `start ..= end`:
/// PyTorch's `_compute_quantization_error`.
fn levels_error(counts: &[f64], width: f64, window: (usize, usize), levels: usize) -> f64 {
    let (start, end) = window;
    let part = width * (end + 1 - start) as f64 / levels as f64;
    let last = levels as f64 - 1.0;
    // ∫ t² dt
    let integral = |from: f64, to: f64| (to * to * to - from * from * from) / 3.0;
    let sum: f64 = counts
        .iter()
        .enumerate()
        .filter(|&(_, &n)| n > 0.0)
        .map(|(bin, n)| {
            let begin = (bin as f64 - start as f64) * width;
            let finish = begin + width;
            let first_part = (begin / part).floor().clamp(0.0, last);
            let last_part = (finish / part).floor().clamp(0.0, last);
            let half = part / 2.0;
            let squares = integral(begin - (first_part + 0.5) * part, half)
                + (last_part - first_part - 1.0) * integral(-half, half)
                + integral(-half, finish - (last_part + 0.5) * part);
            n * squares
        })
        .sum();
    sum / width
}

/// `Σ (x − dequantize(quantize(x)))²` over the values of a histogram.
pub fn squared_error(counts: &[f64], edges: (f64, f64), q: QParams) -> f64 {
    let width = bin_width(counts, edges);
    let (scale, z) = (f64::from(q.scale), f64::from(q.zero_point));
    let low = (f64::from(q.range.qmin) - z) * scale;
    let high = (f64::from(q.range.qmax) - z) * scale;
    // The middle of a bin stands for it where bins are narrower than half a step.
    let points = (2.0 * width / scale).ceil().clamp(1.0, 8.0);
    let mut sum = 0.0;
    for (bin, n) in counts.iter().enumerate().filter(|&(_, &n)| n > 0.0) {
        let mut squares = 0.0;
        for point in 0..points as usize {
            let at = bin as f64 + (point as f64 + 0.5) / points;
            let x = edges.0 + width * at;
            let y = ((x / scale).round_ties_even() * scale).clamp(low, high);
            squares += (x - y) * (x - y);
        }
        sum += n * squares / points;
    }
    sum
}

/// The range with the least squared error after quantizing and dequantizing with the parameters that
/// [`Convention::Wizen`] chooses for it. Tries hundredths of each end, one end after the other, until
/// neither moves (at most four times); symmetric ranges have one end.
pub fn mse(counts: &[f64], edges: (f64, f64), range: Range, symmetric: bool) -> (f64, f64) {
    let error = |(min, max): (f64, f64)| {
        let q = choose(min as f32, max as f32, range, symmetric, Convention::Wizen);
        squared_error(counts, edges, q)
    };
    // Hundredths of the best end so far give way only to a smaller error: wide ranges win ties.
    let best_of = |candidates: &mut dyn Iterator<Item = (f64, f64)>| {
        let mut best = (f64::INFINITY, edges);
        for candidate in candidates {
            let error = error(candidate);
            if error < best.0 {
                best = (error, candidate);
            }
        }
        best.1
    };
    let (min, max) = (edges.0.min(0.0), edges.1.max(0.0));
    let shares = || (1..=100).rev().map(|i| f64::from(i) / 100.0);
    if symmetric {
        let largest = max.max(-min);
        let threshold = best_of(&mut shares().map(|s| (-s * largest, s * largest))).1;
        return (min.max(-threshold), max.min(threshold));
    }
    let mut best = (min, max);
    for _ in 0..4 {
        let before = best;
        if max > 0.0 {
            best = best_of(&mut shares().map(|s| (best.0, s * max)));
        }
        if min < 0.0 {
            best = best_of(&mut shares().map(|s| (s * min, best.1)));
        }
        if best == before {
            break;
        }
    }
    best
}

/// The range that keeps `share` of the values (0 to 1) and leaves out equally many at either end.
pub fn percentile(counts: &[f64], edges: (f64, f64), share: f64) -> (f64, f64) {
    let total: f64 = counts.iter().sum();
    let cut = total * (1.0 - share.clamp(0.0, 1.0)) / 2.0;
    let width = bin_width(counts, edges);
    // Bins, fractions included, that hold `cut` values counted from one end.
    let inside = |counts: &mut dyn Iterator<Item = &f64>| {
        let (mut rest, mut bins) = (cut, 0.0);
        for &n in counts {
            if n > rest {
                return bins + rest / n;
            }
            rest -= n;
            bins += 1.0;
        }
        bins
    };
    if total <= 0.0 || cut == 0.0 {
        return edges;
    }
    let min = edges.0 + width * inside(&mut counts.iter());
    let max = edges.1 - width * inside(&mut counts.iter().rev());
    (min.min(max), max)
}

/// The threshold on |x| at which the distribution of the integers differs least (Kullback and Leibler)
/// from that of the values, as in TensorRT's calibration (Migacz, GTC 2017).
///
/// For each number of bins `i` from the number of levels up, the first `i` bins of |x|, what lies
/// beyond added to the last of them, are the reference; the same bins without what lies beyond, merged
/// into the levels and spread evenly over those that are not empty, the candidate. A candidate that has
/// no mass where the reference has some is out. Levels: half of the integers, or all of them if all
/// values have one sign.
pub fn entropy(counts: &[f64], edges: (f64, f64), range: Range) -> (f64, f64) {
    let largest = edges.1.max(-edges.0);
    if largest <= 0.0 || counts.is_empty() {
        return edges;
    }
    let one_sided = edges.0 >= 0.0 || edges.1 <= 0.0;
    let levels = (range.steps() + 1) as usize / if one_sided { 1 } else { 2 };
    let levels = levels.max(1);
    let folded = fold(counts, edges, largest);
    let total: f64 = folded.iter().sum();
    let mut best = (f64::INFINITY, folded.len());
    let mut beyond = total;
    for i in 1..=folded.len() {
        beyond -= folded[i - 1];
        if i < levels {
            continue;
        }
        let divergence = divergence(&folded[..i], beyond.max(0.0), levels);
        if divergence < best.0 {
            best = (divergence, i);
        }
    }
    let threshold = largest * best.1 as f64 / folded.len().max(1) as f64;
    (
        edges.0.clamp(-threshold, threshold),
        edges.1.clamp(-threshold, threshold),
    )
}

/// The histogram of |x| in as many bins over `0 ..= largest`: each bin is split by overlap.
fn fold(counts: &[f64], edges: (f64, f64), largest: f64) -> Vec<f64> {
    let width = bin_width(counts, edges);
    let bins = counts.len();
    let mut out = vec![0.0; bins];
    let new_width = largest / bins.max(1) as f64;
    if !(width > 0.0 && new_width > 0.0) {
        return out;
    }
    let mut spread = |from: f64, to: f64, density: f64| {
        let (mut at, mut bin) = (from, (from / new_width) as usize);
        while at < to && bin < bins {
            let end = to.min((bin + 1) as f64 * new_width);
            out[bin] += density * (end - at).max(0.0);
            (at, bin) = (end, bin + 1);
        }
    };
    for (bin, n) in counts.iter().enumerate().filter(|&(_, &n)| n > 0.0) {
        let from = edges.0 + width * bin as f64;
        let to = from + width;
        spread(from.max(0.0), to.max(0.0), n / width);
        spread((-to).max(0.0), (-from).max(0.0), n / width);
    }
    out
}

/// `Σ P · ln(P / Q)` of the reference with `beyond` in its last bin and the candidate of so many levels.
fn divergence(bins: &[f64], beyond: f64, levels: usize) -> f64 {
    let inside: f64 = bins.iter().sum();
    let total = inside + beyond;
    if inside <= 0.0 {
        return f64::INFINITY;
    }
    let mut sum = 0.0;
    for level in 0..levels {
        let (from, to) = (
            level * bins.len() / levels,
            (level + 1) * bins.len() / levels,
        );
        let part = &bins[from..to];
        let filled = part.iter().filter(|&&n| n > 0.0).count();
        let q = part.iter().sum::<f64>() / filled.max(1) as f64 / inside;
        for (i, &n) in part.iter().enumerate() {
            let last = from + i + 1 == bins.len();
            let p = (n + if last { beyond } else { 0.0 }) / total;
            if p > 0.0 {
                sum += if n > 0.0 {
                    p * (p / q).ln()
                } else {
                    f64::INFINITY
                };
            }
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Rng;

    /// 10 000 000 normal values of deviation 1 (100 000 of them different) and a single one at 20, in
    /// 2048 bins.
    fn with_outlier() -> (Vec<f64>, (f64, f64)) {
        let edges = (-5.0, 20.01);
        let mut counts = vec![0.0; 2048];
        let mut rng = Rng::new(5);
        let mut add = |x: f64, n: f64| counts[((x + 5.0) / 25.01 * 2048.0) as usize] += n;
        for _ in 0..100_000 {
            add(f64::from(rng.normal()).clamp(-5.0, 5.0), 100.0);
        }
        add(20.0, 1.0);
        (counts, edges)
    }

    #[test]
    fn every_search_leaves_the_outlier_out() {
        let (counts, edges) = with_outlier();
        let int8 = Range::affine(8);
        for (name, (min, max)) in [
            ("non-linear", non_linear(&counts, edges, 256)),
            ("mse", mse(&counts, edges, int8, false)),
            ("symmetric mse", mse(&counts, edges, int8, true)),
            ("percentile", percentile(&counts, edges, 0.9999)),
            ("entropy", entropy(&counts, edges, int8)),
        ] {
            assert!((2.0..7.0).contains(&max), "{name}: {max}");
            assert!((-5.0..-2.0).contains(&min), "{name}: {min}");
        }
    }

    #[test]
    fn few_bits_clip_more() {
        let (counts, edges) = with_outlier();
        let threshold = |bits| mse(&counts, edges, Range::symmetric(bits), true).1;
        assert!(threshold(8) > threshold(4) && threshold(4) > threshold(2));
        // The optimal uniform quantizer of a normal density: 8 levels clip near 2.3, 16 near 2.7.
        assert!((2.0..3.1).contains(&threshold(4)), "{}", threshold(4));
    }

    #[test]
    fn percentile_by_hand() {
        let edges = (0.0, 4.0);
        let got = percentile(&[10.0, 40.0, 40.0, 10.0], edges, 0.9);
        assert!(
            (got.0 - 0.5).abs() < 1e-12 && (got.1 - 3.5).abs() < 1e-12,
            "{got:?}"
        );
        assert_eq!(percentile(&[1.0, 1.0, 1.0, 1.0], edges, 1.0), edges);
    }

    #[test]
    fn degenerate_histograms() {
        let int8 = Range::affine(8);
        for counts in [vec![], vec![0.0; 8], vec![7.0]] {
            for edges in [(0.0, 0.0), (0.0, 1.0), (-2.0, -1.0)] {
                for (min, max) in [
                    non_linear(&counts, edges, 256),
                    mse(&counts, edges, int8, false),
                    mse(&counts, edges, int8, true),
                    percentile(&counts, edges, 0.99),
                    entropy(&counts, edges, int8),
                ] {
                    assert!(min.is_finite() && max.is_finite() && min <= max);
                }
            }
        }
    }

    #[test]
    fn folding_keeps_the_mass() {
        let folded = fold(&[1.0, 2.0, 3.0, 4.0], (-1.0, 3.0), 3.0);
        assert_eq!(folded.len(), 4);
        assert!((folded.iter().sum::<f64>() - 10.0).abs() < 1e-12);
        assert!((folded[0] - 0.75 * 3.0).abs() < 1e-12, "{folded:?}");
    }
}
