//! `y[j] = x[(j·mul + start) / div]` along every axis; `fill` where that is no whole number, or no place in `x`
//!
//! | what | mul | start | div |
//! |---|---|---|---|
//! | slice | step | start | 1 |
//! | its gradient, zeros between | 1 | −start | step |
//! | pad | 1 | −before | 1 |
//! | its gradient, a slice | 1 | before | 1 |
//!
//! `x`, `y`: any type, up to six axes. What `fill` means is the caller's: an int8 pad takes the zero point.

use super::{
    Agreement, Binding, Caps, DType, Error, Kernel, Launch, Result, Shape, Spec, Tensor, bits_of,
    grid_1d, label, num_elements, params_bytes, store_bits,
};

const AXES: usize = 6;

/// Where the elements of `y` come from along one axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Along {
    /// Elements of `y`.
    pub size: usize,
    /// Places in `x` from one element of `y` to the next.
    pub mul: usize,
    /// The place of the first.
    pub start: i64,
    /// Elements of `y` from one place in `x` to the next.
    pub div: usize,
}

/// Some of `x`, perhaps with something around or between. Bindings: `x`, `y`.
#[derive(Clone, Debug)]
pub struct Gather {
    /// Shape of `x`.
    pub x: Shape,
    /// Every axis.
    pub axes: Vec<Along>,
    /// What else there is in `y`.
    pub fill: f32,
    /// Element type of both.
    pub dtype: DType,
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::NoUninit)]
struct Params {
    axes: [[i32; 4]; 2 * AXES],
    rank: u32,
    words: u32,
    row_words: u32,
    fill: u32,
}

impl Gather {
    /// `y[j] = x[start + j·step]`, `size` elements along each axis.
    ///
    /// # Errors
    /// [`Error::Invalid`] naming the axis if nothing is left, a step is 0 or an element lies outside.
    pub fn slice(
        x: &[usize],
        start: &[usize],
        step: &[usize],
        size: &[usize],
        dtype: DType,
    ) -> Result<Self> {
        check_axes("slice", x, &[start, step, size])?;
        let along = |axis: usize| {
            let (start, mul, size) = (start[axis], step[axis], size[axis]);
            let last = size.checked_sub(1).map(|steps| start + steps * mul);
            if mul == 0 || last.is_none_or(|last| last >= x[axis]) {
                let problem = format!(
                    "axis {axis} of {} elements cannot be sliced into {size} from {start} in steps of {mul}",
                    x[axis]
                );
                return Err(Error::invalid("slice", problem));
            }
            let start = start as i64;
            Ok(Along {
                size,
                mul,
                start,
                div: 1,
            })
        };
        let axes = (0..x.len()).map(along).collect::<Result<_>>()?;
        Ok(Self {
            x: x.to_vec(),
            axes,
            fill: 0.0,
            dtype,
        })
    }

    /// The gradient of the slice of an `x` of this shape: what comes in where it was taken, zeros elsewhere.
    ///
    /// # Errors
    /// As [`Self::slice`].
    pub fn slice_grad(
        x: &[usize],
        start: &[usize],
        step: &[usize],
        size: &[usize],
    ) -> Result<Self> {
        let slice = Self::slice(x, start, step, size, DType::F32)?;
        let back = |(along, &size): (&Along, &usize)| Along {
            size,
            mul: 1,
            start: -along.start,
            div: along.mul,
        };
        let axes = slice.axes.iter().zip(x).map(back).collect();
        Ok(Self {
            x: size.to_vec(),
            axes,
            ..slice
        })
    }

    /// `x` with so many elements of `fill` before and after it. Its gradient is the slice from `before` on.
    ///
    /// # Errors
    /// [`Error::Invalid`] if an axis has no numbers, or a number no axis.
    pub fn pad(
        x: &[usize],
        before: &[usize],
        after: &[usize],
        fill: f32,
        dtype: DType,
    ) -> Result<Self> {
        check_axes("pad", x, &[before, after])?;
        let along = |axis: usize| Along {
            size: before[axis] + x[axis] + after[axis],
            mul: 1,
            start: -(before[axis] as i64),
            div: 1,
        };
        let axes = (0..x.len()).map(along).collect();
        Ok(Self {
            x: x.to_vec(),
            axes,
            fill,
            dtype,
        })
    }

