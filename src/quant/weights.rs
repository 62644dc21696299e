//! Weights: symmetric scales of a few bits, one per channel, and the integers.

use std::collections::BTreeMap;
use std::str::FromStr;

use crate::base::parallel::*;
use serde::{Deserialize, Serialize};

use super::points::{has_weights, weights_of};
use super::qparams::{Convention, choose};
use super::scheme::{LayerSchemes, Preset, Scheme};
use crate::base::{DType, Quantization, Range, Tensor, num_elements};
use crate::error::{Error, Result};
use crate::graph::Graph;

/// How the scale of a channel is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WeightMethod {
    /// `max |w| / qmax`: nothing is clipped.
    #[default]
    MinMax,
    /// The hundredth of that with the least `Σ (w − fake_quantize(w))²`; the larger scale wins ties.
    Mse,
}

impl WeightMethod {
    /// The better one for a scheme: clipping pays off below 8 bits.
    pub fn for_scheme(scheme: Scheme) -> Self {
        if scheme.weight_bits() < 8 {
            Self::Mse
        } else {
            Self::MinMax
        }
    }
}

impl FromStr for WeightMethod {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "minmax" => Ok(Self::MinMax),
            "mse" => Ok(Self::Mse),
            _ => Err(Error::invalid(
                "weights",
                format!("there is no method `{text}`; there are minmax, mse"),
            )),
        }
    }
}

/// `[outer, channels, inner]`, as in the kernels.
#[derive(Clone, Copy, Debug)]
pub(super) struct View {
    channels: usize,
    inner: usize,
    len: usize,
}

impl View {
    fn of(op: &str, shape: &[usize], axis: Option<usize>) -> Result<Self> {
        let (channels, inner) = match axis {
            Some(axis) if axis < shape.len() => (shape[axis], num_elements(&shape[axis + 1..])),
            Some(axis) => {
                let expected = format!("one with an axis {axis} for the channels");
                return Err(Error::shape(op, "weights", expected, shape));
            }
            None => (1, num_elements(shape)),
        };
        let len = num_elements(shape);
        Ok(Self {
            channels,
            inner,
            len,
        })
    }

    /// The view that a quantization means, which must have parameters for each of its channels.
    pub fn checked(op: &str, shape: &[usize], quantization: &Quantization) -> Result<Self> {
        let view = Self::of(op, shape, quantization.axis)?;
        let (scales, zero_points) = (quantization.scales.len(), quantization.zero_points.len());
        if (scales, zero_points) != (view.channels, view.channels) {
            let expected = format!(
                "one with {scales} slices along axis {:?} ({zero_points} zero points)",
                quantization.axis
            );
            return Err(Error::shape(op, "weights", expected, shape));
        }
        Ok(view)
    }

    pub fn channel_of(self, index: usize) -> usize {
        index / self.inner.max(1) % self.channels.max(1)
    }

    fn values(self, data: &[f32], channel: usize) -> Vec<f32> {
        let (run, stride) = (self.inner, self.channels * self.inner);
        (0..self.len / stride.max(1))
            .flat_map(|o| &data[o * stride + channel * run..][..run])
            .copied()
            .collect()
    }
}

