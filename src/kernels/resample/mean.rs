//! Weighted sums in f32 of f32 or f16, and copies of any type.

use super::super::frame::{boxed, no_program, params, within};
use super::super::{Agreement, Approx, Binding, Caps, Kernel, Launch, grid_1d, random_args, store};
use super::{Taps, bindings, cases, check, output, spec};
use crate::base::{DType, Rng, Tensor, num_elements, words_for};
use crate::error::Result;

/// A resampled image. Bindings: `x`, `table` ([`Self::table`]), `y`.
#[derive(Clone, Debug)]
pub struct Resample {
    /// Shape of `x`: `[n, h, w, c]`.
    pub x: [usize; 4],
    /// The rows of `y`.
    pub rows: Taps,
    /// Its columns.
    pub columns: Taps,
    /// F32 or F16; I8 where both axes only select, otherwise it is [`super::ResampleI8`].
    pub dtype: DType,
}

impl Resample {
    /// Places and weights, as the kernel reads them.
    pub fn table(&self) -> Tensor {
        let words: Vec<u32> = self.rows.words().chain(self.columns.words()).collect();
        Tensor::from_u32(&[words.len() / 2, 2], &words).expect("two words an entry")
    }

    fn taps(&self) -> [&Taps; 2] {
        [&self.rows, &self.columns]
    }

    fn moves(&self) -> bool {
        self.rows.selects() && self.columns.selects()
    }

    fn checked(&self) -> Result<()> {
        let known = match self.dtype {
            DType::F32 | DType::F16 => true,
            DType::I8 => self.moves(),
            DType::I32 | DType::U32 => false,
        };
        if !known {
            return Err(no_program("resample", self.dtype, "f32 or f16"));
        }
        check(self.name(), self.x, self.taps())
    }

    fn sums(&self, args: &[Tensor]) -> Result<Vec<Approx>> {
        self.checked()?;
        let ([n, h, w, c], x) = (self.x, Approx::elements(&args[0]));
        let mut y = Vec::with_capacity(args[2].len());
        for image in 0..n {
            for i in 0..self.rows.len() {
                for j in 0..self.columns.len() {
                    let sum = |channel: usize| {
                        let row = |(ih, wh): (usize, f32)| {
                            let taps = self.columns.row(j).map(|(iw, ww)| {
                                let x = x[((image * h + ih) * w + iw) * c + channel];
                                Approx::exact(ww) * x
                            });
                            Approx::exact(wh) * Approx::sum(taps)
                        };
                        Approx::sum(self.rows.row(i).map(row))
                    };
                    y.extend((0..c).map(sum));
                }
            }
        }
        Ok(y)
    }
}

impl Kernel for Resample {
    fn name(&self) -> &'static str {
        match self.dtype {
            DType::F16 => "resample_f16",
            DType::I8 => "resample_move_i8",
            DType::F32 | DType::I32 | DType::U32 => "resample_f32",
        }
    }

    fn bindings(&self) -> Vec<Binding> {
        bindings(self.x, self.taps(), self.dtype)
    }

    fn launch(&self, caps: &Caps) -> Result<Launch> {
        self.checked()?;
        let mut spec = spec(self.x, self.taps(), self.dtype).with("MOVES", self.moves());
        if self.dtype == DType::F16 {
            spec = spec.part("lanes", "common/lanes_f16.wgsl");
        }
        let words = words_for(&output(self.x, self.taps()), self.dtype);
        Ok(Launch {
            source: include_str!("../../../shaders/resample/resample.wgsl").into(),
            spec,
            params: params(self.name(), [words.into()])?,
            workgroups: grid_1d(words, 64, caps),
        })
    }

    fn cpu(&self, args: &mut [Tensor]) -> Result<()> {
        let y = self.sums(args)?;
        if self.dtype == DType::I8 {
            return args[2].store_i8(&y.iter().map(|y| y.value as i8).collect::<Vec<_>>());
        }
        store(&mut args[2], &y)
    }

    fn agreement(&self, args: &[Tensor]) -> Result<Vec<Agreement>> {
        let y = match self.moves() {
            true => Agreement::Equal,
            false => within(self.dtype, &self.sums(args)?),
        };
        Ok(vec![Agreement::Equal, Agreement::Equal, y])
    }

    fn operations(&self) -> f64 {
        let taps = self.rows.each() * self.columns.each();
        (2 * taps * num_elements(&output(self.x, self.taps()))) as f64
    }

    fn example_args(&self, rng: &mut Rng) -> Vec<Tensor> {
        let mut args = random_args(&self.bindings(), rng);
        args[1] = self.table();
        args
    }
}

pub(super) fn samples() -> Vec<Box<dyn Kernel>> {
    let kernel = |dtype| {
        cases().map(|(x, [rows, columns])| Resample {
            x,
            rows,
            columns,
            dtype,
        })
    };
    let all = [DType::F32, DType::F16, DType::I8].into_iter();
    let mut kernels: Vec<Resample> = all.flat_map(kernel).collect();
    kernels.retain(|kernel| kernel.dtype != DType::I8 || kernel.moves());
    boxed(kernels)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        let rows = Taps::new(2, vec![vec![(0, 0.25), (1, 0.75)], vec![(1, 1.0)]]).expect("fits");
        let columns = Taps::new(2, vec![vec![(0, 1.0), (1, 1.0)]]).expect("fits");
        let (x, dtype) = ([1, 2, 2, 1], DType::F32);
        let mut kernel = Resample {
            x,
            rows,
            columns,
            dtype,
        };
        let image = Tensor::from_f32(&x, &[1.0, 3.0, 5.0, 7.0]).expect("fits");
        let mut args = [image, kernel.table(), Tensor::zeros(&[1, 2, 1, 1], dtype)];
        kernel.cpu(&mut args).expect("f32");
        assert_eq!(args[2].to_f32(), [10.0, 12.0]);
        kernel.dtype = DType::I8;
        assert!(kernel.launch(&Caps::portable()).is_err(), "it computes");
        kernel.x[1] = 3;
        assert!(kernel.launch(&Caps::portable()).is_err(), "another image");
    }
}
