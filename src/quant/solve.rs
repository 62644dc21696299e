//! Integers for the weights of one layer so that it gives what it gave, in closed form.
//!
//! With `x` what the layer reads in the network quantized so far and `y` what the float layer makes, the error of a
//! row of weights is `(w* − s·q) H (w* − s·q)ᵀ`, `H` the covariance of `x`:
//!
//! 1. `W* = (T + λW)(H + λI)⁻¹`, `T` the covariance of `y` and `x`: least squares, which also repairs the errors of
//!    `x`, kept near `W` by `λ` ([`RIDGE`] times the mean of `H`'s diagonal);
//! 2. `H + damping`, and a scale for every row by `min Σ_j H_jj (w*_j − s·q_j)²`;
//! 3. integers by the nearest plane (Babai 1986; GPTQ, Frantar et al. 2022, is the same: Chen et al. 2025) on one
//!    Cholesky factor, inputs of least variance last;
//! 4. coordinate descent over the integers, the scale refitted before every pass: the error never grows;
//! 5. the bias from the means, exact because `H` and `T` are centred.

use faer::prelude::Solve;
use faer::{Mat, MatRef, Side};

use crate::base::Range;
use crate::base::parallel::*;
use crate::error::{Error, Result};

/// Weight of the float weights in the least-squares target, over the mean variance of the inputs.
const RIDGE: f64 = 1.0;
/// What is added to every variance, over their mean.
const DAMPING: f64 = 0.1;
/// Scales that are tried for a row, evenly spaced between these shares of the largest.
const SCALES: usize = 32;
const SHARES: [f64; 2] = [0.4, 1.05];
/// The smaller share where there are few integers.
const SHARE_OF_FEW: f64 = 0.2;
/// Passes of coordinate descent, at most.
const PASSES: usize = 3;
/// A pass that moves fewer of the integers is the last.
const STILL: f64 = 0.001;
/// Rows that share a walk through the factor.
const ROWS: usize = 16;

/// Sums over sampled outputs of a layer: what it reads, `x [k]`, and what it should make, `y [o]`.
#[derive(Clone, Debug)]
pub struct Moments {
    /// Samples.
    pub count: f64,
    /// `Σ xᵢ xⱼ` `[k, k]`.
    pub gram: Vec<f64>,
    /// `Σ y x` `[o, k]`.
    pub cross: Vec<f64>,
    /// `Σ x` `[k]`.
    pub x: Vec<f64>,
    /// `Σ y` `[o]`.
    pub y: Vec<f64>,
}

/// A layer's weights as integers.
#[derive(Clone, Debug, PartialEq)]
pub struct Solution {
    /// `[o, k]`.
    pub integers: Vec<i32>,
    /// One for each row.
    pub scales: Vec<f64>,
    /// `[o]`, in reals.
    pub bias: Vec<f64>,
    /// There were more samples than inputs, so that the inputs' errors were repaired too.
    pub repaired: bool,
}

impl Solution {
    /// More rows behind these.
    pub fn append(&mut self, more: Self) {
        self.repaired &= more.repaired;
        self.integers.extend(more.integers);
        self.scales.extend(more.scales);
        self.bias.extend(more.bias);
    }
}

