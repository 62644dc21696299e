//! The elements of `x` in the same order, under a shape with other rows.
//!
//! Rows of f16 are padded to 2 elements, those of i8 to 4, so flattening `[n, h, w, c]` to
//! `[n, h·w·c]` moves bits unless `c` is a multiple of that. Four-byte types need no kernel.

use super::{
    Agreement, Binding, Caps, DType, Error, Kernel, Launch, Result, Shape, Spec, Tensor, bits_of,
    grid_1d, label, num_elements, params_bytes, row_words, store_bits, words_for,
};

/// `y` = `x` reshaped. Bindings: `x`, `y`.
#[derive(Clone, Debug)]
pub struct Repack {
    /// Shape of `x`.
    pub from: Shape,
    /// Shape of `y`: as many elements.
    pub to: Shape,
    /// Element type of both.
    pub dtype: DType,
}

impl Kernel for Repack {
    fn name(&self) -> &'static str {
        label(["repack_u32", "repack_f16", "repack_i8"], self.dtype)
    }

    fn bindings(&self) -> Vec<Binding> {
        vec![
            Binding::read("x", self.dtype, self.from.clone()),
            Binding::write("y", self.dtype, self.to.clone()),
        ]
    }

    fn launch(&self, caps: &Caps) -> Result<Launch> {
        if num_elements(&self.from) != num_elements(&self.to) {
            let expected = format!("as many elements as `x` of shape {:?}", self.from);
            return Err(Error::shape(self.name(), "y", expected, &self.to));
        }
        let words = words_for(&self.to, self.dtype);
        let row = |shape: &Shape| shape.last().copied().unwrap_or(1);
        let [x_words, y_words] = [&self.from, &self.to].map(|s| row_words(s, self.dtype));
        let params = [words, row(&self.from), x_words, row(&self.to), y_words];
        Ok(Launch {
            source: include_str!("../../../shaders/movement/repack.wgsl").into(),
            spec: Spec::new().with("LANES", self.dtype.lanes() as u32),
            params: params_bytes(&params.map(|number| number as u32)),
            workgroups: grid_1d(words, 64, caps),
        })
    }

    fn cpu(&self, args: &mut [Tensor]) -> Result<()> {
        let bits = bits_of(&args[0]);
        store_bits(&mut args[1], &bits);
        Ok(())
    }

    fn agreement(&self, _args: &[Tensor]) -> Result<Vec<Agreement>> {
        Ok(vec![Agreement::Equal; 2])
    }

    fn operations(&self) -> f64 {
        num_elements(&self.to) as f64
    }
}

/// Shapes that hurt: one, rows shorter than a word, LeNet's flattening, and back.
pub(super) fn samples() -> Vec<Box<dyn Kernel>> {
    let cases: [(&[usize], &[usize]); 5] = [
        (&[1, 1, 1, 1], &[1, 1]),
        (&[3, 2, 2, 1], &[3, 4]),
        (&[2, 5, 5, 6], &[2, 150]),
        (&[5, 7, 3], &[105]),
        (&[2, 63], &[2, 7, 9]),
    ];
    let mut out: Vec<Box<dyn Kernel>> = Vec::new();
    for (from, to) in cases {
        for dtype in [DType::F16, DType::I8] {
            let (from, to) = (from.to_vec(), to.to_vec());
            out.push(Box::new(Repack { from, to, dtype }));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        let (from, to, dtype) = (vec![2, 3], vec![6], DType::I8);
        let x = Tensor::from_i8(&from, &[1, 2, 3, 4, 5, 6]).expect("fits");
        let mut args = [x, Tensor::zeros(&to, dtype)];
        Repack { from, to, dtype }
            .cpu(&mut args)
            .expect("right types");
        assert_eq!(args[1].words(), [0x0403_0201, 0x0605]);
    }
}