/// Symmetric quantization of `weights` (f32) into `bits` bits, 2 to 8: a scale for each slice of `axis`,
/// or one for all. A slice of zeros has scale 1.
///
/// # Errors
/// [`Error::Invalid`] for other bits (1 bit: [`binarize_weights`]) and for weights that are not finite;
/// [`Error::Shape`] if there is no such axis; [`Error::DType`] unless the weights are f32.
pub fn weight_quantization(
    weights: &Tensor,
    axis: Option<usize>,
    bits: u32,
    method: WeightMethod,
) -> Result<Quantization> {
    let op = "quantize weights";
    if !(2..=8).contains(&bits) {
        let problem = format!("{bits} bits, expected 2 to 8 (binarize_weights makes 1)");
        return Err(Error::invalid(op, problem));
    }
    let view = View::of(op, weights.shape(), axis)?;
    let data = weights.as_f32()?;
    check_finite(op, data)?;
    let range = Range::symmetric(bits);
    let scales: Vec<f32> = (0..view.channels)
        .into_par_iter()
        .map(|channel| {
            let values = view.values(data, channel);
            let largest = values.iter().fold(0.0f32, |a, x| a.max(x.abs()));
            let scale_of =
                |largest: f32| choose(-largest, largest, range, true, Convention::Wizen).scale;
            match method {
                WeightMethod::MinMax => scale_of(largest),
                WeightMethod::Mse => {
                    let mut best = (f64::INFINITY, 1.0);
                    for hundredths in (1..=100u8).rev() {
                        let scale = scale_of(largest * (f32::from(hundredths) / 100.0));
                        let error = squared_error(&values, scale, range);
                        if error < best.0 {
                            best = (error, scale);
                        }
                    }
                    best.1
                }
            }
        })
        .collect();
    let zero_points = vec![0; scales.len()];
    Ok(Quantization {
        axis,
        scales,
        zero_points,
        range,
        binary: false,
    })
}

fn check_finite(op: &str, data: &[f32]) -> Result<()> {
    match data.iter().position(|x| !x.is_finite()) {
        Some(at) => {
            let problem = format!("weight {at} is {}, expected finite numbers", data[at]);
            Err(Error::invalid(op, problem))
        }
        None => Ok(()),
    }
}

/// `Σ (x − fake_quantize(x))²` with zero point 0.
fn squared_error(values: &[f32], scale: f32, range: Range) -> f64 {
    // Adding and taking away 1.5 · 2²³ rounds to the even integer, and compiles to two additions;
    // clamping first changes nothing, as the ends are integers.
    const MAGIC: f32 = 12_582_912.0;
    let (inv_scale, qmin, qmax) = (1.0 / scale, range.qmin as f32, range.qmax as f32);
    values
        .chunks(256)
        .map(|values| {
            let sum: f32 = values
                .iter()
                .map(|&x| {
                    let q = ((x * inv_scale).clamp(qmin, qmax) + MAGIC) - MAGIC;
                    let difference = x * inv_scale - q;
                    difference * difference
                })
                .sum();
            f64::from(sum)
        })
        .sum::<f64>()
        * f64::from(scale)
        * f64::from(scale)
}

/// The integers of `weights` (f32) under `quantization`, by equation (2) of the quantization equations.
///
/// # Errors
/// [`Error::Shape`] if the quantization does not fit the weights, [`Error::DType`] unless they are f32,
/// [`Error::Invalid`] if they are not finite or the range does not fit 8 bits.
pub fn quantize_weights(weights: &Tensor, quantization: &Quantization) -> Result<Tensor> {
    let op = "quantize weights";
    let view = View::checked(op, weights.shape(), quantization)?;
    let data = weights.as_f32()?;
    check_finite(op, data)?;
    let Range { qmin, qmax } = quantization.range;
    if qmin < -128 || qmax > 127 {
        let problem = format!("the range {qmin} to {qmax} does not fit 8 bits");
        return Err(Error::invalid(op, problem));
    }
    let q: Vec<i8> = data
        .iter()
        .enumerate()
        .map(|(i, &x)| quantization.quantize(view.channel_of(i), x) as i8)
        .collect();
    Tensor::from_i8(weights.shape(), &q)
}

/// Binary weights: +1 for `w ≥ 0`, −1 else, and the scale `mean |w|` of each slice, which has the least
/// squared error of all scales (XNOR-Net, Rastegari et al. 2016).
///
/// The range of the result is −1 to 1 and dequantizing is the usual equation, but quantizing is not
/// ([`Quantization::binary`]): no weight becomes 0.
///
/// # Errors
/// As [`quantize_weights`].
pub fn binarize_weights(weights: &Tensor, axis: Option<usize>) -> Result<(Tensor, Quantization)> {
    let op = "binarize weights";
    let view = View::of(op, weights.shape(), axis)?;
    let data = weights.as_f32()?;
    check_finite(op, data)?;
    let scales: Vec<f32> = (0..view.channels)
        .map(|channel| {
            let values = view.values(data, channel);
            let sum: f64 = values.iter().map(|&x| f64::from(x.abs())).sum();
            let mean = (sum / values.len().max(1) as f64) as f32;
            // Guards what a mean of 0 or of subnormals would give.
            choose(-mean, mean, Range::symmetric(2), true, Convention::Wizen).scale
        })
        .collect();
    let quantization = Quantization {
        axis,
        zero_points: vec![0; scales.len()],
        scales,
        range: Range { qmin: -1, qmax: 1 },
        binary: true,
    };
    Ok((quantize_weights(weights, &quantization)?, quantization))
}

