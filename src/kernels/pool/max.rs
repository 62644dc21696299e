//! The largest of each window, and where its gradient goes.
//!
//! ```text
//! dx[n, h, w, c] = Σ dy[n, oh, ow, c] over the windows (oh, ow) whose first maximum, in order of (kh, kw), is x[n, h, w, c]
//! ```
//!
//! Maxima are exact: a selection. NaN may win or lose (WGSL leaves it open), int8 keeps the scale and zero point of
//! `x`. Nothing is scattered: where whole windows lie side by side, each invocation owns a window; elsewhere each
//! element of `dx` looks at those that contain it, so the order of the sum is fixed. There `x` must not hold NaN.

use super::super::elementwise::{halves, launch};
use super::super::frame::{boxed, equal_but, no_program, params, within_all};
use super::super::{Agreement, Approx, Binding, Caps, Kernel, Launch, random_args, store};
use super::window::windows;
use super::{Pool, bindings, cases, lanes};
use crate::base::{DType, Rng, Tensor, num_elements, words_for};
use crate::error::Result;

/// The largest of each window. Bindings: `x`, `y`.
#[derive(Clone, Debug)]
pub struct MaxPool {
    /// Shape of `x`: `[n, h, w, c]`.
    pub x: [usize; 4],
    /// The window.
    pub pool: Pool,
    /// F32, F16 or I8.
    pub dtype: DType,
}

impl Kernel for MaxPool {
    fn name(&self) -> &'static str {
        match self.dtype {
            DType::F16 => "max_pool_f16",
            DType::I8 => "max_pool_i8",
            DType::F32 | DType::I32 | DType::U32 => "max_pool_f32",
        }
    }

    fn bindings(&self) -> Vec<Binding> {
        bindings(self.x, self.pool, self.dtype)
    }

    fn launch(&self, caps: &Caps) -> Result<Launch> {
        if matches!(self.dtype, DType::I32 | DType::U32) {
            return Err(no_program("max_pool", self.dtype, "f32, f16 or i8"));
        }
        let (y, axes) = (self.pool.output_shape(self.x)?, self.pool.axes(self.x)?);
        let c = self.x[3];
        let pairs = self.dtype == DType::F32 && c.is_multiple_of(2) && caps.int64;
        let each = if pairs { 2 } else { 1 };
        let channel_words = words_for(&[c], self.dtype) / each;
        let words = words_for(&y, self.dtype) / each;
        let spec = lanes(self.pool.spec(axes), self.dtype, pairs);
        let spec = spec.with("WORDS", channel_words as u32);
        let params = params(self.name(), [words.into()])?;
        let source = include_str!("../../../shaders/pool/max_pool.wgsl");
        Ok(launch(source, spec, params, words, caps))
    }

    fn cpu(&self, args: &mut [Tensor]) -> Result<()> {
        let ([n, h, w, c], [rows, columns]) = (self.x, self.pool.axes(self.x)?);
        let x = args[0].to_f64();
        let mut y = Vec::with_capacity(args[1].len());
        for [n, oh, ow] in windows(n, [rows, columns]) {
            for channel in 0..c {
                let taps = rows
                    .taps(oh)
                    .flat_map(|h| columns.taps(ow).map(move |w| (h, w)));
                let values = taps.map(|(ih, iw)| x[((n * h + ih) * w + iw) * c + channel]);
                y.push(values.fold(f64::NEG_INFINITY, f64::max));
            }
        }
        debug_assert_eq!(y.len(), n * rows.out * columns.out * c);
        if self.dtype == DType::I8 {
            return args[1].store_i8(&y.iter().map(|&q| q as i8).collect::<Vec<_>>());
        }
        args[1].store_f64(&y)
    }

    fn agreement(&self, _args: &[Tensor]) -> Result<Vec<Agreement>> {
        equal_but(2, [])
    }

    fn operations(&self) -> f64 {
        let [kernel_h, kernel_w] = self.pool.kernel;
        (num_elements(&self.pool.output_or_empty(self.x)) * kernel_h * kernel_w) as f64
    }
}

/// Gradient of [`MaxPool`] in f32. Bindings: `x`, `dy`, `dx`.
#[derive(Clone, Debug)]
pub struct MaxPoolGrad {
    /// Shape of `x` and `dx`: `[n, h, w, c]`.
    pub x: [usize; 4],
    /// The window.
    pub pool: Pool,
    /// `x` is the result of a ReLU, and the gradient before it is wanted: nothing flows where `x ≤ 0`.
    pub relu: bool,
}

