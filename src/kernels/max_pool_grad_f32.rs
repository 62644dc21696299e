//! Gradient of max pooling: each `dy` goes to the first maximum of its window, in order of `(kh, kw)`, as in
//! PyTorch.
//!
//! ```text
//! dx[n, h, w, c] = Σ dy[n, oh, ow, c] over the windows (oh, ow) whose first maximum is x[n, h, w, c]
//! ```
//!
//! With `relu` only where `x > 0`: the gradient of pooling and of the ReLU before it in one go.
//!
//! `x`, `dx`: f32 `[n, h, w, c]`, `dy`: f32 `[n, out_h, out_w, c]`. Nothing is scattered: where the windows
//! tile the image, each invocation owns a window; where they overlap, each element of `dx` looks at those that contain
//! it, so the order of the sum is fixed. `x` must not hold NaN.

use super::{
    Agreement, Approx, Binding, Caps, Kernel, Launch, Pool, elementwise, params_bytes,
    random_tensor, store, within_f32,
};
use crate::base::{DType, Rng, Tensor, num_elements};
use crate::error::Result;

/// Gradient of [`super::max_pool_f32::MaxPoolF32`]. Bindings: `x`, `dy`, `dx`.
#[derive(Clone, Debug)]
pub struct MaxPoolGradF32 {
    /// Shape of `x` and `dx`: `[n, h, w, c]`.
    pub x: [usize; 4],
    /// The window.
    pub pool: Pool,
    /// `x` is the result of a ReLU, and the gradient before it is wanted: nothing flows where `x ≤ 0`.
    pub relu: bool,
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::NoUninit)]
struct Params {
    items: u32,
}

impl Kernel for MaxPoolGradF32 {
    fn name(&self) -> &'static str {
        "max_pool_grad_f32"
    }

    fn bindings(&self) -> Vec<Binding> {
        let dy = self.pool.output_shape(self.x).unwrap_or([0; 4]);
        vec![
            Binding::read("x", DType::F32, self.x),
            Binding::read("dy", DType::F32, dy),
            Binding::write("dx", DType::F32, self.x),
        ]
    }

    fn launch(&self, caps: &Caps) -> Result<Launch> {
        let y = self.pool.output_shape(self.x)?;
        let [n, h, w, c] = self.x;
        let pairs = self.tiled() && c.is_multiple_of(2);
        let (halves, spec) = elementwise::halves(self.pool.spec(self.x, y), pairs, caps);
        let spec = spec
            .with("CHANNELS", (c / halves) as u32)
            .with("RELU", self.relu);
        let items = if self.tiled() {
            n * c / halves * h.div_ceil(self.pool.stride) * w.div_ceil(self.pool.stride)
        } else {
            num_elements(&self.x)
        };
        let params = params_bytes(&Params {
            items: items as u32,
        });
        let spec = spec.with("TILED", self.tiled());
        let source = include_str!("../../shaders/max_pool_grad_f32.wgsl");
        Ok(elementwise::launch(source, spec, params, items, caps))
    }

    fn cpu(&self, args: &mut [Tensor]) -> Result<()> {
        let dx = self.gradients(args)?;
        store(&mut args[2], &dx)
    }

    fn agreement(&self, args: &[Tensor]) -> Result<Vec<Agreement>> {
        // Windows that do not overlap give one dy or none; otherwise a sum of as many as chose the element.
        let dx = if self.pool.stride >= self.pool.kernel {
            Agreement::Equal
        } else {
            within_f32(&self.gradients(args)?)
        };
        Ok(vec![Agreement::Equal, Agreement::Equal, dx])
    }

    fn operations(&self) -> f64 {
        let y = self.pool.output_shape(self.x).unwrap_or([0; 4]);
        let taps = self.pool.kernel * self.pool.kernel;
        // Windows that overlap are looked through by each of their elements.
        let times = if self.tiled() { 1 } else { taps };
        (num_elements(&y) * taps * times) as f64
    }

    fn example_args(&self, rng: &mut Rng) -> Vec<Tensor> {
        // Small integers, so that windows have several maxima.
        let mut x = Tensor::zeros(&self.x, DType::F32);
        let values: Vec<f64> = (0..x.len()).map(|_| rng.below(4) as f64 - 2.0).collect();
        x.store_f64(&values).expect("as many as elements");
        let mut args: Vec<Tensor> = self
            .bindings()
            .iter()
            .map(|b| random_tensor(b, rng))
            .collect();
        args[0] = x;
        args
    }
}