/// The real values (f32) of integers (i8): equation (1) of the quantization equations.
///
/// # Errors
/// [`Error::Shape`] if the quantization does not fit, [`Error::DType`] unless `q` is i8.
pub fn dequantize(q: &Tensor, quantization: &Quantization) -> Result<Tensor> {
    let view = View::checked("dequantize", q.shape(), quantization)?;
    let real: Vec<f64> = q
        .to_i8()?
        .into_iter()
        .enumerate()
        .map(|(i, q)| {
            let params = quantization.channel(view.channel_of(i));
            f64::from(params.dequantize(q.into()))
        })
        .collect();
    let mut out = Tensor::zeros(q.shape(), DType::F32);
    out.store_f64(&real)?;
    Ok(out)
}

/// Scales of all weights of a float graph but those of layers that stay float, per output channel, by the name of the
/// weights; `how` = `None` takes what suits each layer's bits ([`WeightMethod::for_scheme`]).
///
/// # Errors
/// [`Error::Invalid`] naming a weight that is not finite or not stored in the graph, or a layer that has
/// a scheme of its own and does not exist.
pub fn choose_weights(
    graph: &Graph,
    schemes: &LayerSchemes,
    how: Option<WeightMethod>,
) -> Result<BTreeMap<String, Quantization>> {
    let mut out = BTreeMap::new();
    for layer in schemes
        .layers()
        .map(|(layer, _)| layer)
        .chain(schemes.floats())
    {
        let names = graph.nodes().iter().filter(|node| has_weights(node));
        let names: Vec<&str> = names.map(|node| node.name.as_str()).collect();
        if !names.contains(&layer) {
            let problem = format!(
                "there is no layer `{layer}`; there are {}",
                names.join(", ")
            );
            return Err(Error::invalid("scheme", problem));
        }
    }
    if schemes.network() == Scheme::Fp16 {
        return Ok(out);
    }
    for (node, id) in graph
        .nodes()
        .iter()
        .filter_map(|n| Some((n, weights_of(n)?)))
    {
        if schemes.is_float(&node.name) {
            continue;
        }
        let name = &graph.value(id).name;
        let tensor = graph.tensor(id).ok_or_else(|| {
            Error::invalid(
                &node.name,
                format!("`{name}` is computed, not stored; bake masks first"),
            )
        })?;
        if let Some(bad) = tensor.to_f32().iter().find(|x| !x.is_finite()) {
            return Err(Error::invalid(
                &node.name,
                format!("`{name}` contains {bad}; the model is damaged"),
            ));
        }
        let scheme = schemes.of(&node.name);
        let how = how.unwrap_or_else(|| WeightMethod::for_scheme(scheme));
        let quantization = match (scheme, scheme.weight_bits()) {
            (_, 1) => binarize_weights(tensor, Some(0))?.1,
            (
                Scheme::Integer {
                    preset: Preset::Torch,
                    ..
                },
                _,
            ) => torch_weights(tensor)?,
            (_, bits) => weight_quantization(tensor, Some(0), bits, how)?,
        };
        out.insert(name.clone(), quantization);
    }
    Ok(out)
}