/// Weights `[o, k]` as integers within `range`; exact zeros stay zero. `None` if what the layer reads never
/// varies: then nothing says which weights matter.
///
/// # Errors
/// [`Error::Invalid`] if the moments are not finite.
pub fn solve(moments: &Moments, weights: &[f64], range: Range) -> Result<Option<Solution>> {
    let (k, o) = (moments.x.len(), moments.y.len());
    let n = moments.count.max(1.0);
    let mean = |sums: &[f64]| -> Vec<f64> { sums.iter().map(|sum| sum / n).collect() };
    let (mean_x, mean_y) = (mean(&moments.x), mean(&moments.y));
    let variance = |j: usize| moments.gram[j * k + j] / n - mean_x[j] * mean_x[j];
    let mut order: Vec<usize> = (0..k).collect();
    order.sort_by(|&a, &b| variance(a).total_cmp(&variance(b)));
    // Everything in this order from here on.
    let covariance = |i: usize, j: usize| {
        let (i, j) = (order[i], order[j]);
        moments.gram[i * k + j] / n - mean_x[i] * mean_x[j]
    };
    let mut h: Mat<f64> = Mat::from_fn(k, k, covariance);
    let spread = (0..k).map(|j| h[(j, j)]).sum::<f64>() / k.max(1) as f64;
    if !spread.is_finite() {
        return Err(Error::invalid("reconstruct", "sums are not finite"));
    }
    if spread <= 0.0 {
        return Ok(None);
    }
    let w = Mat::from_fn(k, o, |j, row| weights[row * k + order[j]]);
    let repaired = moments.count >= k as f64;
    let target = match repaired {
        true => {
            let cross = |j: usize, row: usize| {
                let j = order[j];
                moments.cross[row * k + j] / n - mean_y[row] * mean_x[j]
            };
            let ridge = RIDGE * spread;
            add_diagonal(&mut h, ridge);
            let right = Mat::from_fn(k, o, |j, row| cross(j, row) + ridge * w[(j, row)]);
            let target = factor(&h)?.solve(&right);
            add_diagonal(&mut h, -ridge);
            target
        }
        // Fewer samples than unknowns say too little.
        false => w.clone(),
    };
    add_diagonal(&mut h, DAMPING * spread);
    let low = if range.qmax < 4 {
        SHARE_OF_FEW
    } else {
        SHARES[0]
    };
    let variances: Vec<f64> = (0..k).map(|j| h[(j, j)]).collect();
    let rows: Vec<Row> = (0..o)
        .into_par_iter()
        .map(|row| Row::new(&w, &target, row, &variances, low, range))
        .collect();
    let lower = factor(&h)?.L().to_owned();
    let chunks: Vec<&[Row]> = rows.chunks(ROWS).collect();
    let rows: Vec<Vec<Row>> = chunks
        .into_par_iter()
        .map(|rows| nearest_plane(rows.to_vec(), &lower, range))
        .collect();
    drop(lower);
    let rows: Vec<Row> = rows.into_iter().flatten().collect();
    let products = |of: &dyn Fn(&Row) -> &[f64]| -> Mat<f64> {
        let columns = Mat::from_fn(k, o, |j, row| of(&rows[row])[j]);
        &h * &columns
    };
    let wh = products(&|row| &row.target);
    let qh = products(&|row| &row.q);
    let solved: Vec<Row> = rows
        .into_par_iter()
        .enumerate()
        .map(|(at, row)| row.descended(column(&wh, at), column(&qh, at).to_vec(), &h, range))
        .collect();
    let mut integers = vec![0; o * k];
    let mut bias = mean_y;
    for (at, row) in solved.iter().enumerate() {
        for (j, &q) in row.q.iter().enumerate() {
            integers[at * k + order[j]] = q as i32;
            bias[at] -= row.scale * q * mean_x[order[j]];
        }
    }
    Ok(Some(Solution {
        integers,
        scales: solved.iter().map(|row| row.scale).collect(),
        bias,
        repaired,
    }))
}

fn add_diagonal(h: &mut Mat<f64>, x: f64) {
    for j in 0..h.nrows() {
        h[(j, j)] += x;
    }
}

fn factor(h: &Mat<f64>) -> Result<faer::linalg::solvers::Llt<f64>> {
    h.llt(Side::Lower)
        .map_err(|_| Error::invalid("reconstruct", "a covariance is not positive"))
}

/// A column, which lies in one piece.
fn column(of: &Mat<f64>, at: usize) -> &[f64] {
    let whole: MatRef<'_, f64> = of.as_ref();
    match whole.col(at).try_as_col_major() {
        Some(column) => column.as_slice(),
        None => &[],
    }
}

