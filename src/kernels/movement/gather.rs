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
    Agreement, Binding, Caps, DType, Error, Kernel, Launch, MAX_ELEMENTS, Result, Shape, Spec,
    Tensor, bits_of, grid_1d, label, num_elements, params_bytes, store_bits,
};

const AXES: usize = 6;

/// Some of `x`, perhaps with something around or between. Bindings: `x`, `y`.
#[derive(Clone, Debug)]
pub struct Gather {
    x: Shape,
    /// `[size of y, mul, start, div]` of every axis.
    axes: Vec<[i64; 4]>,
    fill: f32,
    dtype: DType,
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
    fn new(x: &[usize], axes: Vec<[i64; 4]>, fill: f32, dtype: DType) -> Self {
        let x = x.to_vec();
        Self {
            x,
            axes,
            fill,
            dtype,
        }
    }

    /// `y[j] = x[start + j·step]`, `size` elements along each axis, all given as `[start, step, size]`.
    ///
    /// # Errors
    /// [`Error::Invalid`] naming the axis if nothing is left, a step is 0 or an element lies outside.
    pub fn slice(x: &[usize], taken: [&[usize]; 3], dtype: DType) -> Result<Self> {
        check_axes("slice", x, &taken)?;
        let along = |axis: usize| {
            let [start, step, size] = taken.map(|numbers| numbers[axis]);
            let last = size
                .checked_sub(1)
                .map(|steps| steps.saturating_mul(step).saturating_add(start));
            if step > 0 && last.is_some_and(|last| last < x[axis]) {
                return Ok([size as i64, step as i64, start as i64, 1]);
            }
            let n = x[axis];
            let problem = format!(
                "axis {axis} of {n} elements cannot be sliced into {size} from {start} in steps of {step}"
            );
            Err(Error::invalid("slice", problem))
        };
        let axes = (0..x.len()).map(along).collect::<Result<_>>()?;
        Ok(Self::new(x, axes, 0.0, dtype))
    }

    /// The gradient of the slice of an `x` of this shape: what comes in where it was taken, zeros elsewhere.
    ///
    /// # Errors
    /// As [`Self::slice`].
    pub fn slice_grad(x: &[usize], taken: [&[usize]; 3]) -> Result<Self> {
        let slice = Self::slice(x, taken, DType::F32)?.axes.into_iter();
        let back = |([_, step, start, _], &n): ([i64; 4], &usize)| [n as i64, 1, -start, step];
        let axes = slice.zip(x).map(back).collect();
        Ok(Self::new(taken[2], axes, 0.0, DType::F32))
    }

    /// `x` with `[before, after]` so many elements of `fill`. Its gradient is the slice from `before` on.
    ///
    /// # Errors
    /// [`Error::Invalid`] if an axis has no number, a number no axis, or integers do not hold `fill`.
    pub fn pad(x: &[usize], around: [&[usize]; 2], fill: f32, dtype: DType) -> Result<Self> {
        check_axes("pad", x, &around)?;
        fill_bits(fill, dtype)?;
        let along = |axis: usize| {
            let [before, after] = around.map(|numbers| numbers[axis]);
            let size = before.saturating_add(after).saturating_add(x[axis]);
            if size > MAX_ELEMENTS {
                let problem = format!(
                    "axis {axis} of {} elements with {before} before and {after} after it has more than {MAX_ELEMENTS}",
                    x[axis]
                );
                return Err(Error::invalid("pad", problem));
            }
            Ok([size as i64, 1, -(before as i64), 1])
        };
        let axes = (0..x.len()).map(along).collect::<Result<_>>()?;
        Ok(Self::new(x, axes, fill, dtype))
    }

    /// Shape of `y`.
    pub fn y(&self) -> Shape {
        self.axes.iter().map(|[size, ..]| *size as usize).collect()
    }
}

/// The bits of one element.
fn fill_bits(fill: f32, dtype: DType) -> Result<u32> {
    let (integer, bits) = match dtype {
        DType::F32 => return Ok(fill.to_bits()),
        DType::F16 => return Ok(half::f16::from_f32(fill).to_bits().into()),
        DType::I8 => (f32::from(fill as i8), (fill as i8 as u8).into()),
        DType::I32 => (fill as i32 as f32, fill as i32 as u32),
        DType::U32 => (fill as u32 as f32, fill as u32),
    };
    if integer == fill {
        return Ok(bits);
    }
    Err(Error::invalid(
        "pad",
        format!("{dtype} does not hold a fill of {fill}"),
    ))
}

