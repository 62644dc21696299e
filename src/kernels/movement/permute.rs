//! `y[j] = x[i]`, `i[order[k]] = j[k]`: the axes of `x` in another order
//!
//! `x`, `y`: any type. Axes of one element are dropped and neighbours that stay neighbours are one, so that a device
//! walks over few. Where the last axis stays the last, whole words move.

use super::{
    Agreement, Binding, Caps, DType, Error, Kernel, Launch, MAX_ELEMENTS, Result, Shape, Spec,
    Tensor, bits_of, grid_1d, label, num_elements, params_bytes, row_words, store_bits,
};

const AXES: usize = 6;

/// `x` with its axes in another order. Bindings: `x`, `y`.
#[derive(Clone, Debug)]
pub struct Permute {
    x: Shape,
    order: Vec<usize>,
    dtype: DType,
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::NoUninit)]
struct Params {
    axes: [[u32; 4]; AXES],
    words: u32,
    row: u32,
    row_words: u32,
    row_step: u32,
}

/// An axis of `y` on a device: elements, words of `x` from one to the next, and places within its words.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Axis {
    size: usize,
    words: usize,
    lanes: usize,
}

/// The axes of `y`, innermost first, and how many elements of it make a word.
#[derive(Debug, PartialEq)]
struct Walk {
    axes: Vec<Axis>,
    lanes: usize,
}

impl Permute {
    /// Axis `k` of `y` is axis `order[k]` of `x`.
    ///
    /// # Errors
    /// [`Error::Invalid`] if `order` does not name every axis once, or there is nothing to move.
    pub fn new(x: &[usize], order: &[usize], dtype: DType) -> Result<Self> {
        let mut sorted = order.to_vec();
        sorted.sort_unstable();
        let problem = if !sorted.into_iter().eq(0..x.len()) {
            format!("{order:?} does not name every axis of {x:?} once")
        } else if num_elements(x) == 0 || num_elements(x) > MAX_ELEMENTS {
            format!("`x` of shape {x:?} has no elements, or more than {MAX_ELEMENTS}")
        } else {
            return Ok(Self {
                x: x.to_vec(),
                order: order.to_vec(),
                dtype,
            });
        };
        Err(Error::invalid("permute", problem))
    }

    /// Shape of `y`.
    pub fn y(&self) -> Shape {
        self.order.iter().map(|&axis| self.x[axis]).collect()
    }

