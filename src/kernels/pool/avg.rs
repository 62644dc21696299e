//! The mean of each window in f32 or f16, and the gradient in f32.
//!
//! ```text
//! dx[n, h, w, c] = Σ dy[n, oh, ow, c] / count[oh, ow] over the windows (oh, ow) with a tap on (h, w)
//! ```
//!
//! Summed in f32, then divided by the count (2.5 ULP).

use super::super::elementwise::launch;
use super::super::frame::{boxed, no_program, params, store_all, within_all};
use super::super::{Agreement, Approx, Binding, Caps, Kernel, Launch, grid_1d};
use super::window::windows;
use super::{Pool, bindings, cases, lanes};
use crate::base::{DType, Tensor, num_elements, words_for};
use crate::error::Result;

/// The mean of each window. Bindings: `x`, `y`.
#[derive(Clone, Debug)]
pub struct AvgPool {
    /// Shape of `x`: `[n, h, w, c]`.
    pub x: [usize; 4],
    /// The window.
    pub pool: Pool,
    /// F32 or F16; [`super::AvgPoolI8`] has int8.
    pub dtype: DType,
}

impl Kernel for AvgPool {
    fn name(&self) -> &'static str {
        match self.dtype {
            DType::F16 => "avg_pool_f16",
            DType::F32 | DType::I8 | DType::I32 | DType::U32 => "avg_pool_f32",
        }
    }

    fn bindings(&self) -> Vec<Binding> {
        bindings(self.x, self.pool, self.dtype)
    }

    fn launch(&self, caps: &Caps) -> Result<Launch> {
        if !matches!(self.dtype, DType::F32 | DType::F16) {
            return Err(no_program("avg_pool", self.dtype, "f32 or f16"));
        }
        let (y, axes) = (self.pool.output_shape(self.x)?, self.pool.axes(self.x)?);
        let (words, c) = (
            words_for(&y, self.dtype),
            words_for(&self.x[3..], self.dtype),
        );
        let spec = lanes(self.pool.spec(axes), self.dtype, false);
        Ok(Launch {
            source: include_str!("../../../shaders/pool/avg_pool.wgsl").into(),
            spec: spec.with("WORDS", c as u32),
            params: params(self.name(), [words.into()])?,
            workgroups: grid_1d(words, 64, caps),
        })
    }

    fn cpu(&self, args: &mut [Tensor]) -> Result<()> {
        let y = self.means(args)?;
        store_all(args, vec![(1, y)])
    }

    fn agreement(&self, args: &[Tensor]) -> Result<Vec<Agreement>> {
        within_all(args, &vec![(1, self.means(args)?)])
    }

    fn operations(&self) -> f64 {
        let [kernel_h, kernel_w] = self.pool.kernel;
        (num_elements(&self.pool.output_or_empty(self.x)) * kernel_h * kernel_w) as f64
    }
}

impl AvgPool {
    fn means(&self, args: &[Tensor]) -> Result<Vec<Approx>> {
        let ([n, h, w, c], [rows, columns]) = (self.x, self.pool.axes(self.x)?);
        let (x, pad) = (Approx::elements(&args[0]), self.pool.count_include_pad);
        let mut y = Vec::with_capacity(args[1].len());
        for [n, oh, ow] in windows(n, [rows, columns]) {
            let count = Approx::exact((rows.count(oh, pad) * columns.count(ow, pad)) as f64);
            for channel in 0..c {
                let taps = rows
                    .taps(oh)
                    .flat_map(|h| columns.taps(ow).map(move |w| (h, w)));
                let values = taps.map(|(ih, iw)| x[((n * h + ih) * w + iw) * c + channel]);
                y.push(Approx::sum(values) / count);
            }
        }
        Ok(y)
    }
}

/// Gradient of [`AvgPool`] in f32. Bindings: `dy`, `dx`.
#[derive(Clone, Debug)]
pub struct AvgPoolGrad {
    /// Shape of `dx`: `[n, h, w, c]`.
    pub x: [usize; 4],
    /// The window.
    pub pool: Pool,
}

impl Kernel for AvgPoolGrad {
    fn name(&self) -> &'static str {
        "avg_pool_grad_f32"
    }

    fn bindings(&self) -> Vec<Binding> {
        vec![
            Binding::read("dy", DType::F32, self.pool.output_or_empty(self.x)),
            Binding::write("dx", DType::F32, self.x),
        ]
    }

    fn launch(&self, caps: &Caps) -> Result<Launch> {
        let spec = self.pool.spec(self.pool.axes(self.x)?);
        let spec = spec.with("WORDS", self.x[3] as u32);
        let len = num_elements(&self.x);
        let params = params(self.name(), [len.into()])?;
        let source = include_str!("../../../shaders/pool/avg_pool_grad.wgsl");
        Ok(launch(source, spec, params, len, caps))
    }

    fn cpu(&self, args: &mut [Tensor]) -> Result<()> {
        let dx = self.gradients(args)?;
        store_all(args, vec![(1, dx)])
    }

    fn agreement(&self, args: &[Tensor]) -> Result<Vec<Agreement>> {
        within_all(args, &vec![(1, self.gradients(args)?)])
    }

    fn operations(&self) -> f64 {
        let [kernel_h, kernel_w] = self.pool.kernel;
        (num_elements(&self.pool.output_or_empty(self.x)) * kernel_h * kernel_w) as f64
    }
}

impl AvgPoolGrad {
    fn gradients(&self, args: &[Tensor]) -> Result<Vec<Approx>> {
        let ([n, h, w, c], [rows, columns]) = (self.x, self.pool.axes(self.x)?);
        let (dy, pad) = (Approx::elements(&args[0]), self.pool.count_include_pad);
        let mut shares = vec![Vec::new(); num_elements(&self.x)];
        for ([n, oh, ow], dy) in windows(n, [rows, columns]).zip(dy.chunks(c)) {
            let count = Approx::exact((rows.count(oh, pad) * columns.count(ow, pad)) as f64);
            for (ih, iw) in rows
                .taps(oh)
                .flat_map(|h| columns.taps(ow).map(move |w| (h, w)))
            {
                for (channel, &dy) in dy.iter().enumerate() {
                    shares[((n * h + ih) * w + iw) * c + channel].push(dy / count);
                }
            }
        }
        Ok(shares.into_iter().map(Approx::sum).collect())
    }
}

pub(super) fn samples() -> Vec<Box<dyn Kernel>> {
    let forward = |dtype| cases().map(|(x, pool)| AvgPool { x, pool, dtype });
    let mut samples = boxed([DType::F32, DType::F16].into_iter().flat_map(forward));
    samples.extend(boxed(cases().map(|(x, pool)| AvgPoolGrad { x, pool })));
    samples
}
