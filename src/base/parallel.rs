//! Loops over all cores as rayon spells them; one after the other where the feature `parallel` is off.

#[cfg(not(feature = "parallel"))]
pub(crate) use in_turn::*;
#[cfg(feature = "parallel")]
pub(crate) use rayon::prelude::*;

#[cfg(not(feature = "parallel"))]
mod in_turn {
    use std::iter::{FlatMap, Flatten};
    use std::slice::{Chunks, ChunksExactMut, Iter};

    pub(crate) trait IntoParallelIterator: IntoIterator + Sized {
        fn into_par_iter(self) -> Self::IntoIter {
            self.into_iter()
        }
    }

    impl<I: IntoIterator> IntoParallelIterator for I {}

    pub(crate) trait ParallelSlice<T> {
        fn par_iter(&self) -> Iter<'_, T>;
        fn par_chunks(&self, size: usize) -> Chunks<'_, T>;
        fn par_chunks_exact_mut(&mut self, size: usize) -> ChunksExactMut<'_, T>;
    }

    impl<T> ParallelSlice<T> for [T] {
        fn par_iter(&self) -> Iter<'_, T> {
            self.iter()
        }

        fn par_chunks(&self, size: usize) -> Chunks<'_, T> {
            self.chunks(size)
        }

        fn par_chunks_exact_mut(&mut self, size: usize) -> ChunksExactMut<'_, T> {
            self.chunks_exact_mut(size)
        }
    }

    pub(crate) trait ParallelIterator: Iterator + Sized {
        fn with_min_len(self, _: usize) -> Self {
            self
        }

        fn flat_map_iter<U: IntoIterator, F: FnMut(Self::Item) -> U>(
            self,
            map: F,
        ) -> FlatMap<Self, U, F> {
            self.flat_map(map)
        }

        fn flatten_iter(self) -> Flatten<Self>
        where
            Self::Item: IntoIterator,
        {
            self.flatten()
        }
    }

    impl<I: Iterator> ParallelIterator for I {}
}
