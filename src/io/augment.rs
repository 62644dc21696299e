//! Random changes of images to learn from.

use crate::base::Rng;

/// Random changes of images to learn from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Augment {
    /// Each image moves by a whole number of pixels, uniformly drawn from `−shift ..= shift` along both axes;
    /// black comes in at the border. This is a random crop after padding by `shift`.
    pub shift: usize,
    /// Half of the images, drawn at random, are mirrored left to right.
    pub flip: bool,
}

impl Augment {
    /// Moved by up to two pixels: what suits most images.
    pub(super) const LITTLE: Self = Self {
        shift: 2,
        flip: false,
    };

    pub(super) fn draw(self, rng: &mut Rng) -> Move {
        let shift = self.shift;
        let mut along = || match shift {
            0 => 0,
            _ => rng.below(2 * shift + 1) as isize - shift as isize,
        };
        let (down, right) = (along(), along());
        let flip = self.flip && rng.below(2) == 1;
        Move { down, right, flip }
    }
}

/// A change of one image: moved by whole pixels after it was mirrored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Move {
    pub down: isize,
    pub right: isize,
    pub flip: bool,
}

impl Move {
    /// Writes the changed image; `black` comes in at the border.
    pub fn apply(self, image: &[f32], out: &mut [f32], shape: [usize; 3], black: &[f32]) {
        let [height, width, channels] = shape;
        // Where a pixel of the result comes from, if it is inside.
        let from = |at: usize, by: isize, side: usize| {
            at.checked_add_signed(-by).filter(|&from| from < side)
        };
        for (i, pixel) in out.chunks_exact_mut(channels).enumerate() {
            let row = from(i / width, self.down, height);
            let source = match (row, from(i % width, self.right, width)) {
                (Some(row), Some(column)) => {
                    let column = if self.flip {
                        width - 1 - column
                    } else {
                        column
                    };
                    &image[(row * width + column) * channels..][..channels]
                }
                _ => black,
            };
            pixel.copy_from_slice(source);
        }
    }
}
