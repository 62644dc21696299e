//! Names of quantization schemes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::base::Range;
use crate::error::{Error, Result};

/// Whose conventions choose scales from ranges.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Preset {
    /// wizen's own: weights −127..127 with divisor 127, activations −128..127.
    #[default]
    Wizen,
    /// PyTorch's fbgemm default: weights −128..127 with divisor 127.5, activations of 7 bits.
    Torch,
    /// ONNX Runtime's QDQ default: weights −127..127 with divisor 127, activations −128..127.
    Onnx,
}

/// What a network is quantized to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scheme {
    /// Weights and activations stored as f16, accumulated in f32.
    Fp16,
    /// Integer weights (symmetric, per output channel) and integer activations (affine, per tensor).
    Integer {
        /// Bits of a weight, 1 to 8.
        weight_bits: u32,
        /// Bits of an activation, 1 to 8.
        activation_bits: u32,
        /// Whose conventions.
        preset: Preset,
    },
    /// Integer weights, float activations and arithmetic.
    WeightOnly {
        /// Bits of a weight, 1 to 8.
        weight_bits: u32,
    },
}

impl Scheme {
    /// The default: `int8`.
    pub const INT8: Self = Self::Integer {
        weight_bits: 8,
        activation_bits: 8,
        preset: Preset::Wizen,
    };

    /// Bits of a weight.
    pub fn weight_bits(self) -> u32 {
        match self {
            Self::Fp16 => 16,
            Self::Integer { weight_bits, .. } | Self::WeightOnly { weight_bits } => weight_bits,
        }
    }

    /// Whose conventions choose scales.
    pub fn preset(self) -> Preset {
        match self {
            Self::Integer { preset, .. } => preset,
            Self::Fp16 | Self::WeightOnly { .. } => Preset::Wizen,
        }
    }

    /// True if results of the network become integers too, as PyTorch and ONNX Runtime do; wizen's own
    /// schemes keep their full accumulators.
    pub fn quantizes_outputs(self) -> bool {
        self.preset() != Preset::Wizen
    }

    /// Integers of a weight.
    pub fn weight_range(self) -> Range {
        match self {
            Self::Integer {
                preset: Preset::Torch,
                ..
            } => Range::affine(8),
            // One bit is the sign alone: −1 or 1.
            _ => Range::symmetric(self.weight_bits().clamp(2, 8)),
        }
    }

    /// Integers of an activation; `None` if activations stay float.
    pub fn activation_range(self) -> Option<Range> {
        match self {
            Self::Integer {
                preset: Preset::Torch,
                ..
            } => Some(Range::affine(7)),
            Self::Integer {
                activation_bits, ..
            } => Some(Range::affine(activation_bits)),
            Self::Fp16 | Self::WeightOnly { .. } => None,
        }
    }
}

/// A scheme for the network, and others for some of its layers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerSchemes {
    network: Scheme,
    layers: BTreeMap<String, Scheme>,
    floats: BTreeSet<String>,
}

impl From<Scheme> for LayerSchemes {
    fn from(network: Scheme) -> Self {
        Self {
            network,
            layers: BTreeMap::new(),
            floats: BTreeSet::new(),
        }
    }
}

impl LayerSchemes {
    /// The same with another scheme for one layer: its weights and its result.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the layer's scheme is of another kind than the network's: a network is float,
    /// integer or has integer weights alone.
    pub fn with(mut self, layer: &str, scheme: Scheme) -> Result<Self> {
        let same_kind = matches!(
            (self.network, scheme),
            (Scheme::Integer { .. }, Scheme::Integer { .. })
                | (Scheme::WeightOnly { .. }, Scheme::WeightOnly { .. })
        );
        if !same_kind {
            let problem = format!(
                "`{layer}` cannot be {scheme} in a network that is {}",
                self.network
            );
            return Err(Error::invalid("scheme", problem));
        }
        self.layers.insert(layer.to_owned(), scheme);
        Ok(self)
    }

    /// The same with a layer that stays float (f32): what it reads is turned into reals, what it makes follows
    /// the scheme again.
    #[must_use]
    pub fn with_float(mut self, layer: &str) -> Self {
        self.floats.insert(layer.to_owned());
        self
    }

    /// Layers that stay float.
    pub fn floats(&self) -> impl Iterator<Item = &str> {
        self.floats.iter().map(String::as_str)
    }

    /// True for a layer that stays float.
    pub fn is_float(&self, layer: &str) -> bool {
        self.floats.contains(layer)
    }

    /// The scheme of a layer.
    pub fn of(&self, layer: &str) -> Scheme {
        self.layers.get(layer).copied().unwrap_or(self.network)
    }

    /// The scheme of layers without one of their own.
    pub fn network(&self) -> Scheme {
        self.network
    }

    /// Layers with a scheme of their own.
    pub fn layers(&self) -> impl Iterator<Item = (&str, Scheme)> {
        self.layers
            .iter()
            .map(|(layer, &scheme)| (layer.as_str(), scheme))
    }
}

impl FromStr for Scheme {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let unknown = || {
            let problem = format!(
                "there is no scheme `{text}`; there are fp16, int8, int8-torch, int8-onnx, wNaM (w4a8) and wN (w4), \
                 N and M from 1 to 8"
            );
            Error::invalid("scheme", problem)
        };
        let bits = |text: &str| match text.parse::<u32>() {
            Ok(bits @ 1..=8) => Ok(bits),
            _ => Err(unknown()),
        };
        let int8 = |preset| Self::Integer {
            weight_bits: 8,
            activation_bits: 8,
            preset,
        };
        match text {
            "fp16" | "f16" => return Ok(Self::Fp16),
            "int8" => return Ok(int8(Preset::Wizen)),
            "int8-torch" => return Ok(int8(Preset::Torch)),
            "int8-onnx" => return Ok(int8(Preset::Onnx)),
            _ => {}
        }
        let rest = text.strip_prefix('w').ok_or_else(unknown)?;
        match rest.split_once('a') {
            None => Ok(Self::WeightOnly {
                weight_bits: bits(rest)?,
            }),
            Some((weights, activations)) => Ok(Self::Integer {
                weight_bits: bits(weights)?,
                activation_bits: bits(activations)?,
                preset: Preset::Wizen,
            }),
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Fp16 => f.write_str("fp16"),
            Self::Integer {
                preset: Preset::Torch,
                ..
            } => f.write_str("int8-torch"),
            Self::Integer {
                preset: Preset::Onnx,
                ..
            } => f.write_str("int8-onnx"),
            Self::INT8 => f.write_str("int8"),
            Self::Integer {
                weight_bits,
                activation_bits,
                ..
            } => write!(f, "w{weight_bits}a{activation_bits}"),
            Self::WeightOnly { weight_bits } => write!(f, "w{weight_bits}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        for name in [
            "fp16",
            "int8",
            "int8-torch",
            "int8-onnx",
            "w4a8",
            "w2a4",
            "w1a1",
            "w3",
        ] {
            assert_eq!(name.parse::<Scheme>().expect(name).to_string(), name);
        }
        for name in [
            "",
            "int4",
            "w0a8",
            "w9",
            "w4a",
            "a8",
            "w4a8a",
            "int8-dynamic",
        ] {
            assert!(name.parse::<Scheme>().is_err(), "{name}");
        }
    }
}