/// One row of weights on its way to integers.
#[derive(Clone, Debug)]
struct Row {
    /// Weights that were removed.
    zero: Vec<bool>,
    target: Vec<f64>,
    scale: f64,
    q: Vec<f64>,
}

impl Row {
    fn new(
        w: &Mat<f64>,
        target: &Mat<f64>,
        row: usize,
        variances: &[f64],
        low: f64,
        range: Range,
    ) -> Self {
        let target = column(target, row).to_vec();
        let zero: Vec<bool> = column(w, row).iter().map(|&w| w == 0.0).collect();
        let largest = target.iter().fold(0f64, |m, x| m.max(x.abs()));
        let whole = largest / f64::from(range.qmax);
        let mut best = (f64::INFINITY, if whole > 0.0 { whole } else { 1.0 });
        for i in 0..SCALES {
            let share = low + (SHARES[1] - low) * i as f64 / (SCALES - 1) as f64;
            let scale = share * whole;
            if scale <= 0.0 {
                break;
            }
            let errors = target.iter().zip(variances).map(|(&w, v)| {
                let off = w - scale * rounded(w / scale, range);
                v * off * off
            });
            let error: f64 = errors.sum();
            if error < best.0 {
                best = (error, scale);
            }
        }
        Self {
            q: vec![0.0; target.len()],
            zero,
            target,
            scale: best.1,
        }
    }

    /// Coordinate descent from `q`, given `H·target` and `H·q`.
    fn descended(mut self, wh: &[f64], mut qh: Vec<f64>, h: &Mat<f64>, range: Range) -> Self {
        let k = self.q.len();
        let dot = |a: &[f64], b: &[f64]| -> f64 { a.iter().zip(b).map(|(a, b)| a * b).sum() };
        for _ in 0..PASSES {
            let (wq, qq) = (dot(wh, &self.q), dot(&qh, &self.q));
            if wq > 0.0 && qq > 0.0 {
                self.scale = wq / qq;
            }
            let mut moved = 0;
            for j in (0..k).filter(|&j| !self.zero[j]) {
                let slope = self.scale * qh[j] - wh[j];
                let q = rounded(self.q[j] - slope / (self.scale * h[(j, j)]), range);
                let step = q - self.q[j];
                if step != 0.0 {
                    self.q[j] = q;
                    moved += 1;
                    for (qh, h) in qh.iter_mut().zip(column(h, j)) {
                        *qh += step * h;
                    }
                }
            }
            if (moved as f64) < STILL * k as f64 {
                break;
            }
        }
        self
    }
}

fn rounded(x: f64, range: Range) -> f64 {
    let (low, high) = (f64::from(range.qmin), f64::from(range.qmax));
    x.round_ties_even().clamp(low, high)
}

