//! Masks by magnitude, of elements and of channels: exact top-k on a device.

use std::sync::Arc;

use super::sparsity::{apply_mask, channels_kept, check_mask, full_mask, kept, mask_from_bools};
use crate::base::{DType, Shape, Tensor, num_elements};
use crate::error::{Error, Result};
use crate::graph::{Device, Executor, Kind, PlanBuilder};
use crate::kernels::reduce::{ChannelMaskExpand, ChannelNorm, Norm};
use crate::kernels::topk::{self, BINS, STATE, TopkBegin, TopkHistogram, TopkSelect, digits};

/// What is ranked together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Every tensor on its own.
    PerTensor,
    /// All tensors in one ranking, in the order given.
    Global,
}

/// How much of what is still unpruned goes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Amount {
    /// `round_ties_even(fraction · n)` of the `n` that are left.
    Fraction(f64),
    /// That many.
    Count(usize),
}

impl Amount {
    /// How many of `n` go.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a fraction outside 0 ..= 1 or NaN, or a count above `n`.
    pub fn count(self, n: usize) -> Result<usize> {
        match self {
            // The product is at most n, hence exact as an integer.
            Self::Fraction(fraction) if (0.0..=1.0).contains(&fraction) => {
                Ok((fraction * n as f64).round_ties_even() as usize)
            }
            Self::Fraction(fraction) => {
                let problem = format!("the amount is {fraction}, expected 0 to 1");
                Err(Error::invalid("prune", problem))
            }
            Self::Count(count) if count <= n => Ok(count),
            Self::Count(count) => {
                let problem = format!("{count} shall go, but only {n} are left unpruned");
                Err(Error::invalid("prune", problem))
            }
        }
    }
}

/// A ranking over the concatenation of tensors, as steps of a plan.
#[derive(Clone, Debug)]
pub struct TopkMask {
    /// Elements of each tensor.
    pub lens: Vec<usize>,
}

impl TopkMask {
    /// Appends the steps that prune the `k` unpruned elements with the smallest (|w| bits, index in the
    /// concatenation). `weights` (f32) and `old` (masks) are values of the plan, one per tensor; `k` is a
    /// u32 `[1]` value. Returns the values of the new masks. If fewer than `k` are left, all go.
    ///
    /// # Errors
    /// [`Error::Invalid`] unless there is a weight and a mask for each of `lens`, none of them empty, and at
    /// most 2³¹ elements together.
    pub fn append(
        &self,
        builder: &mut PlanBuilder,
        name: &str,
        weights: &[usize],
        old: &[usize],
        k: usize,
    ) -> Result<Vec<usize>> {
        let invalid = |problem: String| Err(Error::invalid("prune", problem));
        if weights.len() != self.lens.len() || old.len() != self.lens.len() {
            return invalid(format!(
                "{} weights and {} masks for {} tensors",
                weights.len(),
                old.len(),
                self.lens.len()
            ));
        }
        if let Some(empty) = self.lens.iter().position(|&len| len == 0) {
            return invalid(format!("tensor {empty} has no elements"));
        }
        let total: usize = self.lens.iter().sum();
        if total > 1 << 31 {
            return invalid(format!("{total} elements in one ranking, at most 2^31"));
        }
        let state = builder.value(&format!("{name}.state"), DType::U32, &[STATE], Kind::Temp);
        let hist = builder.value(&format!("{name}.hist"), DType::U32, &[BINS], Kind::Temp);
        builder.step(name, Arc::new(TopkBegin), vec![k, state, hist]);
        let mut offsets = Vec::with_capacity(self.lens.len());
        let mut offset = 0;
        for &len in &self.lens {
            offsets.push(offset);
            offset += len;
        }
        for digit in digits(total) {
            for (i, (&len, &offset)) in self.lens.iter().zip(&offsets).enumerate() {
                let kernel = TopkHistogram { len, offset, digit };
                let args = vec![weights[i], old[i], state, hist];
                builder.step(name, Arc::new(kernel), args);
            }
            builder.step(name, Arc::new(TopkSelect { digit }), vec![state, hist]);
        }
        let mut masks = Vec::with_capacity(self.lens.len());
        for (i, (&len, &offset)) in self.lens.iter().zip(&offsets).enumerate() {
            let label = format!("{name}.mask{i}");
            let mask = builder.value(&label, DType::U32, &[len.div_ceil(32)], Kind::Temp);
            let args = vec![weights[i], old[i], state, mask];
            builder.step(name, Arc::new(topk::TopkMask { len, offset }), args);
            masks.push(mask);
        }
        Ok(masks)
    }
}

/// A resident plan that makes masks of the same tensors again and again, for schedules: one submission
/// each time.
#[derive(Debug)]
pub struct MaskPlan {
    executor: Executor,
    scope: Scope,
    lens: Vec<usize>,
}

