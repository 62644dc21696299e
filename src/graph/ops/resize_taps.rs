//! The tables of a [`Resize`], in f64: where each pixel lies, what is around it and what that weighs.

use super::{Coordinates, NearestRounding, Resize, ResizeMode};
use crate::error::Result;
use crate::kernels::resample::Taps;

impl Resize {
    /// The table of one axis of `size` elements.
    ///
    /// # Errors
    /// As [`Taps::new`].
    pub(super) fn along(&self, axis: usize, size: usize) -> Result<Taps> {
        let way = Way::new(self, axis, size);
        let row = |i| self.row(&way, way.place(self.coordinates, i));
        Taps::new(size, (0..self.to[axis]).map(row).collect())
    }

    /// Elements and weights of what lies at a place.
    fn row(&self, way: &Way, place: f64) -> Vec<(usize, f64)> {
        let (radius, a) = match self.mode {
            ResizeMode::Nearest(rounding) => {
                return vec![(way.clamp(nearest(rounding, place)), 1.0)];
            }
            ResizeMode::Linear => (1.0, None),
            ResizeMode::Cubic { a } => (2.0, Some(f64::from(a))),
        };
        // Elements that become one share the weights of one.
        let narrow = if self.antialias {
            way.scale.min(1.0)
        } else {
            1.0
        };
        let reach = radius / narrow;
        let (first, behind) = (
            (place - reach).floor() as i64 + 1,
            (place + reach).ceil() as i64,
        );
        let weight = |at: i64| {
            let distance = ((at as f64 - place) * narrow).abs();
            match a {
                None => (1.0 - distance).max(0.0),
                Some(a) => cubic(a, distance),
            }
        };
        let mut row: Vec<(usize, f64)> = Vec::new();
        for at in first..behind {
            let inside = way.clamp(at);
            if self.exclude_outside && inside as i64 != at {
                continue;
            }
            match row.last_mut().filter(|(last, _)| *last == inside) {
                Some((_, sum)) => *sum += weight(at),
                None => row.push((inside, weight(at))),
            }
        }
        let total: f64 = row.iter().map(|(_, weight)| weight).sum();
        if total == 0.0 {
            return vec![(way.clamp(place.round() as i64), 1.0)];
        }
        row.iter_mut().for_each(|(_, weight)| *weight /= total);
        row
    }
}

/// One axis.
struct Way {
    size: i64,
    to: i64,
    scale: f64,
    /// The scale is the ratio of the lengths, which f32 cannot hold.
    whole: bool,
}

impl Way {
    fn new(resize: &Resize, axis: usize, size: usize) -> Self {
        let (to, scale) = (resize.to[axis], resize.scale[axis]);
        let ratio = to as f64 / size as f64;
        let whole = ratio as f32 == scale;
        Self {
            size: size as i64,
            to: to as i64,
            scale: if whole { ratio } else { scale.into() },
            whole,
        }
    }

    fn clamp(&self, at: i64) -> usize {
        at.clamp(0, self.size - 1) as usize
    }

    /// `(i + ½) / scale − before`: a ratio of whole numbers is divided once, so that what should be an element or lie
    /// in the middle of two does.
    fn half_pixel(&self, i: usize, before: f64) -> f64 {
        let twice = 2.0 * i as f64 + 1.0;
        if self.whole {
            let (size, to) = (self.size as f64, self.to as f64);
            return (twice * size - 2.0 * before * to) / (2.0 * to);
        }
        Self::unrounded(
            0.5 * twice / self.scale - before,
            0.5 * twice as f32 / self.scale as f32 - before as f32,
        )
    }

    /// A place that only is beside an element, or the middle of two, because a file states a scale in f32 (0.6 as
    /// 0.60000002): in f32, as ONNX Runtime computes, it is the one that was meant.
    fn unrounded(place: f64, in_f32: f32) -> f64 {
        if (2.0 * in_f32).fract() == 0.0 {
            return in_f32.into();
        }
        place
    }

    /// Where element `i` of the result lies.
    fn place(&self, coordinates: Coordinates, i: usize) -> f64 {
        let (size, to) = (self.size as f64, self.to as f64);
        match coordinates {
            Coordinates::PytorchHalfPixel | Coordinates::AlignCorners if self.to == 1 => 0.0,
            Coordinates::HalfPixel | Coordinates::PytorchHalfPixel => self.half_pixel(i, 0.5),
            Coordinates::TfHalfPixelForNn => self.half_pixel(i, 0.0),
            Coordinates::AlignCorners => i as f64 * (size - 1.0) / (to - 1.0),
            Coordinates::Asymmetric if self.whole => i as f64 * size / to,
            Coordinates::Asymmetric => {
                Self::unrounded(i as f64 / self.scale, i as f32 / self.scale as f32)
            }
            Coordinates::HalfPixelSymmetric if self.whole => self.half_pixel(i, 0.5),
            // Both centres meet.
            Coordinates::HalfPixelSymmetric => {
                let (from, centre) = (i as f64 + 0.5 - to / 2.0, (size - 1.0) / 2.0);
                Self::unrounded(
                    from / self.scale + centre,
                    from as f32 / self.scale as f32 + centre as f32,
                )
            }
        }
    }
}