/// Integers one after the other from the last input, each taking over what those before it left.
fn nearest_plane(mut rows: Vec<Row>, lower: &Mat<f64>, range: Range) -> Vec<Row> {
    let k = lower.nrows();
    let mut left: Vec<Vec<f64>> = vec![vec![0.0; k]; rows.len()];
    for j in (0..k).rev() {
        let below = column(lower, j);
        for (row, left) in rows.iter_mut().zip(&mut left) {
            let products = below[j + 1..].iter().zip(&left[j + 1..]);
            let carried: f64 = products.map(|(l, left)| l * left).sum();
            let meant = row.target[j] + carried / below[j];
            if !row.zero[j] {
                row.q[j] = rounded(meant / row.scale, range);
            }
            left[j] = row.target[j] - row.scale * row.q[j];
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Rng;

    /// Moments of `samples` inputs that depend on each other, and of what `weights` make of them.
    fn moments(weights: &[f64], k: usize, samples: usize, seed: u64) -> Moments {
        let (mut rng, o) = (Rng::new(seed), weights.len() / k);
        let mut sums = Moments {
            count: samples as f64,
            gram: vec![0.0; k * k],
            cross: vec![0.0; o * k],
            x: vec![0.0; k],
            y: vec![0.0; o],
        };
        for _ in 0..samples {
            let common = f64::from(rng.range(-1.0, 1.0));
            let x: Vec<f64> = (0..k)
                .map(|j| 0.3 + common + j as f64 * 0.2 * f64::from(rng.range(-1.0, 1.0)))
                .collect();
            for i in 0..k {
                (0..k).for_each(|j| sums.gram[i * k + j] += x[i] * x[j]);
                sums.x[i] += x[i];
            }
            for row in 0..o {
                let y: f64 = 0.7 + (0..k).map(|j| weights[row * k + j] * x[j]).sum::<f64>();
                (0..k).for_each(|j| sums.cross[row * k + j] += y * x[j]);
                sums.y[row] += y;
            }
        }
        sums
    }

    fn weights(o: usize, k: usize, seed: u64) -> Vec<f64> {
        let mut rng = Rng::new(seed);
        (0..o * k)
            .map(|_| f64::from(rng.range(-1.0, 1.0)))
            .collect()
    }

    /// `(w − s·q) H (w − s·q)ᵀ` with the damping that [`solve`] adds.
    fn error(sums: &Moments, w: &[f64], q: &[i32], scale: f64) -> f64 {
        let (k, n) = (sums.x.len(), sums.count);
        let mean: f64 = (0..k)
            .map(|j| sums.gram[j * k + j] / n - (sums.x[j] / n).powi(2))
            .sum::<f64>()
            / k as f64;
        let off: Vec<f64> = w
            .iter()
            .zip(q)
            .map(|(w, &q)| w - scale * f64::from(q))
            .collect();
        let mut total = 0.0;
        for i in 0..k {
            for j in 0..k {
                let damped = if i == j { DAMPING * mean } else { 0.0 };
                let h = sums.gram[i * k + j] / n - sums.x[i] * sums.x[j] / (n * n) + damped;
                total += off[i] * h * off[j];
            }
        }
        total
    }

    /// Every row of integers there is, at the scale that was found.
    fn least(sums: &Moments, w: &[f64], scale: f64, range: Range) -> f64 {
        let (k, steps) = (w.len(), (range.qmax - range.qmin + 1) as usize);
        let mut best = f64::INFINITY;
        for code in 0..steps.pow(k as u32) {
            let digit = |j: usize| (code / steps.pow(j as u32) % steps) as i32 + range.qmin;
            let q: Vec<i32> = (0..k).map(digit).collect();
            best = best.min(error(sums, w, &q, scale));
        }
        best
    }

    /// Against every row of integers there is: never worse than the nearest ones, and mostly the best of all.
    #[test]
    fn integers_are_mostly_the_best_of_all() {
        let range = Range::symmetric(2);
        let mut best = 0;
        for seed in 0..20 {
            let w = weights(1, 6, seed);
            let sums = moments(&w, 6, 400, seed + 100);
            let found = solve(&sums, &w, range).expect("finite").expect("it varies");
            let scale = found.scales[0];
            let nearest: Vec<i32> = w.iter().map(|w| rounded(w / scale, range) as i32).collect();
            let ours = error(&sums, &w, &found.integers, scale);
            let all = least(&sums, &w, scale, range);
            let slack = 1e-9 * all;
            assert!(ours <= error(&sums, &w, &nearest, scale) + slack, "{seed}");
            assert!(ours >= all - slack, "{seed}: {ours} for {all}");
            best += usize::from(ours <= all + slack);
        }
        assert!(best > 10, "{best} of 20");
    }

    /// Descent with a scale refitted before every pass only ever goes down.
    #[test]
    fn the_error_never_grows() {
        let range = Range::symmetric(3);
        for seed in 0..20 {
            let w = weights(1, 9, seed);
            let sums = moments(&w, 9, 300, seed + 50);
            let n = sums.count;
            let covariance =
                |i: usize, j: usize| sums.gram[i * 9 + j] / n - sums.x[i] * sums.x[j] / (n * n);
            let mut h = Mat::from_fn(9, 9, covariance);
            let spread = (0..9).map(|j| h[(j, j)]).sum::<f64>() / 9.0;
            add_diagonal(&mut h, DAMPING * spread);
            let target = Mat::from_fn(9, 1, |j, _| w[j]);
            let variances: Vec<f64> = (0..9).map(|j| h[(j, j)]).collect();
            let mut row = Row::new(&target, &target, 0, &variances, SHARES[0], range);
            // From zeros, the worst start there is.
            row.q[0] = 1.0;
            let mut last = f64::INFINITY;
            for _ in 0..6 {
                let q = Mat::from_fn(9, 1, |j, _| row.q[j]);
                let (wh, qh) = (&h * &target, &h * &q);
                row = row.descended(column(&wh, 0), column(&qh, 0).to_vec(), &h, range);
                let integers: Vec<i32> = row.q.iter().map(|&q| q as i32).collect();
                let now = error(&sums, &w, &integers, row.scale);
                assert!(now <= last * (1.0 + 1e-12), "{seed}: {now} after {last}");
                last = now;
            }
        }
    }

    #[test]
    fn weights_on_the_grid_stay_with_their_bias() {
        let range = Range::symmetric(4);
        let integers = [7, -3, 2, -7, 1, 5, 7, -2];
        let w: Vec<f64> = integers.iter().map(|&q| 0.25 * f64::from(q)).collect();
        let sums = moments(&w, 4, 300, 3);
        let found = solve(&sums, &w, range).expect("finite").expect("it varies");
        assert_eq!(found.integers, integers);
        assert!(found.scales.iter().all(|s| (s - 0.25).abs() < 1e-9));
        assert!(
            found.bias.iter().all(|b| (b - 0.7).abs() < 1e-9),
            "{found:?}"
        );
        assert!(found.repaired);
    }

    #[test]
    fn removed_weights_stay_removed_and_the_others_take_over() {
        let range = Range::symmetric(4);
        let whole = weights(3, 8, 5);
        let sums = moments(&whole, 8, 500, 6);
        let mut pruned = whole.clone();
        pruned.iter_mut().step_by(3).for_each(|w| *w = 0.0);
        let found = solve(&sums, &pruned, range)
            .expect("finite")
            .expect("it varies");
        let mut plain = 0.0;
        let mut ours = 0.0;
        for row in 0..3 {
            let at = row * 8..(row + 1) * 8;
            let (q, scale) = (&found.integers[at.clone()], found.scales[row]);
            for (q, w) in q.iter().zip(&pruned[at.clone()]) {
                assert!(*w != 0.0 || *q == 0);
            }
            let own = &pruned[at.clone()];
            let nearest: Vec<i32> = own
                .iter()
                .map(|w| rounded(w / scale, range) as i32)
                .collect();
            plain += error(&sums, &whole[at.clone()], &nearest, scale);
            ours += error(&sums, &whole[at], q, scale);
        }
        assert!(ours < plain, "{ours} for {plain}");
    }

    #[test]
    fn inputs_that_never_vary_say_nothing() {
        let sums = Moments {
            count: 4.0,
            gram: vec![4.0],
            cross: vec![8.0],
            x: vec![4.0],
            y: vec![8.0],
        };
        assert_eq!(
            solve(&sums, &[2.0], Range::symmetric(4)).expect("finite"),
            None
        );
        let broken = Moments {
            gram: vec![f64::NAN],
            ..sums
        };
        assert!(solve(&broken, &[2.0], Range::symmetric(4)).is_err());
    }
}