/// Every axis has one number of each kind, and elements.
fn check_axes(op: &str, x: &[usize], numbers: &[&[usize]]) -> Result<()> {
    if let Some(wrong) = numbers.iter().find(|numbers| numbers.len() != x.len()) {
        let problem = format!("{wrong:?} is not one number for each axis of {x:?}");
        return Err(Error::invalid(op, problem));
    }
    if num_elements(x) == 0 {
        return Err(Error::invalid(
            op,
            format!("`x` of shape {x:?} has no elements"),
        ));
    }
    Ok(())
}

/// An axis of a device, `[size of y, mul, start, div, size of x]`, and the one around it as one, if this one is moved
/// as a whole.
fn joined([size, mul, start, div, n]: [i64; 5], outer: [i64; 5]) -> Option<[i64; 5]> {
    let [outer_size, outer_mul, outer_start, outer_div, outer_n] = outer;
    let whole = [size, mul, start, div] == [n, 1, 0, 1] && [outer_mul, outer_div] == [1, 1];
    whole.then_some([outer_size * n, 1, outer_start * n, 1, outer_n * n])
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
        let mut fill = fill_bits(self.fill, self.dtype)?;
        let pairs = self.axes.iter().zip(&self.x).rev();
        let mut axes: Vec<[i64; 5]> = pairs
            .map(|(&[size, mul, start, div], &n)| [size, mul, start, div, n as i64])
            .collect();
        if axes.is_empty() {
            axes.push([1, 1, 0, 1, 1]);
        }
        // Rows that are moved as they are, are moved in words; their padding must not be filled.
        let mut lanes = self.dtype.lanes();
        let [size, mul, start, div, n] = axes[0];
        let whole = [size, mul, start, div] == [n, 1, 0, 1];
        if whole && (fill == 0 || (n as usize).is_multiple_of(lanes)) {
            let words = (n as usize).div_ceil(lanes) as i64;
            axes[0] = [words, 1, 0, 1, words];
            let width = 32 / lanes;
            fill = (0..lanes).fold(0, |word, lane| word | fill << (lane * width));
            lanes = 1;
        }
        let mut moved: Vec<[i64; 5]> = Vec::new();
        for (i, axis) in axes.into_iter().enumerate() {
            // The innermost axis stays alone where its elements are parts of words.
            let inner = moved.last_mut().filter(|_| lanes == 1 || i > 1);
            match inner.and_then(|inner| joined(*inner, axis).map(|both| (inner, both))) {
                Some((inner, both)) => *inner = both,
                None => moved.push(axis),
            }
        }
        if moved.len() > AXES {
            let problem = format!("more than {AXES} axes that are moved");
            return Err(Error::invalid(self.name(), problem));
        }
        let rows: usize = moved[1..].iter().map(|axis| axis[0] as usize).product();
        let row_words = (moved[0][0] as usize).div_ceil(lanes);
        let mut params = Params {
            axes: [[0; 4]; 2 * AXES],
            rank: moved.len() as u32,
            words: (rows * row_words) as u32,
            row_words: row_words as u32,
            fill,
        };
        let mut step = 1;
        for (i, [size, mul, start, div, n]) in moved.into_iter().enumerate() {
            params.axes[2 * i] = [size, mul, start, div].map(|number| number as i32);
            params.axes[2 * i + 1] = [n as i32, step as i32, 0, 0];
            let words = (n as usize).div_ceil(lanes);
            step *= if i == 0 { words } else { n as usize };
        }
        Ok(Launch {
            source: include_str!("../../../shaders/movement/gather.wgsl").into(),
            spec: Spec::new().with("LANES", lanes as u32),
            params: params_bytes(&params),
            workgroups: grid_1d(rows * row_words, 64, caps),
        })
    }

    fn cpu(&self, args: &mut [Tensor]) -> Result<()> {
        let (x, fill) = (bits_of(&args[0]), fill_bits(self.fill, self.dtype)?);
        let element = |mut j: i64| {
            let (mut at, mut step) = (0, 1);
            for (&[size, mul, start, div], &n) in self.axes.iter().zip(&self.x).rev() {
                let scaled = j % size * mul + start;
                j /= size;
                if scaled < 0 || scaled % div != 0 || scaled / div >= n as i64 {
                    return fill;
                }
                at += (scaled / div) as usize * step;
                step *= n;
            }
            x[at]
        };
        let y: Vec<u32> = (0..num_elements(&self.y()) as i64).map(element).collect();
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

/// Slices, their gradients and pads that hurt: steps, odd rows, whole rows, six axes.
pub(super) fn samples() -> Vec<Box<dyn Kernel>> {
    let slices: [(&[usize], [&[usize]; 3]); 5] = [
        (&[1031], [&[3], &[2], &[500]]),
        (&[3, 8, 8, 6], [&[0, 0, 0, 0], &[1, 2, 2, 1], &[3, 4, 4, 6]]),
        (&[2, 5, 7, 8], [&[0, 1, 3, 0], &[1, 3, 1, 1], &[2, 2, 3, 8]]),
        (&[2, 3, 13], [&[1, 0, 5], &[1, 1, 3], &[1, 3, 3]]),
        (
            &[3, 2, 3, 2, 5],
            [&[1, 0, 0, 1, 1], &[1, 1, 2, 1, 2], &[2, 1, 2, 1, 2]],
        ),
    ];
    let pads: [(&[usize], [&[usize]; 2]); 5] = [
        (&[2, 5, 6, 8], [&[0, 1, 1, 0], &[0, 1, 2, 0]]),
        (&[2, 3, 16], [&[0, 0, 8], &[0, 0, 9]]),
        (&[3, 5], [&[1, 3], &[0, 2]]),
        (&[2, 3, 5], [&[0, 2, 0], &[1, 0, 0]]),
        (&[], [&[], &[]]),
    ];
    let mut out: Vec<Result<Gather>> = Vec::new();
    for dtype in [DType::F32, DType::F16, DType::I8] {
        out.extend(slices.map(|(x, taken)| Gather::slice(x, taken, dtype)));
        for fill in [0.0, -7.0] {
            out.extend(pads.map(|(x, around)| Gather::pad(x, around, fill, dtype)));
        }
    }
    out.extend(slices.map(|(x, taken)| Gather::slice_grad(x, taken)));
    let sound = out.into_iter().flatten();
    sound
        .map(|kernel| Box::new(kernel) as Box<dyn Kernel>)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(kernel: Result<Gather>, x: &[i8]) -> Vec<i8> {
        let kernel = kernel.expect("fits");
        let x = Tensor::from_i8(&kernel.x, x).expect("fits");
        let mut args = [x, Tensor::zeros(&kernel.y(), DType::I8)];
        kernel.cpu(&mut args).expect("right types");
        args[1].to_i8().expect("i8")
    }

    #[test]
    fn by_hand() {
        assert_eq!(samples().len(), 50);
        let x = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10];
        let taken: [&[usize]; 3] = [&[1, 0], &[1, 2], &[1, 3]];
        let slice = Gather::slice(&[2, 5], taken, DType::I8);
        assert_eq!(run(slice, &x), [6, 8, 10]);
        let pad = Gather::pad(&[1, 2], [&[0, 1], &[1, 1]], -3.0, DType::I8);
        assert_eq!(run(pad, &x[..2]), [-3, 1, 2, -3, -3, -3, -3, -3]);
        let mut back = Gather::slice_grad(&[2, 5], taken).expect("fits");
        back.dtype = DType::I8;
        assert_eq!(run(Ok(back), &x[..3]), [0, 0, 0, 0, 0, 1, 0, 2, 0, 3]);
    }

    #[test]
    fn what_cannot_be_is_an_error() {
        let refused = |result: Result<Gather>| result.expect_err("refused").to_string();
        let slice = |start, step, size| {
            refused(Gather::slice(
                &[5],
                [&[start], &[step], &[size]],
                DType::F32,
            ))
        };
        assert_eq!(
            slice(1, 2, 3),
            "slice: axis 0 of 5 elements cannot be sliced into 3 from 1 in steps of 2"
        );
        assert!(slice(1, 1, 0).contains("into 0") && slice(0, 0, 2).contains("steps of 0"));
        let pad =
            |x: &[usize], before, fill| refused(Gather::pad(x, [before, &[0]], fill, DType::I8));
        assert_eq!(
            pad(&[5], &[1, 0], 0.0),
            "pad: [1, 0] is not one number for each axis of [5]"
        );
        assert_eq!(pad(&[5], &[1], 0.5), "pad: i8 does not hold a fill of 0.5");
        assert_eq!(
            pad(&[0], &[1], 0.0),
            "pad: `x` of shape [0] has no elements"
        );
    }
}
