//! `y[j] = Σ x[i]` over all `i` that `j` was broadcast to: the gradient of a broadcast operand
//!
//! f32; the order of the sum is fixed by the sizes, so that results are reproducible.

use super::super::{
    Agreement, Binding, Caps, Kernel, Launch, Spec, gamma, grid_1d, params_bytes, ulp_f32, uniform,
};
use super::broadcast::{Broadcast, broadcast_shape, pairs};
use crate::base::{DType, Rng, Shape, Tensor, num_elements};
use crate::error::{Error, Result};

/// Sums of `x` in the shape that was broadcast to that of `x`. Bindings: `x`, `y`.
#[derive(Clone, Debug)]
pub struct SumTo {
    /// Shape of `x`.
    pub from: Shape,
    /// Shape of `y`: one that broadcasts to `from`.
    pub to: Shape,
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::NoUninit)]
struct Params {
    axes: [[u32; 4]; 3],
    outputs: u32,
    terms: u32,
}

impl Kernel for SumTo {
    fn name(&self) -> &'static str {
        "sum_to_f32"
    }

    fn bindings(&self) -> Vec<Binding> {
        vec![
            Binding::read("x", DType::F32, self.from.clone()),
            Binding::write("y", DType::F32, self.to.clone()),
        ]
    }

    fn launch(&self, caps: &Caps) -> Result<Launch> {
        self.check()?;
        let broadcast = Broadcast::new(self.name(), &self.to, &self.from, DType::F32)?.params;
        let (mut axes, mut kept, mut summed) = ([[1, 0, 1, 0]; 3], 0, 0);
        for [size, in_y, in_x, _] in &broadcast.axes[..broadcast.rank as usize] {
            // Kept and summed axes alternate, so six are three of either.
            let (i, column) = if *in_y != 0 {
                (&mut kept, 0)
            } else {
                (&mut summed, 2)
            };
            axes[*i][column..column + 2].copy_from_slice(&[*size, *in_x]);
            *i += 1;
        }
        let outputs = num_elements(&self.to);
        let terms = num_elements(&self.from) / outputs.max(1);
        // Neighbours read neighbouring elements: of several outputs where the innermost axis is kept and long enough,
        // of one where it is summed. Where there are few terms, an invocation adds all of its output.
        let columns = match (broadcast.axes[0][1], terms, outputs) {
            (0, 17.., _) => 1,
            (0, ..17, _) => 64,
            (_, _, ..32) => 1,
            (_, ..=64, 64..) => 64,
            _ => 8,
        };
        Ok(Launch {
            source: include_str!("../../../shaders/binary/sum_to.wgsl").into(),
            spec: Spec::new().with("COLUMNS", columns as u32),
            params: params_bytes(&Params {
                axes,
                outputs: outputs as u32,
                terms: terms as u32,
            }),
            workgroups: grid_1d(outputs, columns, caps),
        })
    }

    fn cpu(&self, args: &mut [Tensor]) -> Result<()> {
        let y = self.sums(&args[0].to_f64())?;
        args[1].store_f64(&y)
    }

    fn agreement(&self, args: &[Tensor]) -> Result<Vec<Agreement>> {
        let x = args[0].to_f64();
        let size = self.sums(&x.iter().map(|x| x.abs()).collect::<Vec<_>>())?;
        let terms = x.len() / size.len().max(1);
        // Every element takes part in fewer than `terms` additions; the sum is then rounded once more by being
        // compared as f32.
        let bound = self.sums(&x)?.into_iter().zip(size).map(|(y, size)| {
            let error = gamma(terms) * size;
            error + ulp_f32(y.abs() + error)
        });
        Ok(vec![Agreement::Equal, Agreement::Within(bound.collect())])
    }

    fn operations(&self) -> f64 {
        num_elements(&self.from) as f64
    }

    /// Sums that are not small beside what is summed.
    fn example_args(&self, rng: &mut Rng) -> Vec<Tensor> {
        let x = uniform(&self.from, -1.0, 3.0, rng);
        vec![x, Tensor::zeros(&self.to, DType::F32)]
    }
}

impl SumTo {
    fn check(&self) -> Result<()> {
        if broadcast_shape(self.name(), &self.to, &self.from)? == self.from {
            return Ok(());
        }
        let expected = format!("one that broadcasts to {:?}", self.from);
        Err(Error::shape(self.name(), "y", expected, &self.to))
    }

    fn sums(&self, x: &[f64]) -> Result<Vec<f64>> {
        self.check()?;
        let mut y = vec![0.0; num_elements(&self.to)];
        for [j, i] in pairs(self.name(), &self.to, &self.from)? {
            y[j] += x[i];
        }
        Ok(y)
    }
}

/// Shapes that hurt: nothing to sum, everything, per channel, per image and channel, rows, every other axis.
pub(super) fn samples() -> Vec<Box<dyn Kernel>> {
    let cases: [(&[usize], &[usize]); 8] = [
        (&[7, 13], &[7, 13]),
        (&[257, 3], &[]),
        (&[3, 5, 7, 6], &[6]),
        (&[3, 9, 8, 70], &[3, 1, 1, 70]),
        (&[37, 5], &[37, 1]),
        (&[9, 1, 131], &[9, 1, 1]),
        (&[2, 3, 4, 5, 2, 3], &[3, 1, 5, 1, 3]),
        (&[2, 3, 4, 5, 2, 3], &[2, 1, 4, 1, 2, 1]),
    ];
    cases
        .into_iter()
        .map(|(from, to)| {
            let (from, to) = (from.to_vec(), to.to_vec());
            Box::new(SumTo { from, to }) as Box<dyn Kernel>
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        let x = Tensor::from_f32(&[2, 3], &[1.0, 2.0, 3.0, 10.0, -2.0, 0.5]).expect("fits");
        for (to, want) in [
            (vec![3], vec![11.0, 0.0, 3.5]),
            (vec![2, 1], vec![6.0, 8.5]),
        ] {
            let mut args = [x.clone(), Tensor::zeros(&to, DType::F32)];
            let from = vec![2, 3];
            SumTo { from, to }.cpu(&mut args).expect("f32");
            assert_eq!(args[1].to_f32(), want);
        }
        let (from, to) = (vec![2, 1], vec![3]);
        let error = SumTo { from, to }
            .launch(&Caps::portable())
            .expect_err("wider");
        assert_eq!(
            error.to_string(),
            "sum_to_f32: `y` has shape [3], expected one that broadcasts to [2, 1]"
        );
    }
}