    /// Shape of `y`.
    pub fn y(&self) -> Shape {
        self.axes.iter().map(|along| along.size).collect()
    }

    /// The bits of one element of `fill`.
    ///
    /// # Errors
    /// [`Error::Invalid`] if an integer type does not hold it.
    fn fill_bits(&self) -> Result<u32> {
        let fill = self.fill;
        let (integer, bits) = match self.dtype {
            DType::F32 => return Ok(fill.to_bits()),
            DType::F16 => return Ok(half::f16::from_f32(fill).to_bits().into()),
            DType::I8 => (f32::from(fill as i8), (fill as i8 as u8).into()),
            DType::I32 => (fill as i32 as f32, fill as i32 as u32),
            DType::U32 => (fill as u32 as f32, fill as u32),
        };
        if integer == fill {
            return Ok(bits);
        }
        let problem = format!(
            "`y` is filled with {fill}, which {} does not hold",
            self.dtype
        );
        Err(Error::invalid(self.name(), problem))
    }

    fn check(&self) -> Result<()> {
        let problem = if self.axes.len() != self.x.len() {
            format!("{} axes for an `x` of shape {:?}", self.axes.len(), self.x)
        } else if let Some(along) = self
            .axes
            .iter()
            .find(|a| a.size == 0 || a.mul == 0 || a.div == 0)
        {
            format!("{along:?} leaves nothing")
        } else {
            return Ok(());
        };
        Err(Error::invalid(self.name(), problem))
    }
}

/// Every axis has one number of each kind.
fn check_axes(op: &str, x: &[usize], numbers: &[&[usize]]) -> Result<()> {
    if let Some(wrong) = numbers.iter().find(|numbers| numbers.len() != x.len()) {
        let problem = format!("{wrong:?} is not one number for each axis of {x:?}");
        return Err(Error::invalid(op, problem));
    }
    Ok(())
}

/// An axis as the device walks over it: [`Along`], and the size of `x`.
#[derive(Clone, Copy)]
struct Axis {
    along: Along,
    x: usize,
}

impl Axis {
    fn is_whole(self) -> bool {
        let Along {
            size,
            mul,
            start,
            div,
        } = self.along;
        (size, mul, start, div) == (self.x, 1, 0, 1)
    }

    /// The outer axis `outer` and this one, if they are one for a device: this one is moved as a whole.
    fn joined(self, outer: Self) -> Option<Self> {
        let Along {
            size,
            mul,
            start,
            div,
        } = outer.along;
        (self.is_whole() && (mul, div) == (1, 1)).then(|| Self {
            along: Along {
                size: size * self.x,
                start: start * self.x as i64,
                ..outer.along
            },
            x: outer.x * self.x,
        })
    }
}

