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
        0.5 * twice / self.scale - before
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
            Coordinates::Asymmetric => i as f64 / self.scale,
            Coordinates::HalfPixelSymmetric if self.whole => self.half_pixel(i, 0.5),
            Coordinates::HalfPixelSymmetric => {
                let left_over = 1.0 - to / (self.scale * size);
                size / 2.0 * left_over + self.half_pixel(i, 0.5)
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
