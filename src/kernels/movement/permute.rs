//! `y[j₀, j₁, …] = x[i₀, i₁, …]` where `i[order[k]] = j[k]`: the axes in another order
//!
//! `x`, `y`: any type, up to six axes. Axes that stay together move as one, and rows that stay rows move in words: what
//! is left has three axes or fewer in almost every network.

use super::{
    Agreement, Binding, Caps, DType, Error, Kernel, Launch, Result, Shape, Spec, Tensor, bits_of,
    grid_1d, label, num_elements, params_bytes, row_words, store_bits,
};

const AXES: usize = 6;

/// The axes of `x` in another order. Bindings: `x`, `y`.
#[derive(Clone, Debug)]
pub struct Permute {
    x: Shape,
    order: Vec<usize>,
    dtype: DType,
}

impl Permute {
    /// Axis `k` of `y` is axis `order[k]` of `x`.
    ///
    /// # Errors
    /// [`Error::Invalid`] if `order` does not name every axis of `x` once, if there are more than six axes, or no
    /// elements.
    pub fn new(x: &[usize], order: &[usize], dtype: DType) -> Result<Self> {
        let mut named = order.to_vec();
        named.sort_unstable();
        let invalid = |problem: String| Err(Error::invalid("transpose", problem));
        if !named.iter().copied().eq(0..x.len()) {
            return invalid(format!("{order:?} does not name every axis of {x:?} once"));
        }
        if x.len() > AXES {
            return invalid(format!("{x:?} has more than {AXES} axes"));
        }
        if num_elements(x) == 0 {
            return invalid(format!("`x` of shape {x:?} has no elements"));
        }
        Ok(Self {
            x: x.to_vec(),
            order: order.to_vec(),
            dtype,
        })
    }

    /// Shape of `y`.
    pub fn y(&self) -> Shape {
        self.order.iter().map(|&axis| self.x[axis]).collect()
    }

    /// True if the elements stay in their order: only axes of length 1 move.
    pub fn keeps_order(&self) -> bool {
        let long = |axis: &&usize| self.x[**axis] > 1;
        self.order.iter().filter(long).is_sorted()
    }

    /// Elements of a word that move as one, and the axes of `y`, innermost first: how long each is, and how far apart
    /// its elements lie in `x`, row padding counted.
    fn moved(&self) -> (usize, Vec<[usize; 2]>) {
        let last = self.x.len().saturating_sub(1);
        let mut lanes = self.dtype.lanes();
        let mut sizes = self.x.clone();
        if self.order.last().is_none_or(|&axis| axis == last) {
            // Rows stay rows, with their padding.
            if let Some(row) = sizes.last_mut() {
                *row = row_words(&self.x, self.dtype);
            }
            lanes = 1;
        }
        let mut steps = vec![1; sizes.len()];
        for axis in (0..last).rev() {
            let row = if axis + 1 == last {
                sizes[last].next_multiple_of(lanes)
            } else {
                sizes[axis + 1]
            };
            steps[axis] = steps[axis + 1] * row;
        }
        let mut moved: Vec<[usize; 2]> = Vec::new();
        for (i, &axis) in self.order.iter().rev().enumerate() {
            let (size, step) = (sizes[axis], steps[axis]);
            // An axis of length 1 is none, but for the rows of `y` where they have padding.
            if size == 1 && (i > 0 || lanes == 1) {
                continue;
            }
            // A row of `y` goes on in the next one only where no padding comes between them.
            let open = |inner: &&mut [usize; 2]| i > 1 || inner[0].is_multiple_of(lanes);
            match moved.last_mut().filter(open) {
                Some([inner, near]) if step == *near * *inner => *inner *= size,
                Some(_) | None => moved.push([size, step]),
            }
        }
        if moved.is_empty() {
            moved.push([1, 1]);
        }
        (lanes, moved)
    }
}