impl Kernel for Gather {
    fn name(&self) -> &'static str {
        label(["gather_u32", "gather_f16", "gather_i8"], self.dtype)
    }

    fn bindings(&self) -> Vec<Binding> {
        vec![
            Binding::read("x", self.dtype, self.x.clone()),
            Binding::write("y", self.dtype, self.y()),
        ]
    }

    fn launch(&self, caps: &Caps) -> Result<Launch> {
        self.check()?;
        let fill = self.fill_bits()?;
        let pairs = self.axes.iter().zip(&self.x);
        let mut axes: Vec<Axis> = pairs.map(|(&along, &x)| Axis { along, x }).rev().collect();
        if axes.is_empty() {
            let along = Along {
                size: 1,
                mul: 1,
                start: 0,
                div: 1,
            };
            axes.push(Axis { along, x: 1 });
        }
        // Rows that are moved as they are, are moved in words; their padding must not be filled.
        let mut lanes = self.dtype.lanes();
        if lanes > 1 && axes[0].is_whole() && (fill == 0 || axes[0].x % lanes == 0) {
            axes[0].x = axes[0].x.div_ceil(lanes);
            axes[0].along.size = axes[0].x;
            lanes = 1;
        }
        let whole_fill = fill == 0 || lanes > 1 || self.dtype.lanes() == 1;
        let fill = if whole_fill {
            fill
        } else {
            spread(fill, self.dtype)
        };
        let mut joined: Vec<Axis> = Vec::new();
        for (i, axis) in axes.into_iter().enumerate() {
            // The innermost axis stays alone where its elements are parts of words.
            let alone = lanes > 1 && i == 1;
            let inner = joined.last_mut().filter(|_| !alone);
            match inner.and_then(|inner| inner.joined(axis).map(|both| (inner, both))) {
                Some((inner, both)) => *inner = both,
                None => joined.push(axis),
            }
        }
        if joined.len() > AXES {
            let problem = format!("more than {AXES} axes that are moved");
            return Err(Error::invalid(self.name(), problem));
        }
        let rows: usize = joined.iter().skip(1).map(|axis| axis.along.size).product();
        let row_words = joined[0].along.size.div_ceil(lanes);
        let mut params = Params {
            axes: [[0; 4]; 2 * AXES],
            rank: joined.len() as u32,
            words: (rows * row_words) as u32,
            row_words: row_words as u32,
            fill,
        };
        let mut step = 1;
        for (i, Axis { along, x }) in joined.into_iter().enumerate() {
            let Along {
                size,
                mul,
                start,
                div,
            } = along;
            params.axes[2 * i] = [size as i32, mul as i32, start as i32, div as i32];
            params.axes[2 * i + 1] = [x as i32, step as i32, 0, 0];
            step *= if i == 0 { x.div_ceil(lanes) } else { x };
        }
        Ok(Launch {
            source: include_str!("../../../shaders/movement/gather.wgsl").into(),
            spec: Spec::new().with("LANES", lanes as u32),
            params: params_bytes(&params),
            workgroups: grid_1d(rows * row_words, 64, caps),
        })
    }

    fn cpu(&self, args: &mut [Tensor]) -> Result<()> {
        self.check()?;
        let (x, fill) = (bits_of(&args[0]), self.fill_bits()?);
        let element = |mut j: usize| {
            let (mut at, mut step) = (0, 1);
            for (along, &size) in self.axes.iter().zip(&self.x).rev() {
                let scaled = (j % along.size * along.mul) as i64 + along.start;
                j /= along.size;
                let place = scaled / along.div as i64;
                if scaled < 0 || scaled % along.div as i64 != 0 || place >= size as i64 {
                    return fill;
                }
                at += place as usize * step;
                step *= size;
            }
            x[at]
        };
        let y: Vec<u32> = (0..num_elements(&self.y())).map(element).collect();
        store_bits(&mut args[1], &y);
        Ok(())
    }

    fn agreement(&self, _args: &[Tensor]) -> Result<Vec<Agreement>> {
        Ok(vec![Agreement::Equal; 2])
    }

    fn operations(&self) -> f64 {
        num_elements(&self.y()) as f64
    }
}

/// A word full of one element.
fn spread(bits: u32, dtype: DType) -> u32 {
    let width = 32 / dtype.lanes();
    (0..dtype.lanes()).fold(0, |word, lane| word | bits << (lane * width))
}

