//! In which order axes are stored: changed where an operation needs another one, followed through reshapes.

use super::{Importer, Live};
use crate::base::num_elements;
use crate::error::Result;
use crate::graph::ValueId;
use crate::graph::ops::{Reshape, Transpose};

/// How networks here store values of so many axes: channels last in images.
pub(super) fn usual(rank: usize) -> Vec<usize> {
    match rank {
        4 => vec![0, 2, 3, 1],
        rank => (0..rank).collect(),
    }
}

/// An order with the channels (axis 1) last.
pub(super) fn channels_last(rank: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..rank).filter(|&axis| axis != 1).collect();
    if rank > 1 {
        order.push(1);
    }
    order
}

/// Runs of axes that a reshape makes out of runs of as many elements: ranges of old and of new axes.
type Runs = Vec<(std::ops::Range<usize>, std::ops::Range<usize>)>;

/// Splits both shapes (of as many elements) into the smallest runs of equal products.
fn runs(old: &[usize], new: &[usize]) -> Runs {
    let (mut i, mut j) = (0, 0);
    let mut out = Vec::new();
    while i < old.len() && j < new.len() {
        let (from, to) = (i, j);
        let (mut a, mut b) = (old[i], new[j]);
        i += 1;
        j += 1;
        while a != b {
            if a < b && i < old.len() {
                a *= old[i];
                i += 1;
            } else if j < new.len() {
                b *= new[j];
                j += 1;
            } else {
                break;
            }
        }
        out.push((from..i, to..j));
    }
    // Ones at the end belong to the last run.
    match out.last_mut() {
        Some((from, to)) => (from.end, to.end) = (old.len(), new.len()),
        None => out.push((0..old.len(), 0..new.len())),
    }
    out
}