fn nearest(rounding: NearestRounding, place: f64) -> i64 {
    let at = match rounding {
        NearestRounding::RoundPreferFloor => (place - 0.5).ceil(),
        NearestRounding::RoundPreferCeil => (place + 0.5).floor(),
        NearestRounding::Floor => place.floor(),
        NearestRounding::Ceil => place.ceil(),
    };
    at as i64
}

/// The weight at a distance (Keys 1981, "Cubic convolution interpolation for digital image processing").
fn cubic(a: f64, d: f64) -> f64 {
    match d {
        ..=1.0 => ((a + 2.0) * d - (a + 3.0)) * d * d + 1.0,
        ..2.0 => ((a * d - 5.0 * a) * d + 8.0 * a) * d - 4.0 * a,
        _ => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::super::Coordinates::{
        AlignCorners, Asymmetric, HalfPixel, HalfPixelSymmetric, PytorchHalfPixel, TfHalfPixelForNn,
    };
    use super::super::NearestRounding::{Ceil, Floor, RoundPreferCeil, RoundPreferFloor};
    use super::*;

    const NEAR: fn(NearestRounding) -> ResizeMode = ResizeMode::Nearest;
    const CUBIC: ResizeMode = ResizeMode::Cubic { a: -0.75 };
    const KEYS: ResizeMode = ResizeMode::Cubic { a: -0.5 };

    /// Five elements in another length, `[exclude_outside, antialias]`.
    fn resized(
        coordinates: Coordinates,
        mode: ResizeMode,
        scale: f32,
        to: usize,
        [exclude_outside, antialias]: [bool; 2],
    ) -> Vec<f64> {
        let resize = Resize {
            to: [to; 2],
            scale: [scale; 2],
            mode,
            coordinates,
            exclude_outside,
            antialias,
        };
        let (x, taps) = ([1.0, 4.0, 2.0, 8.0, 5.0], resize.along(0, 5).expect("fits"));
        let sum = |i| taps.row(i).map(|(place, w)| x[place] * f64::from(w)).sum();
        (0..taps.len()).map(sum).collect()
    }

    /// What ONNX Runtime 1.32 makes of them.
    #[test]
    fn results_of_onnx_runtime() {
        const PLAIN: [bool; 2] = [false, false];
        let linear = ResizeMode::Linear;
        #[rustfmt::skip]
        let cases: [(_, _, f32, [bool; 2], &[f64]); 13] = [
            (HalfPixel, linear, 1.6, PLAIN, &[1.0, 2.3125, 3.875, 2.625, 3.875, 7.625, 6.3125, 5.0]),
            (AlignCorners, linear, 0.6, PLAIN, &[1.0, 2.0, 5.0]),
            (Asymmetric, NEAR(Floor), 1.7, PLAIN, &[1.0, 1.0, 4.0, 4.0, 2.0, 2.0, 8.0, 5.0]),
            (Asymmetric, NEAR(Ceil), 1.7, PLAIN, &[1.0, 4.0, 2.0, 2.0, 8.0, 8.0, 5.0, 5.0]),
            (HalfPixel, NEAR(RoundPreferFloor), 2.0, PLAIN, &[1.0, 1.0, 4.0, 4.0, 2.0, 2.0, 8.0, 8.0, 5.0, 5.0]),
            (HalfPixel, NEAR(RoundPreferCeil), 0.6, PLAIN, &[1.0, 2.0, 5.0]),
            (PytorchHalfPixel, CUBIC, 1.4, PLAIN, &[0.76385, 2.95044, 3.53791, 2.0, 6.65744, 7.37026, 4.76385]),
            (PytorchHalfPixel, linear, 0.2, PLAIN, &[1.0]),
            (TfHalfPixelForNn, NEAR(Floor), 1.4, PLAIN, &[1.0, 4.0, 4.0, 2.0, 8.0, 8.0, 5.0]),
            (HalfPixelSymmetric, linear, 0.7, PLAIN, &[2.71429, 2.0, 6.71429]),
            (HalfPixel, KEYS, 1.4, [true, false], &[0.82524, 2.81163, 3.55977, 2.0, 6.70846, 7.07756, 4.82524]),
            (HalfPixel, linear, 0.4, [false, true], &[2.56, 5.44]),
            (HalfPixel, CUBIC, 0.6, [true, true], &[2.05612, 4.01852, 6.42347]),
        ];
        for (coordinates, mode, scale, flags, want) in cases {
            let got = resized(coordinates, mode, scale, want.len(), flags);
            let close = got
                .iter()
                .zip(want)
                .all(|(got, want)| (got - want).abs() < 1e-5);
            assert!(
                close,
                "{coordinates:?} {mode:?} {scale}: {got:?}, want {want:?}"
            );
        }
    }

    /// 2/3 is no f32; two pixels by it are three all the same.
    #[test]
    fn a_scale_that_was_rounded_moves_no_pixel() {
        let places = |scale, to| resized(Asymmetric, NEAR(Floor), scale, to, [false; 2]);
        assert_eq!(places(2.0 / 3.0, 3), [1.0, 4.0, 8.0]);
    }
}
