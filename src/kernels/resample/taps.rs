//! Which elements along an axis make each result, and what they weigh.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// The table of an axis: for every result as many places in `x` and weights, some of them 0.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Stored")]
pub struct Taps {
    size: usize,
    each: usize,
    /// `each` entries a result.
    table: Vec<(u32, f32)>,
}

/// What a file states.
#[derive(Deserialize)]
struct Stored {
    size: usize,
    each: usize,
    table: Vec<(u32, f32)>,
}

impl TryFrom<Stored> for Taps {
    type Error = Error;

    fn try_from(stored: Stored) -> Result<Self> {
        let rows = stored.table.chunks(stored.each.max(1));
        let pair = |&(place, weight): &(u32, f32)| (place as usize, f64::from(weight));
        Self::new(
            stored.size,
            rows.map(|row| row.iter().map(pair).collect()).collect(),
        )
    }
}

impl Taps {
    /// The results that `rows` states as places among `size` elements and their weights.
    ///
    /// # Errors
    /// [`Error::Invalid`] if there is no result, a place is none of `size`, or a weight no number.
    pub fn new(size: usize, rows: Vec<Vec<(usize, f64)>>) -> Result<Self> {
        let each = rows.iter().map(Vec::len).max().unwrap_or(0).max(1);
        let invalid = |problem: String| Err(Error::invalid("resample", problem));
        if rows.is_empty() || size == 0 {
            return invalid(format!("{} results of {size} elements", rows.len()));
        }
        let mut table = Vec::with_capacity(rows.len() * each);
        for row in rows {
            if let Some((place, weight)) = row
                .iter()
                .find(|(place, weight)| *place >= size || !(*weight as f32).is_finite())
            {
                return invalid(format!(
                    "element {place} of {size} with a weight of {weight}"
                ));
            }
            let end = table.len() + each;
            table.extend(row.into_iter().map(|(place, w)| (place as u32, w as f32)));
            table.resize(end, (0, 0.0));
        }
        Ok(Self { size, each, table })
    }

    /// Results that are these elements.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn select(size: usize, places: impl IntoIterator<Item = usize>) -> Result<Self> {
        let row = |place| vec![(place, 1.0)];
        Self::new(size, places.into_iter().map(row).collect())
    }

    /// Elements of `x` along the axis.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Results.
    pub fn len(&self) -> usize {
        self.table.len() / self.each
    }

    /// Never: there is a result.
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// Entries of one result, those without weight included.
    pub fn each(&self) -> usize {
        self.each
    }

    /// Places and weights of a result, without those that weigh nothing.
    pub fn row(&self, result: usize) -> impl Iterator<Item = (usize, f32)> + Clone + '_ {
        let row = self.table[result * self.each..].iter().take(self.each);
        let weighs = row.filter(|(_, weight)| *weight != 0.0);
        weighs.map(|&(place, weight)| (place as usize, weight))
    }

    /// True if every result is one of the elements.
    pub fn selects(&self) -> bool {
        self.each == 1 && self.table.iter().all(|&(_, weight)| weight == 1.0)
    }

    /// All entries, place and bits of the weight.
    pub(super) fn words(&self) -> impl Iterator<Item = u32> + '_ {
        // Minus zero weighs nothing either.
        let words = |&(place, weight): &(u32, f32)| {
            [place, if weight == 0.0 { 0 } else { weight.to_bits() }]
        };
        self.table.iter().flat_map(words)
    }

    /// The same with what every element gives to the results: the gradient of the sums.
    #[must_use]
    pub fn transposed(&self) -> Self {
        let mut rows = vec![Vec::new(); self.size];
        for result in 0..self.len() {
            for (place, weight) in self.row(result) {
                rows[place].push((result as u32, weight));
            }
        }
        let each = rows.iter().map(Vec::len).max().unwrap_or(0).max(1);
        for row in &mut rows {
            row.resize(each, (0, 0.0));
        }
        Self {
            size: self.len(),
            each,
            table: rows.concat(),
        }
    }
}

impl fmt::Debug for Taps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} by {}", self.len(), self.size, self.each)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        let taps = Taps::new(3, vec![vec![(0, 0.5), (2, 0.25)], vec![(2, 1.0)]]).expect("fits");
        assert_eq!((taps.size(), taps.len(), taps.each()), (3, 2, 2));
        assert_eq!(taps.row(1).collect::<Vec<_>>(), [(2, 1.0)]);
        let back = taps.transposed();
        assert_eq!((back.size(), back.len(), back.each()), (2, 3, 2));
        assert_eq!(back.row(0).collect::<Vec<_>>(), [(0, 0.5)]);
        assert_eq!(back.row(1).count(), 0);
        assert_eq!(back.row(2).collect::<Vec<_>>(), [(0, 0.25), (1, 1.0)]);
        assert!(Taps::select(3, [2, 2, 0]).expect("fits").selects() && !taps.selects());
    }

    #[test]
    fn what_cannot_be_is_an_error() {
        assert!(Taps::select(3, [3]).is_err());
        assert!(Taps::select(3, []).is_err());
        assert!(Taps::select(0, [0]).is_err());
        assert!(Taps::new(3, vec![vec![(0, f64::NAN)]]).is_err());
    }

    #[test]
    fn files_are_checked() {
        let taps = Taps::new(3, vec![vec![(0, 0.5), (2, 0.25)], vec![(2, 1.0)]]).expect("fits");
        let text = serde_json::to_string(&taps).expect("numbers");
        assert_eq!(serde_json::from_str::<Taps>(&text).expect("the same"), taps);
        let wrong = text.replace("\"size\":3", "\"size\":2");
        assert!(serde_json::from_str::<Taps>(&wrong).is_err());
    }
}