impl MaskPlan {
    /// For f32 weights of these shapes.
    ///
    /// # Errors
    /// [`Error::Invalid`] without shapes or for one without elements; what the device reports.
    pub async fn new(device: &Device, shapes: &[Shape], scope: Scope) -> Result<Self> {
        if shapes.is_empty() {
            return Err(Error::invalid("prune", "there are no tensors"));
        }
        let lens: Vec<usize> = shapes.iter().map(|shape| num_elements(shape)).collect();
        let mut builder = PlanBuilder::default();
        let mut input = |name: &str, i: usize, dtype, shape: &[usize]| {
            builder.value(&format!("{name}{i}"), dtype, shape, Kind::Input)
        };
        let weights: Vec<usize> = (0..lens.len())
            .map(|i| input("w", i, DType::F32, &shapes[i]))
            .collect();
        let old: Vec<usize> = (0..lens.len())
            .map(|i| input("old", i, DType::U32, &[lens[i].div_ceil(32)]))
            .collect();
        let rankings = match scope {
            Scope::PerTensor => lens.len(),
            Scope::Global => 1,
        };
        let ks: Vec<usize> = (0..rankings)
            .map(|i| input("k", i, DType::U32, &[1]))
            .collect();
        let per_ranking = lens.len() / rankings;
        let mut masks = Vec::with_capacity(lens.len());
        for (i, &k) in ks.iter().enumerate() {
            let part = i * per_ranking..(i + 1) * per_ranking;
            let topk = TopkMask {
                lens: lens[part.clone()].to_vec(),
            };
            let name = format!("topk{i}");
            let (weights, old) = (&weights[part.clone()], &old[part]);
            masks.extend(topk.append(&mut builder, &name, weights, old, k)?);
        }
        for mask in masks {
            builder.output(mask);
        }
        let executor = device.load(builder.finish()?).await?;
        Ok(Self {
            executor,
            scope,
            lens,
        })
    }

    /// The resident plan, for timing.
    pub fn executor(&mut self) -> &mut Executor {
        &mut self.executor
    }

    /// Masks in which `amount` of what `old` keeps (`None`: everything) is pruned as well.
    ///
    /// # Errors
    /// As [`Amount::count`] and [`check_mask`]; for weights of other shapes; what the device reports.
    pub async fn prune(
        &mut self,
        weights: &[&Tensor],
        old: &[Option<&Tensor>],
        amount: Amount,
    ) -> Result<Vec<Tensor>> {
        self.run(weights, old, |left, _| amount.count(left)).await
    }

    /// Masks that keep exactly `n − round_ties_even(sparsity · n)` of the `n` elements of each ranking.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a sparsity outside 0 ..= 1, and if `old` has pruned more than that; otherwise
    /// as [`Self::prune`].
    pub async fn prune_to_sparsity(
        &mut self,
        weights: &[&Tensor],
        old: &[Option<&Tensor>],
        sparsity: f64,
    ) -> Result<Vec<Tensor>> {
        let count = |left: usize, total: usize| {
            let goes = Amount::Fraction(sparsity).count(total)?;
            let gone = total - left;
            goes.checked_sub(gone).ok_or_else(|| {
                let problem = format!(
                    "a sparsity of {sparsity} means {goes} of {total} pruned, but {gone} are already"
                );
                Error::invalid("prune", problem)
            })
        };
        self.run(weights, old, count).await
    }

    /// `count(left, total)` says how many elements of a ranking go.
    async fn run(
        &mut self,
        weights: &[&Tensor],
        old: &[Option<&Tensor>],
        count: impl Fn(usize, usize) -> Result<usize>,
    ) -> Result<Vec<Tensor>> {
        if weights.len() != self.lens.len() || old.len() != self.lens.len() {
            let problem = format!(
                "{} weights and {} masks, expected {} of each",
                weights.len(),
                old.len(),
                self.lens.len()
            );
            return Err(Error::invalid("prune", problem));
        }
        let mut masks = Vec::with_capacity(old.len());
        for (&mask, &len) in old.iter().zip(&self.lens) {
            let mask = mask.cloned().unwrap_or_else(|| full_mask(len));
            check_mask(&mask, len)?;
            masks.push(mask);
        }
        let counts: Vec<(usize, usize)> = masks
            .iter()
            .zip(&self.lens)
            .map(|(mask, &len)| (kept(mask), len))
            .collect();
        let counts = match self.scope {
            Scope::PerTensor => counts,
            Scope::Global => {
                let add = |(a, b), (left, len)| (a + left, b + len);
                vec![counts.into_iter().fold((0, 0), add)]
            }
        };
        let mut ks = Vec::with_capacity(counts.len());
        for (left, total) in counts {
            ks.push(Tensor::from_u32(&[1], &[count(left, total)? as u32])?);
        }
        let inputs: Vec<&Tensor> = weights.iter().copied().chain(&masks).chain(&ks).collect();
        self.executor.run(&inputs).await
    }
}