impl MaxPoolGradF32 {
    /// Whether windows tile the image: then one invocation takes a window and reads every `x` once.
    fn tiled(&self) -> bool {
        self.pool.stride == self.pool.kernel && self.pool.padding == 0
    }

    fn gradients(&self, args: &[Tensor]) -> Result<Vec<Approx>> {
        let [n, h, w, c] = self.x;
        let [_, out_h, out_w, _] = self.pool.output_shape(self.x)?;
        let (x, dy) = (args[0].to_f64(), args[1].to_f64());
        let mut chosen_by = vec![Vec::new(); x.len()];
        for (i, &dy) in dy.iter().enumerate() {
            let (c0, ow) = (i % c, i / c % out_w);
            let (oh, n0) = (i / (c * out_w) % out_h, i / (c * out_w * out_h));
            debug_assert!(n0 < n);
            let mut first = None;
            for ih in self.pool.span(oh, h) {
                for iw in self.pool.span(ow, w) {
                    let at = ((n0 * h + ih) * w + iw) * c + c0;
                    if first.is_none_or(|first: usize| x[at] > x[first]) {
                        first = Some(at);
                    }
                }
            }
            if let Some(first) = first.filter(|&first| !self.relu || x[first] > 0.0) {
                chosen_by[first].push(Approx::exact(dy));
            }
        }
        Ok(chosen_by.into_iter().map(Approx::sum).collect())
    }
}

/// Even and odd sizes, overlapping windows, padding, gaps between windows, odd channels.
pub fn samples() -> Vec<Box<dyn Kernel>> {
    let cases = [
        ([1, 1, 1, 1], 1, 1, 0),
        ([2, 8, 8, 6], 2, 2, 0),
        ([3, 7, 5, 3], 2, 2, 0),
        ([1, 9, 7, 5], 3, 2, 1),
        ([2, 6, 6, 33], 3, 1, 1),
        ([1, 8, 11, 2], 2, 3, 0),
        ([1, 5, 5, 1], 5, 1, 2),
    ];
    let kernel = |(x, kernel, stride, padding)| {
        let pool = Pool {
            kernel,
            stride,
            padding,
        };
        Box::new(MaxPoolGradF32 {
            x,
            pool,
            relu: false,
        }) as Box<dyn Kernel>
    };
    let with_relu = MaxPoolGradF32 {
        x: [2, 6, 7, 3],
        pool: Pool {
            kernel: 2,
            stride: 2,
            padding: 0,
        },
        relu: true,
    };
    let overlapping = MaxPoolGradF32 {
        x: [1, 7, 7, 2],
        pool: Pool {
            kernel: 3,
            stride: 2,
            padding: 1,
        },
        relu: true,
    };
    let fused = [with_relu, overlapping].map(|kernel| Box::new(kernel) as Box<dyn Kernel>);
    cases.into_iter().map(kernel).chain(fused).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_equals_takes_all() {
        let x = Tensor::from_f32(&[1, 2, 3, 1], &[1.0, 7.0, 7.0, 7.0, 7.0, 7.0]).expect("fits");
        let dy = Tensor::from_f32(&[1, 1, 2, 1], &[10.0, 1.0]).expect("fits");
        let mut args = [x, dy, Tensor::zeros(&[1, 2, 3, 1], DType::F32)];
        let kernel = MaxPoolGradF32 {
            x: [1, 2, 3, 1],
            pool: Pool {
                kernel: 2,
                stride: 1,
                padding: 0,
            },
            relu: false,
        };
        kernel.cpu(&mut args).expect("f32");
        assert_eq!(args[2].to_f32(), [0.0, 11.0, 0.0, 0.0, 0.0, 0.0]);
    }
}