    /// The axes but those of one element, in their new order.
    fn moved(&self) -> impl Iterator<Item = usize> + '_ {
        self.order.iter().copied().filter(|&axis| self.x[axis] > 1)
    }

    /// True if all elements keep their order: `y` is `x` in another shape.
    pub fn keeps_order(&self) -> bool {
        self.moved().is_sorted()
    }

    fn walk(&self) -> Walk {
        let row = row_words(&self.x, self.dtype);
        let last = self.x.len().saturating_sub(1);
        let lanes = self.dtype.lanes();
        // Rows that stay rows are words.
        let whole = lanes == 1 || self.order.last() == Some(&last) || self.x.is_empty();
        let axis = |axis: usize| {
            if axis == last && whole {
                let (size, words, lanes) = (row, 1, 0);
                return Axis { size, words, lanes };
            }
            let inner = self.x[axis + 1..last.max(axis + 1)].iter();
            Axis {
                size: self.x[axis],
                words: if axis == last {
                    0
                } else {
                    row * inner.product::<usize>()
                },
                lanes: usize::from(axis == last),
            }
        };
        let mut axes: Vec<Axis> = Vec::new();
        for (i, k) in self.order.iter().rev().enumerate() {
            let outer = axis(*k);
            if outer.size == 1 && (whole || i > 0) {
                continue;
            }
            // The innermost axis stays alone where its elements are parts of words.
            let alone = !whole && axes.len() == 1;
            match axes.last_mut() {
                Some(inner)
                    if !alone
                        && inner.lanes + outer.lanes == 0
                        && outer.words == inner.words * inner.size =>
                {
                    inner.size *= outer.size;
                }
                _ => axes.push(outer),
            }
        }
        if axes.is_empty() {
            let (size, words, lanes) = (1, 1, 0);
            axes.push(Axis { size, words, lanes });
        }
        let lanes = if whole { 1 } else { lanes };
        Walk { axes, lanes }
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
        let Walk { axes, lanes } = self.walk();
        let (inner, outer) = (axes[0], &axes[1..]);
        if outer.len() > AXES {
            let problem = format!("more than {} axes that are moved", AXES + 1);
            return Err(Error::invalid(self.name(), problem));
        }
        let rows: usize = outer.iter().map(|axis| axis.size).product();
        let row_words = inner.size.div_ceil(lanes);
        let mut params = Params {
            axes: [[1, 0, 0, 0]; AXES],
            words: (rows * row_words) as u32,
            row: inner.size as u32,
            row_words: row_words as u32,
            row_step: inner.words as u32,
        };
        for (to, axis) in params.axes.iter_mut().zip(outer) {
            *to = [axis.size, axis.words, axis.lanes, 0].map(|number| number as u32);
        }
        Ok(Launch {
            source: include_str!("../../../shaders/movement/permute.wgsl").into(),
            spec: Spec::new()
                .with("LANES", lanes as u32)
                .with("OUTER", outer.len() as u32),
            params: params_bytes(&params),
            workgroups: grid_1d(rows * row_words, 64, caps),
        })
    }

    fn cpu(&self, args: &mut [Tensor]) -> Result<()> {
        let x = bits_of(&args[0]);
        let step = |axis: usize| self.x[axis + 1..].iter().product::<usize>();
        let element = |mut j: usize| {
            let mut at = 0;
            for &axis in self.order.iter().rev() {
                at += j % self.x[axis] * step(axis);
                j /= self.x[axis];
            }
            x[at]
        };
        let y: Vec<u32> = (0..x.len()).map(element).collect();
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

/// Orders that hurt: rows that become columns, rows that stay, axes of one element, six axes, odd sizes.
pub(super) fn samples() -> Vec<Box<dyn Kernel>> {
    let cases: [(&[usize], &[usize]); 11] = [
        (&[], &[]),
        (&[7], &[0]),
        (&[5, 67], &[1, 0]),
        (&[2, 5, 7, 3], &[0, 3, 1, 2]),
        (&[2, 3, 5, 7], &[0, 2, 3, 1]),
        (&[3, 4, 6, 9], &[0, 2, 1, 3]),
        (&[3, 1, 6, 1], &[3, 2, 0, 1]),
        (&[2, 9, 1], &[2, 1, 0]),
        (&[1, 5, 1, 6], &[0, 3, 2, 1]),
        (&[2, 3, 2, 3, 2, 5], &[5, 3, 1, 4, 2, 0]),
        (&[2, 3, 2, 3, 2, 5], &[1, 0, 3, 2, 4, 5]),
    ];
    let mut out: Vec<Box<dyn Kernel>> = Vec::new();
    for (x, order) in cases {
        for dtype in [DType::F32, DType::F16, DType::I8] {
            let (x, order) = (x.to_vec(), order.to_vec());
            out.push(Box::new(Permute { x, order, dtype }));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walk(x: &[usize], order: &[usize], dtype: DType) -> (Vec<usize>, usize) {
        let walk = Permute::new(x, order, dtype).expect("fits").walk();
        (walk.axes.iter().map(|axis| axis.size).collect(), walk.lanes)
    }

    #[test]
    fn by_hand() {
        let kernel = Permute::new(&[2, 3], &[1, 0], DType::I8).expect("fits");
        let x = Tensor::from_i8(&[2, 3], &[1, 2, 3, 4, 5, 6]).expect("fits");
        let mut args = [x, Tensor::zeros(&[3, 2], DType::I8)];
        kernel.cpu(&mut args).expect("i8");
        assert_eq!(args[1].to_i8().expect("i8"), [1, 4, 2, 5, 3, 6]);
        assert_eq!(args[1].words(), [0x0401, 0x0502, 0x0603]);
    }

    #[test]
    fn axes_that_stay_together_are_one() {
        assert_eq!(
            walk(&[2, 8, 8, 6], &[0, 3, 1, 2], DType::F32),
            (vec![64, 6, 2], 1)
        );
        assert_eq!(
            walk(&[2, 8, 8, 6], &[0, 3, 1, 2], DType::I8),
            (vec![8, 8, 6, 2], 4)
        );
        assert_eq!(
            walk(&[2, 3, 4, 6], &[0, 2, 1, 3], DType::I8),
            (vec![2, 3, 4, 2], 1)
        );
        assert_eq!(
            walk(&[1, 3, 4, 5], &[0, 1, 2, 3], DType::F32),
            (vec![60], 1)
        );
        assert_eq!(walk(&[3, 1, 5], &[1, 2, 0], DType::F32), (vec![3, 5], 1));
    }

    #[test]
    fn orders_that_only_move_ones() {
        let keeps = |x: &[usize], order: &[usize]| {
            Permute::new(x, order, DType::F32)
                .expect("fits")
                .keeps_order()
        };
        assert!(keeps(&[2, 1, 1, 5], &[0, 3, 1, 2]) && keeps(&[2, 3], &[0, 1]));
        assert!(!keeps(&[2, 1, 3, 5], &[0, 3, 1, 2]));
    }

    #[test]
    fn what_is_no_order_is_an_error() {
        for (x, order) in [
            (&[2usize, 3][..], &[0usize, 0][..]),
            (&[2, 3], &[0]),
            (&[2, 3], &[0, 2]),
            (&[2, 0], &[0, 1]),
        ] {
            assert!(
                Permute::new(x, order, DType::F32).is_err(),
                "{x:?} {order:?}"
            );
        }
    }
}