/// Slices, their gradients and pads that hurt: steps, odd rows, whole rows, six axes.
pub(super) fn samples() -> Vec<Box<dyn Kernel>> {
    let slices: [[&[usize]; 4]; 5] = [
        [&[1031], &[3], &[2], &[500]],
        [&[3, 8, 8, 6], &[0, 0, 0, 0], &[1, 2, 2, 1], &[3, 4, 4, 6]],
        [&[2, 5, 7, 8], &[0, 1, 3, 0], &[1, 3, 1, 1], &[2, 2, 3, 8]],
        [&[2, 3, 13], &[1, 0, 5], &[1, 1, 3], &[1, 3, 3]],
        [
            &[2, 3, 2, 3, 2, 5],
            &[0, 1, 0, 0, 1, 1],
            &[1, 1, 1, 2, 1, 2],
            &[2, 2, 1, 2, 1, 2],
        ],
    ];
    let pads: [[&[usize]; 3]; 5] = [
        [&[2, 5, 6, 8], &[0, 1, 1, 0], &[0, 1, 2, 0]],
        [&[2, 3, 16], &[0, 0, 8], &[0, 0, 9]],
        [&[3, 5], &[1, 3], &[0, 2]],
        [&[2, 3, 5], &[0, 2, 0], &[1, 0, 0]],
        [&[], &[], &[]],
    ];
    let mut out: Vec<Box<dyn Kernel>> = Vec::new();
    for dtype in [DType::F32, DType::F16, DType::I8] {
        let fills = [0.0, -7.0];
        let slices = slices
            .iter()
            .map(|[x, start, step, size]| Gather::slice(x, start, step, size, dtype));
        let padded = pads.iter().flat_map(|[x, before, after]| {
            fills.map(|fill| Gather::pad(x, before, after, fill, dtype))
        });
        out.extend(
            slices
                .chain(padded)
                .flatten()
                .map(|k| Box::new(k) as Box<dyn Kernel>),
        );
    }
    let back = slices
        .iter()
        .map(|[x, start, step, size]| Gather::slice_grad(x, start, step, size));
    out.extend(back.flatten().map(|k| Box::new(k) as Box<dyn Kernel>));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(kernel: &Gather, x: &[i8]) -> Vec<i8> {
        let x = Tensor::from_i8(&kernel.x, x).expect("fits");
        let mut args = [x, Tensor::zeros(&kernel.y(), DType::I8)];
        kernel.cpu(&mut args).expect("right types");
        args[1].to_i8().expect("i8")
    }

    #[test]
    fn by_hand() {
        let x = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10];
        let slice = Gather::slice(&[2, 5], &[1, 0], &[1, 2], &[1, 3], DType::I8);
        assert_eq!(run(&slice.expect("fits"), &x), [6, 8, 10]);
        let pad = Gather::pad(&[1, 2], &[0, 1], &[1, 1], -3.0, DType::I8);
        assert_eq!(
            run(&pad.expect("fits"), &x[..2]),
            [-3, 1, 2, -3, -3, -3, -3, -3]
        );
        let mut back = Gather::slice_grad(&[2, 5], &[1, 0], &[1, 2], &[1, 3]).expect("fits");
        back.dtype = DType::I8;
        assert_eq!(run(&back, &x[..3]), [0, 0, 0, 0, 0, 1, 0, 2, 0, 3]);
    }

    #[test]
    fn what_cannot_be_is_an_error() {
        let slice = |start, step, size| {
            let result = Gather::slice(&[5], &[start], &[step], &[size], DType::F32);
            result.expect_err("refused").to_string()
        };
        assert_eq!(
            slice(1, 2, 3),
            "slice: axis 0 of 5 elements cannot be sliced into 3 from 1 in steps of 2"
        );
        assert!(slice(1, 1, 0).contains("into 0") && slice(0, 0, 2).contains("steps of 0"));
        let error = Gather::pad(&[5], &[1, 0], &[0], 0.0, DType::F32).expect_err("two numbers");
        assert_eq!(
            error.to_string(),
            "pad: [1, 0] is not one number for each axis of [5]"
        );
        let pad = Gather::pad(&[5], &[1], &[0], 0.5, DType::I8).expect("fits");
        let error = pad.launch(&Caps::portable()).expect_err("half");
        assert_eq!(
            error.to_string(),
            "gather_i8: `y` is filled with 0.5, which i8 does not hold"
        );
    }
}
