//! A tensor seen as `[outer, channels, inner]`, channels being the slices along one axis.

use crate::base::num_elements;
use crate::error::{Error, Result};

/// `[outer, count, inner]`: element `e` of channel `ch` lies at `(e / inner · count + ch) · inner + e % inner`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Channels {
    pub outer: usize,
    pub count: usize,
    pub inner: usize,
}

impl Channels {
    /// The view of `shape` along `axis`; one channel that holds all when there is no axis.
    pub fn of(shape: &[usize], axis: Option<usize>) -> Self {
        match axis.filter(|&axis| axis < shape.len()) {
            Some(axis) => Self {
                outer: num_elements(&shape[..axis]),
                count: shape[axis],
                inner: num_elements(&shape[axis + 1..]),
            },
            None => Self {
                outer: 1,
                count: 1,
                inner: num_elements(shape),
            },
        }
    }

    /// [`Self::of`] for a launch.
    ///
    /// # Errors
    /// [`Error::Shape`] if there is no such axis.
    pub fn checked(op: &str, shape: &[usize], axis: Option<usize>) -> Result<Self> {
        match axis {
            Some(axis) if axis >= shape.len() => {
                let expected = format!("one with an axis {axis} for the channels");
                Err(Error::shape(op, "x", expected, shape))
            }
            _ => Ok(Self::of(shape, axis)),
        }
    }

    /// Elements of one channel.
    pub fn len(self) -> usize {
        self.outer * self.inner
    }

    /// Position of element `e` of channel `channel`.
    pub fn index(self, channel: usize, e: usize) -> usize {
        (e / self.inner * self.count + channel) * self.inner + e % self.inner
    }

    /// The channel of the element at position `index`.
    pub fn channel_of(self, index: usize) -> usize {
        index / self.inner % self.count
    }
}

/// Parts into which a channel of `len` elements is cut, one workgroup each: about 4096 elements, at
/// most 256 parts.
pub fn chunks_for(len: usize) -> usize {
    chunks_up_to(256, len)
}

/// The same with another limit.
pub(super) fn chunks_up_to(most: usize, len: usize) -> usize {
    len.div_ceil(4096).clamp(1, most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn views() {
        let view = Channels::of(&[2, 3, 5, 7], Some(1));
        assert_eq!((view.outer, view.count, view.inner), (2, 3, 35));
        for channel in 0..3 {
            for e in 0..view.len() {
                assert_eq!(view.channel_of(view.index(channel, e)), channel);
            }
        }
        assert_eq!(Channels::of(&[2, 3], None).len(), 6);
        assert!(Channels::checked("t", &[2, 3], Some(2)).is_err());
    }
}
