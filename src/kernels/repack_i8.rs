//! The elements of `x` in the same order, under a shape with other rows.
//!
//! `x`: i8 of shape `from`, `y`: i8 of shape `to`. I8 rows are padded to 4 elements, so flattening
//! `[n, h, w, c]` to `[n, h·w·c]` moves bits unless `c` is a multiple of 4. Exact: a copy.

use super::{Agreement, Binding, Caps, Kernel, Launch, Spec, grid_1d, params_bytes};
use crate::base::{DType, Shape, Tensor, num_elements, row_words, words_for};
use crate::error::{Error, Result};

/// `y` = `x` reshaped. Bindings: `x`, `y`.
#[derive(Clone, Debug)]
pub struct RepackI8 {
    /// Shape of `x`.
    pub from: Shape,
    /// Shape of `y`: as many elements.
    pub to: Shape,
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::NoUninit)]
struct Params {
    words: u32,
    x_row: u32,
    x_row_words: u32,
    y_row: u32,
    y_row_words: u32,
}

impl Kernel for RepackI8 {
    fn name(&self) -> &'static str {
        "repack_i8"
    }

    fn bindings(&self) -> Vec<Binding> {
        vec![
            Binding::read("x", DType::I8, self.from.clone()),
            Binding::write("y", DType::I8, self.to.clone()),
        ]
    }

    fn launch(&self, caps: &Caps) -> Result<Launch> {
        if num_elements(&self.from) != num_elements(&self.to) {
            let expected = format!("as many elements as `x` of shape {:?}", self.from);
            return Err(Error::shape(self.name(), "y", expected, &self.to));
        }
        let words = words_for(&self.to, DType::I8);
        let row = |shape: &Shape| shape.last().copied().unwrap_or(1) as u32;
        Ok(Launch {
            source: include_str!("../../shaders/repack_i8.wgsl").into(),
            spec: Spec::new(),
            params: params_bytes(&Params {
                words: words as u32,
                x_row: row(&self.from),
                x_row_words: row_words(&self.from, DType::I8) as u32,
                y_row: row(&self.to),
                y_row_words: row_words(&self.to, DType::I8) as u32,
            }),
            workgroups: grid_1d(words, 64, caps),
        })
    }

    fn cpu(&self, args: &mut [Tensor]) -> Result<()> {
        let x = args[0].to_i8()?;
        args[1].store_i8(&x)
    }

    fn agreement(&self, _args: &[Tensor]) -> Result<Vec<Agreement>> {
        Ok(vec![Agreement::Equal; 2])
    }

    fn operations(&self) -> f64 {
        num_elements(&self.to) as f64
    }
}

/// Shapes that hurt: one, rows shorter than a word, LeNet's flattening, and back.
pub fn samples() -> Vec<Box<dyn Kernel>> {
    let cases: [(&[usize], &[usize]); 6] = [
        (&[1, 1, 1, 1], &[1, 1]),
        (&[3, 2, 2, 1], &[3, 4]),
        (&[2, 5, 5, 6], &[2, 150]),
        (&[5, 7, 3], &[105]),
        (&[2, 63], &[2, 7, 9]),
        (&[4, 5, 5, 16], &[4, 400]),
    ];
    cases
        .iter()
        .map(|&(from, to)| {
            let (from, to) = (from.to_vec(), to.to_vec());
            Box::new(RepackI8 { from, to }) as Box<dyn Kernel>
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        let kernel = RepackI8 {
            from: vec![2, 3],
            to: vec![6],
        };
        let x = Tensor::from_i8(&[2, 3], &[1, 2, 3, 4, 5, 6]);
        let mut args = [x.expect("fits"), Tensor::zeros(&[6], DType::I8)];
        kernel.cpu(&mut args).expect("right types");
        assert_eq!(args[1].to_f64(), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        assert_eq!(args[1].words().len(), 2);
    }
}
