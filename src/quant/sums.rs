//! Sums over sampled results of a layer, on the device where it is one matrix, on the host group by group.

use super::calibrate::add_up;
use super::solve::Moments;
use crate::base::parallel::*;
use crate::base::{DType, Rng, Tensor};
use crate::error::Result;
use crate::graph::ops::{BiasGrad, Custom, LinearGradWeight, Op};
use crate::graph::{Executor, Graph, ValueId};
use crate::kernels::Conv;
use crate::kernels::movement::Patches;

/// Output pixels that are sampled of one image, at most.
const PLACES: usize = 49;
/// The sums' parameters.
const GRAM: &str = "Σ x xᵀ";
const CROSS: &str = "Σ y xᵀ";
const SUM_X: &str = "Σ x";
const SUM_Y: &str = "Σ y";

/// What is summed in every run of a graph.
#[derive(Debug)]
pub(super) struct Sums {
    images: usize,
    /// Output pixels of one image, and how many of them are sampled; `None` where a row is an image.
    places: Option<[usize; 2]>,
    /// Rows of one run.
    rows: usize,
    groups: usize,
    taps: usize,
    /// Inputs of all groups together, and outputs.
    k: usize,
    o: usize,
}

impl Sums {
    /// Adds to a graph what a layer's moments need: `read` is what it reads, `wanted` what it should make. Places are
    /// the graph's last input where there are any; grouped layers have samples as the last two results.
    pub fn new(
        graph: &mut Graph,
        conv: Option<Conv>,
        taps: [usize; 2],
        [read, wanted]: [ValueId; 2],
    ) -> Result<Self> {
        let shape = |graph: &Graph, id: ValueId| graph.value(id).shape.clone();
        let (x_shape, y_shape) = (shape(graph, read), shape(graph, wanted));
        let images = x_shape[0];
        let (mut x, mut y) = (read, wanted);
        let mut places = None;
        if let (Some(conv), &[n, h, w, c], &[_, oh, ow, o]) =
            (conv, x_shape.as_slice(), y_shape.as_slice())
        {
            let sampled = (oh * ow).min(PLACES);
            let rows = n * sampled;
            let patches = Patches::new([n, h, w, c], taps, conv, rows)?;
            let pixels = Patches::new([n, oh, ow, o], [1, 1], Conv::square(1, 0, 1, 1), rows)?;
            let at = graph.input("places", DType::U32, &[rows]);
            x = graph.push("patches", Custom::new(patches), &[read, at])?;
            y = graph.push("pixels", Custom::new(pixels), &[wanted, at])?;
            places = Some([oh * ow, sampled]);
        }
        let size = |graph: &Graph, id: ValueId| {
            let shape = &graph.value(id).shape;
            (shape[0], shape.last().copied().unwrap_or(1))
        };
        let ((rows, k), (_, o)) = (size(graph, x), size(graph, y));
        let groups = conv.map_or(1, |conv| conv.groups);
        let sums = Self {
            images,
            places,
            rows,
            groups,
            taps: taps[0] * taps[1],
            k,
            o,
        };
        if groups > 1 {
            graph.output(x);
            graph.output(y);
            return Ok(sums);
        }
        let products: [(&str, Op, &[ValueId]); 4] = [
            (GRAM, LinearGradWeight.into(), &[x, x]),
            (CROSS, LinearGradWeight.into(), &[y, x]),
            (SUM_X, BiasGrad.into(), &[x]),
            (SUM_Y, BiasGrad.into(), &[y]),
        ];
        for (name, op, of) in products {
            let part = graph.push(&format!("{name} of a run"), op, of)?;
            add_up(graph, name, part)?;
        }
        Ok(sums)
    }

    /// Other output pixels for every image.
    pub fn sample(&self, rng: &mut Rng) -> Result<Option<Tensor>> {
        let Some([all, sampled]) = self.places else {
            return Ok(None);
        };
        let mut at: Vec<u32> = Vec::with_capacity(self.images * sampled);
        for image in 0..self.images {
            // The first of a shuffle.
            let mut order: Vec<usize> = (0..all).collect();
            for i in 0..sampled {
                order.swap(i, i + rng.below(all - i));
            }
            order[..sampled].sort_unstable();
            at.extend(
                order[..sampled]
                    .iter()
                    .map(|place| (image * all + place) as u32),
            );
        }
        Tensor::from_u32(&[at.len()], &at).map(Some)
    }

    /// No sums yet.
    pub fn totals(&self) -> Totals<'_> {
        let (k, o) = (self.k / self.groups, self.o / self.groups);
        let moments = Moments {
            count: 0.0,
            gram: vec![0.0; k * k],
            cross: vec![0.0; o * k],
            x: vec![0.0; k],
            y: vec![0.0; o],
        };
        let groups = if self.groups > 1 { self.groups } else { 0 };
        Totals {
            sums: self,
            groups: vec![moments; groups],
        }
    }

    /// Columns of a patch that group `g` reads, in the order of its weights.
    fn columns(&self, g: usize) -> Vec<usize> {
        let channels = self.k / self.taps.max(1);
        let each = channels / self.groups;
        let tap = |tap: usize| (0..each).map(move |c| tap * channels + g * each + c);
        (0..self.taps).flat_map(tap).collect()
    }
}

/// Sums of all runs.
#[derive(Debug)]
pub(super) struct Totals<'a> {
    sums: &'a Sums,
    groups: Vec<Moments>,
}

impl Totals<'_> {
    /// Adds the samples of a run; none where the device sums.
    pub fn add(&mut self, samples: &[Tensor]) -> Result<()> {
        let [x, y] = samples else {
            return Ok(());
        };
        let (x, y) = (x.as_f32()?, y.as_f32()?);
        let sums = self.sums;
        let groups = std::mem::take(&mut self.groups);
        let groups: Vec<(usize, Moments)> = groups.into_iter().enumerate().collect();
        self.groups = groups
            .into_par_iter()
            .map(|(g, mut moments)| {
                let columns = sums.columns(g);
                let (k, o) = (columns.len(), moments.y.len());
                for (x, y) in x.chunks(sums.k).zip(y.chunks(sums.o)) {
                    let x: Vec<f64> = columns.iter().map(|&c| f64::from(x[c])).collect();
                    for (i, xi) in x.iter().enumerate().filter(|(_, x)| **x != 0.0) {
                        let row = &mut moments.gram[i * k..(i + 1) * k];
                        row.iter_mut().zip(&x).for_each(|(sum, xj)| *sum += xi * xj);
                        moments.x[i] += xi;
                    }
                    for i in 0..o {
                        let yi = f64::from(y[g * o + i]);
                        let row = &mut moments.cross[i * k..(i + 1) * k];
                        row.iter_mut().zip(&x).for_each(|(sum, xj)| *sum += yi * xj);
                        moments.y[i] += yi;
                    }
                    moments.count += 1.0;
                }
                moments
            })
            .collect();
        Ok(())
    }

    /// The moments of every group after so many runs.
    pub async fn finish(self, executor: &Executor, runs: usize) -> Result<Vec<Moments>> {
        if self.sums.groups > 1 {
            return Ok(self.groups);
        }
        Ok(vec![Moments {
            count: (self.sums.rows * runs) as f64,
            gram: executor.read(GRAM).await?.to_f64(),
            cross: executor.read(CROSS).await?.to_f64(),
            x: executor.read(SUM_X).await?.to_f64(),
            y: executor.read(SUM_Y).await?.to_f64(),
        }])
    }
}