impl Kernel for Permute {
    fn name(&self) -> &'static str {
        label(["permute_u32", "permute_f16", "permute_i8"], self.dtype)
    }

    fn bindings(&self) -> Vec<Binding> {
        vec![
            Binding::read("x", self.dtype, self.x.clone()),
            Binding::write("y", self.dtype, self.y()),
        ]
    }

    fn launch(&self, caps: &Caps) -> Result<Launch> {
        let (lanes, moved) = self.moved();
        let rows: usize = moved[1..].iter().map(|[size, _]| size).product();
        let row_words = moved[0][0].div_ceil(lanes);
        let words = rows * row_words;
        let mut bytes = Vec::new();
        for &[size, step] in &moved {
            bytes.extend(params_bytes(&[size as u32, step as u32, 0, 0]));
        }
        bytes.extend(params_bytes(&[words as u32, row_words as u32, 0, 0]));
        Ok(Launch {
            source: include_str!("../../../shaders/movement/permute.wgsl").into(),
            spec: Spec::new()
                .with("LANES", lanes as u32)
                .with("OUTER", moved.len() as u32 - 1),
            params: bytes,
            workgroups: grid_1d(words, 64, caps),
        })
    }

    fn cpu(&self, args: &mut [Tensor]) -> Result<()> {
        let x = bits_of(&args[0]);
        let y = self.y();
        let element = |mut j: usize| {
            let mut at = vec![0; y.len()];
            for (&size, &axis) in y.iter().zip(&self.order).rev() {
                at[axis] = j % size;
                j /= size;
            }
            let places = at.iter().zip(&self.x);
            x[places.fold(0, |i, (&at, &size)| i * size + at)]
        };
        let bits: Vec<u32> = (0..x.len()).map(element).collect();
        store_bits(&mut args[1], &bits);
        Ok(())
    }

    fn agreement(&self, _args: &[Tensor]) -> Result<Vec<Agreement>> {
        Ok(vec![Agreement::Equal; 2])
    }

    fn operations(&self) -> f64 {
        num_elements(&self.x) as f64
    }
}

/// Orders that hurt: none, channels first and back, rows that stay, axes of length 1, rows of a single element, heads of
/// an attention, six axes all apart.
pub(super) fn samples() -> Vec<Box<dyn Kernel>> {
    let cases: [(&[usize], &[usize]); 11] = [
        (&[], &[]),
        (&[5], &[0]),
        (&[37, 41], &[1, 0]),
        (&[2, 5, 7, 3], &[0, 3, 1, 2]),
        (&[2, 3, 5, 7], &[0, 2, 3, 1]),
        (&[2, 4, 3, 8], &[0, 2, 1, 3]),
        (&[3, 1, 4, 1], &[0, 3, 2, 1]),
        (&[1, 6, 1, 5], &[2, 3, 0, 1]),
        (&[2, 9, 4, 6], &[0, 2, 3, 1]),
        (&[3, 8, 4], &[2, 0, 1]),
        (&[2, 3, 2, 3, 2, 5], &[5, 3, 1, 4, 2, 0]),
    ];
    let mut out: Vec<Box<dyn Kernel>> = Vec::new();
    for dtype in [DType::F32, DType::F16, DType::I8] {
        for kernel in cases.map(|(x, order)| Permute::new(x, order, dtype)) {
            out.extend(kernel.map(|kernel| Box::new(kernel) as Box<dyn Kernel>));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        assert_eq!(samples().len(), 33);
        let kernel = Permute::new(&[2, 3], &[1, 0], DType::I8).expect("fits");
        let x = Tensor::from_i8(&[2, 3], &[1, 2, 3, 4, 5, 6]).expect("fits");
        let mut args = [x, Tensor::zeros(&[3, 2], DType::I8)];
        kernel.cpu(&mut args).expect("right types");
        assert_eq!(args[1].words(), [0x0401, 0x0502, 0x0603]);
    }

    #[test]
    fn what_stays_together_moves_as_one() {
        let moved = |x: &[usize], order: &[usize], dtype| {
            let kernel = Permute::new(x, order, dtype).expect("fits");
            (kernel.keeps_order(), kernel.moved())
        };
        let f32 = DType::F32;
        assert_eq!(
            moved(&[2, 5, 7, 3], &[0, 3, 1, 2], f32),
            (false, (1, vec![[35, 3], [3, 1], [2, 105]]))
        );
        assert_eq!(
            moved(&[2, 5, 1, 3], &[0, 2, 1, 3], f32),
            (true, (1, vec![[30, 1]]))
        );
        assert_eq!(
            moved(&[2, 4, 3, 6], &[0, 2, 1, 3], DType::I8),
            (false, (1, vec![[2, 1], [4, 6], [3, 2], [2, 24]]))
        );
        // Rows of 35 end within a word.
        assert_eq!(
            moved(&[2, 5, 7, 3], &[0, 3, 1, 2], DType::I8),
            (false, (4, vec![[7, 4], [5, 28], [3, 1], [2, 140]]))
        );
    }

    #[test]
    fn what_cannot_be_is_an_error() {
        let error = |x: &[usize], order: &[usize]| {
            let kernel = Permute::new(x, order, DType::F32);
            kernel.expect_err("refused").to_string()
        };
        for order in [&[0][..], &[0, 0], &[0, 2], &[0, 1, 2]] {
            let problem = error(&[2, 3], order);
            assert!(problem.contains("every axis of [2, 3] once"), "{problem}");
        }
        assert!(error(&[1; 7], &[0, 1, 2, 3, 4, 5, 6]).contains("more than 6"));
        assert!(error(&[2, 0], &[1, 0]).contains("no elements"));
    }
}
