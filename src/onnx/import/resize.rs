//! Images in other sizes.

use super::{Importer, Live};
use crate::error::Result;
use crate::graph::ops::{Coordinates, NearestRounding, Resize, ResizeMode};
use crate::onnx::array::Array;
use crate::onnx::attributes::Reading;

impl Importer<'_> {
    pub(super) fn resize(&mut self, node: &Reading<'_>) -> Result<Live> {
        let x = self.live(node, 0)?;
        let shape = self.shape(&x);
        let rank = shape.len();
        if !(3..=4).contains(&rank) {
            return Err(node.wrong(format!("it works on {shape:?}, expected an image")));
        }
        let upsample = node.kind() == "Upsample";
        let (scales, sizes) = match (upsample, node.opset) {
            (true, ..9) => (node.floats("scales").map(<[f32]>::to_vec), None),
            (true, _) | (false, ..11) => (Some(self.required(node, 1)?.to_f32()), None),
            _ => {
                let some = |array: Option<std::rc::Rc<Array>>| array.filter(|a| a.len() > 0);
                let scales = some(self.constant(node, 2)?).map(|a| a.to_f32());
                (scales, some(self.constant(node, 3)?).map(|a| a.to_i64()))
            }
        };
        let axes = match node.ints("axes") {
            Some(axes) => axes
                .iter()
                .map(|&axis| node.axis(axis, rank))
                .collect::<Result<Vec<usize>>>()?,
            None => (0..rank).collect(),
        };
        let (mut to, mut scale) = (shape.clone(), vec![1.0f32; rank]);
        match (&scales, &sizes) {
            (Some(scales), _) if scales.len() == axes.len() => {
                for (&axis, &factor) in axes.iter().zip(scales) {
                    // In f32, as ONNX Runtime: a rounded 5/3 makes 5 of 3.
                    let size = (shape[axis] as f32 * factor).floor();
                    if !(1.0..1e9).contains(&size) {
                        return Err(node.wrong(format!("a scale of {factor}")));
                    }
                    (to[axis], scale[axis]) = (size as usize, factor);
                }
            }
            (None, Some(sizes)) if sizes.len() == axes.len() => {
                let policy = node.text("keep_aspect_ratio_policy", "stretch");
                let factor = |(&axis, &size): (&usize, &i64)| size as f32 / shape[axis] as f32;
                let factors = axes.iter().zip(sizes).map(factor);
                let both = match policy {
                    "not_larger" => Some(factors.fold(f32::INFINITY, f32::min)),
                    "not_smaller" => Some(factors.fold(0.0, f32::max)),
                    _ => None,
                };
                for (&axis, &size) in axes.iter().zip(sizes) {
                    if !(1..1_000_000_000).contains(&size) {
                        return Err(node.wrong(format!("a size of {size}")));
                    }
                    to[axis] = match both {
                        Some(both) => ((both * shape[axis] as f32) + 0.5).floor() as usize,
                        None => size as usize,
                    };
                    scale[axis] = both.unwrap_or(to[axis] as f32 / shape[axis] as f32);
                }
            }
            _ => return Err(node.wrong("neither scales nor sizes are given for its axes")),
        }
        if to[..2] != shape[..2] {
            return Err(node.wrong(format!("from {shape:?} to {to:?}: only images are resized")));
        }
        let (plain, older) = (upsample || node.opset < 11, node.opset < 11);
        let mode = match node.text("mode", "nearest") {
            "nearest" => {
                ResizeMode::Nearest(match node.text("nearest_mode", "round_prefer_floor") {
                    _ if older || upsample => NearestRounding::Floor,
                    "round_prefer_floor" => NearestRounding::RoundPreferFloor,
                    "round_prefer_ceil" => NearestRounding::RoundPreferCeil,
                    "floor" => NearestRounding::Floor,
                    "ceil" => NearestRounding::Ceil,
                    other => return Err(node.wrong(format!("`nearest_mode` is {other}"))),
                })
            }
            "linear" | "bilinear" => ResizeMode::Linear,
            "cubic" => ResizeMode::Cubic {
                a: node.float("cubic_coeff_a", -0.75)?,
            },
            other => return Err(node.wrong(format!("`mode` is {other}"))),
        };
        let coordinates = match node.text("coordinate_transformation_mode", "half_pixel") {
            _ if plain => Coordinates::Asymmetric,
            "half_pixel" => Coordinates::HalfPixel,
            "pytorch_half_pixel" => Coordinates::PytorchHalfPixel,
            "align_corners" => Coordinates::AlignCorners,
            "asymmetric" => Coordinates::Asymmetric,
            "tf_half_pixel_for_nn" => Coordinates::TfHalfPixelForNn,
            "half_pixel_symmetric" => Coordinates::HalfPixelSymmetric,
            other => return Err(node.wrong(format!("`coordinate_transformation_mode` is {other}"))),
        };
        let image = self.image(node, &x)?;
        let rows = if rank == 3 {
            [1, to[2]]
        } else {
            [to[2], to[3]]
        };
        let scale = if rank == 3 {
            [1.0, scale[2]]
        } else {
            [scale[2], scale[3]]
        };
        let op = Resize {
            to: rows,
            scale,
            mode,
            coordinates,
            exclude_outside: node.flag("exclude_outside", false),
            antialias: node.flag("antialias", false),
        };
        let y = self.graph.push(node.name, op, &[image])?;
        self.off_image(node, y, rank)
    }
}