impl Kernel for MaxPoolGrad {
    fn name(&self) -> &'static str {
        "max_pool_grad_f32"
    }

    fn bindings(&self) -> Vec<Binding> {
        vec![
            Binding::read("x", DType::F32, self.x),
            Binding::read("dy", DType::F32, self.pool.output_or_empty(self.x)),
            Binding::write("dx", DType::F32, self.x),
        ]
    }

    fn launch(&self, caps: &Caps) -> Result<Launch> {
        let ([n, h, w, c], axes) = (self.x, self.pool.axes(self.x)?);
        // Windows that tile the image: one invocation takes a window and reads every `x` once.
        let tiled = self.pool.tiles(axes);
        let pairs = tiled && c.is_multiple_of(2);
        let (each, spec) = halves(self.pool.spec(axes), pairs, caps);
        let items = if tiled {
            let [down, right] = self.pool.stride;
            n * c / each * h.div_ceil(down) * w.div_ceil(right)
        } else {
            num_elements(&self.x)
        };
        let spec = spec
            .with("WORDS", (c / each) as u32)
            .with("RELU", self.relu)
            .with("TILED", tiled);
        let params = params(self.name(), [items.into()])?;
        let source = include_str!("../../../shaders/pool/max_pool_grad.wgsl");
        Ok(launch(source, spec, params, items, caps))
    }

    fn cpu(&self, args: &mut [Tensor]) -> Result<()> {
        let dx = self.gradients(args)?;
        store(&mut args[2], &dx)
    }

    fn agreement(&self, args: &[Tensor]) -> Result<Vec<Agreement>> {
        // Windows that do not overlap give one dy or none; otherwise a sum of as many as chose the element.
        let apart = |axis: usize| self.pool.stride[axis] >= self.pool.kernel[axis];
        if apart(0) && apart(1) && self.pool.dilation == [1; 2] {
            return equal_but(3, []);
        }
        within_all(args, &vec![(2, self.gradients(args)?)])
    }

    fn operations(&self) -> f64 {
        let taps = self.pool.kernel[0] * self.pool.kernel[1];
        // Windows that overlap are looked through by each of their elements.
        let tiled = self
            .pool
            .axes(self.x)
            .is_ok_and(|axes| self.pool.tiles(axes));
        let times = if tiled { 1 } else { taps };
        (num_elements(&self.pool.output_or_empty(self.x)) * taps * times) as f64
    }

    fn example_args(&self, rng: &mut Rng) -> Vec<Tensor> {
        let mut args = random_args(&self.bindings(), rng);
        // Small integers, so that windows have several maxima.
        for word in args[0].words_mut() {
            *word = (rng.below(4) as f32 - 2.0).to_bits();
        }
        args
    }
}

impl MaxPoolGrad {
    fn gradients(&self, args: &[Tensor]) -> Result<Vec<Approx>> {
        let ([n, h, w, c], [rows, columns]) = (self.x, self.pool.axes(self.x)?);
        let (x, dy) = (args[0].to_f64(), args[1].to_f64());
        let mut chosen_by = vec![Vec::new(); x.len()];
        for ([n, oh, ow], dy) in windows(n, [rows, columns]).zip(dy.chunks(c)) {
            for (channel, &dy) in dy.iter().enumerate() {
                let taps = rows
                    .taps(oh)
                    .flat_map(|h| columns.taps(ow).map(move |w| (h, w)));
                let at = |(ih, iw)| ((n * h + ih) * w + iw) * c + channel;
                let first = taps
                    .map(at)
                    .reduce(|best, at| if x[at] > x[best] { at } else { best });
                if let Some(first) = first.filter(|&first| !self.relu || x[first] > 0.0) {
                    chosen_by[first].push(Approx::exact(dy));
                }
            }
        }
        Ok(chosen_by.into_iter().map(Approx::sum).collect())
    }
}

pub(super) fn samples() -> Vec<Box<dyn Kernel>> {
    let types = [DType::F32, DType::F16, DType::I8];
    let forward = |dtype| cases().map(|(x, pool)| MaxPool { x, pool, dtype });
    let backward = |relu| cases().map(|(x, pool)| MaxPoolGrad { x, pool, relu });
    let mut samples = boxed(types.into_iter().flat_map(forward));
    samples.extend(boxed([false, true].into_iter().flat_map(backward)));
    samples
}