impl Importer<'_> {
    /// The value with its axes stored in this order.
    pub fn ordered(&mut self, name: &str, live: &Live, order: &[usize]) -> Result<ValueId> {
        let live = self.settled(name, live)?;
        if live.order == order {
            return Ok(live.id);
        }
        // Where the axis stands now that shall stand there.
        let from: Vec<usize> = order
            .iter()
            .filter_map(|axis| live.order.iter().position(|a| a == axis))
            .collect();
        let stored = self.graph.value(live.id).shape.clone();
        let moves = |axes: &[usize]| -> Vec<usize> {
            let longer = |&axis: &usize| axis == 0 || stored[axis] > 1;
            axes.iter().copied().filter(longer).collect()
        };
        let all: Vec<usize> = (0..stored.len()).collect();
        if moves(&from) == moves(&all) && from.first() == Some(&0) {
            // Nothing but axes of one element trade places.
            let shape: Vec<usize> = from.iter().map(|&axis| stored[axis]).collect();
            return self.reshape_stored(name, live.id, &shape, true);
        }
        let key = (live.id, from, true);
        if let Some(&id) = self.moved.get(&key) {
            return Ok(id);
        }
        let name = self.fresh(&format!("{name}/transpose"));
        let order = key.1.clone();
        let id = self.graph.push(&name, Transpose { order }, &[live.id])?;
        self.moved.insert(key, id);
        Ok(id)
    }

    /// A name that no node has.
    pub fn fresh(&mut self, name: &str) -> String {
        let mut fresh = name.to_owned();
        let mut count = 1;
        while !self.taken.insert(fresh.clone()) {
            count += 1;
            fresh = format!("{name} {count}");
        }
        fresh
    }

    /// Another shape over the elements as they are stored.
    pub fn reshape_stored(
        &mut self,
        name: &str,
        id: ValueId,
        shape: &[usize],
        keeps_batch: bool,
    ) -> Result<ValueId> {
        // What was reshaped before is reshaped once.
        let id = self.reshapes.get(&id).copied().unwrap_or(id);
        let stored = &self.graph.value(id).shape;
        if stored == shape {
            return Ok(id);
        }
        let mut to = shape.to_vec();
        if keeps_batch && shape.len() > 1 && stored.first() == shape.first() {
            to[0] = 0;
        }
        let key = (id, to, false);
        if let Some(&id) = self.moved.get(&key) {
            return Ok(id);
        }
        let name = self.fresh(&format!("{name}/reshape"));
        let to = key.1.clone();
        let reshaped = self.graph.push(&name, Reshape { to }, &[id])?;
        self.moved.insert(key, reshaped);
        self.reshapes.insert(reshaped, id);
        Ok(reshaped)
    }

    /// The value without axes that are several in disguise.
    pub fn settled(&mut self, name: &str, live: &Live) -> Result<Live> {
        let Some((sizes, order)) = &live.flat else {
            return Ok(live.clone());
        };
        let shape = self.shape(live);
        let apart = self.apart(name, live, sizes, order)?;
        let plain: Vec<usize> = (0..apart.order.len()).collect();
        let id = self.ordered(name, &apart, &plain)?;
        let id = self.reshape_stored(name, id, &shape, true)?;
        Ok(Live {
            id,
            order: vec![0, 1],
            flat: None,
        })
    }

    /// A flattened value with the axes that it was made of.
    fn apart(&mut self, name: &str, live: &Live, sizes: &[usize], order: &[usize]) -> Result<Live> {
        let batch = self.graph.value(live.id).shape[0];
        let stored = [batch]
            .into_iter()
            .chain(order.iter().map(|&axis| sizes[axis]));
        let stored: Vec<usize> = stored.collect();
        let id = self.reshape_stored(name, live.id, &stored, true)?;
        let order = [0].into_iter().chain(order.iter().map(|axis| axis + 1));
        Ok(Live {
            id,
            order: order.collect(),
            flat: None,
        })
    }

    /// The value in another shape of as many elements, as the file sees them.
    pub fn reshaped(&mut self, name: &str, live: &Live, shape: &[usize]) -> Result<Live> {
        let old = self.shape(live);
        if old == shape {
            return Ok(live.clone());
        }
        if let Some((sizes, order)) = &live.flat
            && shape.get(1..) == Some(sizes)
        {
            // What was flattened has its axes back.
            return self.apart(name, live, sizes, order);
        }
        let live = self.settled(name, live)?;
        let batch = live.order.first() == Some(&0) && old.first() == shape.first();
        // The batch is a run of its own where it stays.
        let skip = usize::from(batch);
        let mut runs = runs(&old[skip..], &shape[skip..]);
        for (from, to) in &mut runs {
            *from = from.start + skip..from.end + skip;
            *to = to.start + skip..to.end + skip;
        }
        if batch {
            runs.insert(0, (0..1, 0..1));
        }
        let long = |axis: &usize| old[*axis] > 1;
        if batch && shape.len() == 2 && live.order.len() > 2 && num_elements(shape) > 0 {
            let stored: Vec<usize> = live.order.iter().copied().filter(long).collect();
            if !stored.is_sorted() {
                let id = self.reshape_stored(name, live.id, shape, true)?;
                let order: Vec<usize> = live.order[1..].iter().map(|axis| axis - 1).collect();
                return Ok(Live {
                    id,
                    order: vec![0, 1],
                    flat: Some((old[1..].to_vec(), order)),
                });
            }
        }
        // Axes of a run side by side, runs in the order in which they are stored.
        let mut sequence: Vec<usize> = Vec::new();
        for &axis in &live.order {
            let run = runs.iter().position(|(from, _)| from.contains(&axis));
            let run = run.unwrap_or(0);
            let of_ones = runs[run].0.clone().all(|a| old[a] == 1);
            if !sequence.contains(&run) && (old[axis] > 1 || of_ones) {
                sequence.push(run);
            }
        }
        let wanted: Vec<usize> = sequence
            .iter()
            .flat_map(|&run| runs[run].0.clone())
            .collect();
        let id = match live
            .order
            .iter()
            .filter(|a| long(a))
            .eq(wanted.iter().filter(|a| long(a)))
        {
            true => live.id,
            false => self.ordered(name, &live, &wanted)?,
        };
        let mut order: Vec<usize> = sequence
            .iter()
            .flat_map(|&run| runs[run].1.clone())
            .collect();
        let long = |axis: &&usize| **axis == 0 && batch || shape[**axis] > 1;
        let usual = usual(shape.len());
        if order.iter().filter(long).eq(usual.iter().filter(long)) {
            order = usual;
        }
        let stored: Vec<usize> = order.iter().map(|&axis| shape[axis]).collect();
        let id = self.reshape_stored(name, id, &stored, batch)?;
        Ok(Live {
            id,
            order,
            flat: None,
        })
    }

    /// The value with more axes of one element in front.
    pub fn with_rank(&mut self, name: &str, live: &Live, rank: usize) -> Result<Live> {
        let shape = self.shape(live);
        let missing = rank.saturating_sub(shape.len());
        if missing == 0 {
            return self.settled(name, live);
        }
        let live = self.settled(name, live)?;
        let order: Vec<usize> = (0..missing)
            .chain(live.order.iter().map(|axis| axis + missing))
            .collect();
        let stored = [
            &vec![1; missing],
            self.graph.value(live.id).shape.as_slice(),
        ]
        .concat();
        let id = self.reshape_stored(name, live.id, &stored, false)?;
        Ok(Live {
            id,
            order,
            flat: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::runs;

    #[test]
    fn runs_are_the_smallest() {
        let of = |old: &[usize], new: &[usize]| runs(old, new);
        assert_eq!(of(&[8, 5], &[2, 4, 5]), [(0..1, 0..2), (1..2, 2..3)]);
        assert_eq!(of(&[2, 4, 5], &[8, 5]), [(0..2, 0..1), (2..3, 1..2)]);
        assert_eq!(of(&[6, 1, 1], &[6]), [(0..3, 0..1)]);
        assert_eq!(of(&[6], &[1, 6, 1]), [(0..1, 0..3)]);
        assert_eq!(of(&[3, 4], &[4, 3]), [(0..2, 0..2)]);
        assert_eq!(of(&[], &[1, 1]), [(0..0, 0..2)]);
    }
}