/// PyTorch's per-channel observer: −128 to 127, divisor 127.5.
fn torch_weights(tensor: &Tensor) -> Result<Quantization> {
    let range = Range::affine(8);
    let channels = tensor.shape().first().copied().unwrap_or(1).max(1);
    let values = tensor.as_f32()?;
    let scale = |channel: &[f32]| {
        let min = channel.iter().copied().fold(0.0, f32::min);
        let max = channel.iter().copied().fold(0.0, f32::max);
        choose(min, max, range, true, Convention::Torch).scale
    };
    let scales = values
        .chunks((values.len() / channels).max(1))
        .map(scale)
        .collect();
    Ok(Quantization::per_channel(0, scales, range))
}

#[cfg(test)]
mod tests {
    use super::super::error::{clipped_share, sqnr_db};
    use super::*;
    use crate::base::Rng;

    fn normal(shape: &[usize]) -> Tensor {
        let mut rng = Rng::new(11);
        let data: Vec<f32> = (0..num_elements(shape)).map(|_| rng.normal()).collect();
        Tensor::from_f32(shape, &data).expect("fits")
    }

    fn quality(weights: &Tensor, bits: u32, method: WeightMethod) -> f64 {
        let q = weight_quantization(weights, Some(0), bits, method).expect("f32");
        let integers = quantize_weights(weights, &q).expect("fits");
        sqnr_db(weights, &dequantize(&integers, &q).expect("fits")).expect("same shape")
    }

    #[test]
    fn more_bits_and_the_search_are_better() {
        let weights = normal(&[6, 3, 3, 19]);
        let mut before = 0.0;
        for bits in 2..=8 {
            let plain = quality(&weights, bits, WeightMethod::MinMax);
            let best = quality(&weights, bits, WeightMethod::Mse);
            assert!(
                best >= plain - 1e-3 && best > before,
                "{bits}: {plain} {best}"
            );
            before = best;
        }
        assert!(before > 38.0, "8 bits: {before} dB");
    }

    #[test]
    fn min_max_clips_nothing_and_uses_the_whole_range() {
        let weights = normal(&[4, 33]);
        for axis in [None, Some(0), Some(1)] {
            let q = weight_quantization(&weights, axis, 4, WeightMethod::MinMax).expect("f32");
            assert_eq!(clipped_share(&weights, &q).expect("f32"), 0.0);
            let integers = quantize_weights(&weights, &q)
                .expect("fits")
                .to_i8()
                .expect("i8");
            assert_eq!(integers.iter().map(|q| q.abs()).max(), Some(7));
        }
    }

    #[test]
    fn the_search_measures_what_quantizing_does() {
        let weights = normal(&[1, 1000]);
        let range = Range::symmetric(3);
        let q = crate::base::QParams {
            scale: 0.7,
            zero_point: 0,
            range,
        };
        let data = weights.as_f32().expect("f32");
        let want: f64 = data
            .iter()
            .map(|&x| f64::from(x - q.fake_quantize(x)).powi(2))
            .sum();
        let got = squared_error(data, q.scale, range);
        assert!((got - want).abs() < 1e-5 * want, "{got} {want}");
    }

    #[test]
    fn binary_by_hand() {
        let weights = Tensor::from_f32(&[2, 2], &[0.5, -1.5, 0.0, 0.0]).expect("fits");
        let (q, params) = binarize_weights(&weights, Some(0)).expect("f32");
        assert_eq!(q.to_i8().expect("i8"), [1, -1, 1, 1]);
        assert_eq!(params.scales, [1.0, 1.0]);
    }

    #[test]
    fn mistakes_are_errors() {
        let weights = Tensor::from_f32(&[2, 2], &[0.5, f32::NAN, 0.0, 0.0]).expect("fits");
        let bad = |weights: &Tensor, axis, bits| {
            weight_quantization(weights, axis, bits, WeightMethod::MinMax)
                .expect_err("must fail")
                .to_string()
        };
        assert!(bad(&weights, None, 8).contains("weight 1 is NaN"));
        assert!(bad(&normal(&[2]), None, 1).contains("binarize_weights"));
        assert!(bad(&normal(&[2]), Some(1), 8).contains("axis 1"));
        let q = Quantization::per_channel(0, vec![1.0; 3], Range::symmetric(8));
        assert!(quantize_weights(&normal(&[2, 5]), &q).is_err());
    }
}