/// Masks of f32 weights in which `amount` of what `old` keeps (`None`: everything) is pruned as well: the
/// smallest in the order (|w| bits, index), ties therefore from the front; NaN counts as larger than
/// infinity. A fraction is taken of what is left, per tensor or of all together, as the scope says.
///
/// The same rule as `l1_unstructured` and `global_unstructured` of PyTorch, whose ties are undefined.
///
/// # Errors
/// As [`MaskPlan::new`] and [`MaskPlan::prune`].
pub async fn magnitude_masks(
    device: &Device,
    weights: &[&Tensor],
    old: &[Option<&Tensor>],
    scope: Scope,
    amount: Amount,
) -> Result<Vec<Tensor>> {
    let mut plan = MaskPlan::new(device, &shapes(weights), scope).await?;
    plan.prune(weights, old, amount).await
}

/// As [`magnitude_masks`], to a total sparsity: exactly `n − round_ties_even(sparsity · n)` elements of
/// each ranking are kept.
///
/// # Errors
/// As [`MaskPlan::new`] and [`MaskPlan::prune_to_sparsity`].
pub async fn magnitude_masks_to_sparsity(
    device: &Device,
    weights: &[&Tensor],
    old: &[Option<&Tensor>],
    scope: Scope,
    sparsity: f64,
) -> Result<Vec<Tensor>> {
    let mut plan = MaskPlan::new(device, &shapes(weights), scope).await?;
    plan.prune_to_sparsity(weights, old, sparsity).await
}

fn shapes(weights: &[&Tensor]) -> Vec<Shape> {
    weights.iter().map(|w| w.shape().to_vec()).collect()
}

/// The mask of an f32 weight in which whole slices along axis `dim` are pruned: `amount` of those in which
/// `old` keeps anything go, the ones with the smallest norm of their kept elements, ties from the front.
/// Elements that `old` prunes stay pruned.
///
/// The same rule as `ln_structured` of PyTorch. Norms are sums in f32: where two differ by less than its
/// rounding, devices may order them differently.
///
/// # Errors
/// [`Error::Invalid`] for a weight of fewer than two axes, without elements, or without axis `dim`; as
/// [`Amount::count`] and [`check_mask`]; what the device reports.
pub async fn channel_masks(
    device: &Device,
    weight: &Tensor,
    old: Option<&Tensor>,
    norm: Norm,
    dim: usize,
    amount: Amount,
) -> Result<Tensor> {
    let shape = weight.shape();
    if shape.len() < 2 || weight.is_empty() {
        let problem = format!("channels of a tensor of shape {shape:?}, expected two axes or more");
        return Err(Error::invalid("prune", problem));
    }
    let old = old.cloned().unwrap_or_else(|| full_mask(weight.len()));
    let alive = mask_from_bools(&channels_kept(&old, shape, dim)?);
    let k = amount.count(kept(&alive))?;
    let weight = apply_mask(weight, &old)?;

    let channels = shape[dim];
    let mut builder = PlanBuilder::default();
    let w = builder.value("w", DType::F32, shape, Kind::Input);
    let old_value = builder.value("old", DType::U32, old.shape(), Kind::Input);
    let alive_value = builder.value("alive", DType::U32, alive.shape(), Kind::Input);
    let k_value = builder.value("k", DType::U32, &[1], Kind::Input);
    let norms = builder.value("norms", DType::F32, &[channels], Kind::Temp);
    let shape = shape.to_vec();
    let kernel = ChannelNorm {
        shape: shape.clone(),
        dim,
        norm,
    };
    builder.step("norms", Arc::new(kernel), vec![w, norms]);
    let topk = TopkMask {
        lens: vec![channels],
    };
    let stay = topk.append(&mut builder, "topk", &[norms], &[alive_value], k_value)?;
    let mask = builder.value("mask", DType::U32, old.shape(), Kind::Temp);
    let expand = ChannelMaskExpand { shape, dim };
    let args = vec![stay[0], old_value, mask];
    builder.step("expand", Arc::new(expand), args);
    builder.output(mask);
    let mut executor = device.load(builder.finish()?).await?;
    let k = Tensor::from_u32(&[1], &[k as u32])?;
    let mut masks = executor.run(&[&weight, &old, &alive, &k]).await?;
    Ok(masks.swap_remove(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fractions_round_half_to_even() {
        let count = |fraction, n| Amount::Fraction(fraction).count(n).ok();
        assert_eq!(count(0.5, 1), Some(0));
        assert_eq!(count(0.5, 3), Some(2));
        assert_eq!(count(0.5, 5), Some(2));
        assert_eq!(count(1.0, 7), Some(7));
        assert_eq!(count(1.0 + f64::EPSILON, 7), None);
        assert_eq!(count(-0.1, 7), None);
        assert_eq!(count(f64::NAN, 7), None);
        assert_eq!(Amount::Count(7).count(7).ok(), Some(7));
        let error = Amount::Count(8).count(7).expect_err("too many").to_string();
        assert_eq!(error, "prune: 8 shall go, but only 7 are left unpruned");
    }
}
