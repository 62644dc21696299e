//! `y[.., start + k, ..] = x[.., k, ..]` along one axis; the rest of `y` stays
//!
//! `x`, `y`: any type, the same sizes but along the axis. One launch per operand makes a concatenation.
//! An invocation owns whole words of `y` and keeps the elements that are not its own, so neighbours may
//! share a word. Row padding becomes zero.

use super::{
    Agreement, Binding, Caps, DType, Error, Kernel, Launch, Result, Shape, Spec, Tensor, bits_of,
    grid_1d, label, num_elements, params_bytes, store_bits, words_for,
};

/// `x` as a part of `y`. Bindings: `x`, `y` (updated).
#[derive(Clone, Debug)]
pub struct Place {
    /// Shape of `x`.
    pub x: Shape,
    /// Shape of `y`.
    pub y: Shape,
    /// The axis along which `x` is a part.
    pub axis: usize,
    /// Where it begins.
    pub start: usize,
    /// Element type of both.
    pub dtype: DType,
}

impl Kernel for Place {
    fn name(&self) -> &'static str {
        label(["place_u32", "place_f16", "place_i8"], self.dtype)
    }

    fn bindings(&self) -> Vec<Binding> {
        vec![
            Binding::read("x", self.dtype, self.x.clone()),
            Binding::update("y", self.dtype, self.y.clone()),
        ]
    }

    fn launch(&self, caps: &Caps) -> Result<Launch> {
        self.check()?;
        let last = self.axis + 1 == self.y.len();
        let (x_row, y_row) = (self.x[self.axis], self.y[self.axis]);
        let lanes = self.dtype.lanes();
        let ends = self.start + x_row;
        // Where no word is shared, elements of a row are words of it.
        let whole =
            self.start.is_multiple_of(lanes) && (ends.is_multiple_of(lanes) || ends == y_row);
        let (lanes, row) = if last && !whole {
            (lanes, [self.start, x_row, y_row])
        } else if last {
            let words = |elements: usize| elements.div_ceil(lanes);
            (1, [self.start / lanes, words(x_row), words(y_row)])
        } else {
            let inner = words_for(&self.y[self.axis + 1..], self.dtype);
            (1, [self.start * inner, x_row * inner, y_row * inner])
        };
        let [start, len, y_row] = row;
        let span = (start + len).div_ceil(lanes) - start / lanes;
        let rows: usize = self.y[..self.axis].iter().product();
        let row_words = [len, y_row].map(|row: usize| row.div_ceil(lanes));
        let params = [
            rows * span,
            span,
            start,
            len,
            y_row,
            row_words[0],
            row_words[1],
        ];
        Ok(Launch {
            source: include_str!("../../../shaders/movement/place.wgsl").into(),
            spec: Spec::new().with("LANES", lanes as u32),
            params: params_bytes(&params.map(|number| number as u32)),
            workgroups: grid_1d(rows * span, 64, caps),
        })
    }

    fn cpu(&self, args: &mut [Tensor]) -> Result<()> {
        self.check()?;
        let (x, mut y) = (bits_of(&args[0]), bits_of(&args[1]));
        let inner: usize = self.x[self.axis + 1..].iter().product();
        let (len, row) = (self.x[self.axis] * inner, self.y[self.axis] * inner);
        for (x, y) in x.chunks(len).zip(y.chunks_mut(row)) {
            y[self.start * inner..][..len].copy_from_slice(x);
        }
        store_bits(&mut args[1], &y);
        Ok(())
    }

    fn agreement(&self, _args: &[Tensor]) -> Result<Vec<Agreement>> {
        Ok(vec![Agreement::Equal; 2])
    }

    fn operations(&self) -> f64 {
        num_elements(&self.x) as f64
    }
}

impl Place {
    fn check(&self) -> Result<()> {
        if self.axis >= self.y.len() {
            let problem = format!("`y` of shape {:?} has no axis {}", self.y, self.axis);
            return Err(Error::invalid(self.name(), problem));
        }
        let mut expected = self.y.clone();
        let size = self.x.get(self.axis).copied().unwrap_or(0);
        expected[self.axis] = size;
        if self.x != expected || size == 0 {
            let expected = format!("{:?} with any size along axis {}", self.y, self.axis);
            return Err(Error::shape(self.name(), "x", expected, &self.x));
        }
        if self.start + size > self.y[self.axis] {
            let problem = format!(
                "{size} elements from {} on do not fit axis {} of `y` of shape {:?}",
                self.start, self.axis, self.y
            );
            return Err(Error::invalid(self.name(), problem));
        }
        Ok(())
    }
}

/// Parts that hurt: at the beginning, the end and between, of words shared with neighbours, along inner axes.
pub(super) fn samples() -> Vec<Box<dyn Kernel>> {
    let cases: [(&[usize], &[usize], usize, usize); 6] = [
        (&[3, 5, 2], &[3, 5, 13], 2, 5),
        (&[3, 5, 6], &[3, 5, 13], 2, 7),
        (&[2, 67, 4], &[2, 67, 12], 2, 4),
        (&[5, 1], &[5, 9], 1, 0),
        (&[2, 3, 5, 7], &[2, 9, 5, 7], 1, 4),
        (&[1, 70], &[4, 70], 0, 3),
    ];
    let mut out: Vec<Box<dyn Kernel>> = Vec::new();
    for (x, y, axis, start) in cases {
        for dtype in [DType::F32, DType::F16, DType::I8] {
            let (x, y) = (x.to_vec(), y.to_vec());
            out.push(Box::new(Place {
                x,
                y,
                axis,
                start,
                dtype,
            }));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        let (x, y, dtype) = (vec![2, 1], vec![2, 3], DType::I8);
        let mut args = [
            Tensor::from_i8(&x, &[7, 8]).expect("fits"),
            Tensor::from_i8(&y, &[1, 2, 3, 4, 5, 6]).expect("fits"),
        ];
        let mut kernel = Place {
            x,
            y,
            axis: 1,
            start: 2,
            dtype,
        };
        kernel.cpu(&mut args).expect("right types");
        assert_eq!(args[1].to_i8().expect("i8"), [1, 2, 7, 4, 5, 8]);
        kernel.start = 3;
        let error = kernel.launch(&Caps::portable()).expect_err("3 + 1 > 3");
        assert_eq!(
            error.to_string(),
            "place_i8: 1 elements from 3 on do not fit axis 1 of `y` of shape [2, 3]"
        );
    }
}
