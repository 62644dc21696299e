//! Kernels that take one element and give one.
//!
//! ```text
//! y[i]  = f(x[i])            Map, MapInPlace, MapI8 (by a table)
//! y[i]  = table[k(…)]         WithTable: another kernel, and a table behind it
//! dx[i] = dy[i] · f′(x[i])   MapGrad
//! y[i]  = x[i]               Cast
//! ```

mod cast;
mod formulas;
mod row;
mod table_i8;
mod unary;
mod with_table;

pub use cast::Cast;
pub use table_i8::{MapI8, table};
pub use unary::Unary;
pub use with_table::WithTable;

use super::{
    Agreement, Approx, Binding, Caps, Kernel, Launch, Spec, elementwise, params_bytes, random_args,
    store, uniform, within_f16, within_f32,
};
use crate::base::{DType, Rng, Shape, Tensor, num_elements, row_words, words_for};
use crate::error::{Error, Result};

/// `y = f(x)` in f32, stored as f16 or f32. Bindings: `x`, `y`.
///
/// What comes of a NaN or an infinity is open (as in WGSL), and so is a result beyond f16.
#[derive(Clone, Debug)]
pub struct Map {
    /// Shape of `x` and `y`.
    pub shape: Shape,
    /// Element type of `x` and `y`: f32 or f16.
    pub dtype: DType,
    /// The function.
    pub f: Unary,
}

/// `dx = dy · f′(x)`, f32; 0 where `f′` is 0. Bindings: `x`, `dy`, `dx`.
#[derive(Clone, Debug)]
pub struct MapGrad {
    /// Shape of all.
    pub shape: Shape,
    /// The function. For a ReLU `x` may be its result, which has the same sign.
    pub f: Unary,
}

/// `x = f(x)`, f32. Bindings: `x` (updated).
#[derive(Clone, Debug)]
pub struct MapInPlace {
    /// Elements of `x`.
    pub len: usize,
    /// The function.
    pub f: Unary,
}

/// Words of a packed tensor in all and in a row, elements of a row.
#[repr(C)]
#[derive(Clone, Copy, bytemuck::NoUninit)]
pub(super) struct Rows {
    words: u32,
    row_words: u32,
    row: u32,
}

impl Rows {
    pub(super) fn of(shape: &[usize], dtype: DType) -> Self {
        Self {
            words: words_for(shape, dtype) as u32,
            row_words: row_words(shape, dtype) as u32,
            row: shape.last().copied().unwrap_or(1) as u32,
        }
    }

    /// Four elements of a row to a word and one word to an invocation, as int8 kernels go.
    pub(super) fn words(self) -> usize {
        self.words as usize
    }
}

/// Refuses element types that arithmetic in f32 does not take.
pub(super) fn check_float(op: &'static str, dtype: DType) -> Result<()> {
    match dtype {
        DType::F32 | DType::F16 => Ok(()),
        DType::I8 | DType::I32 | DType::U32 => {
            let problem = format!("no kernel for {dtype}: cast to f32, or quantize");
            Err(Error::invalid(op, problem))
        }
    }
}

/// The agreement of a float tensor with these results.
pub(super) fn within(results: &[Approx], dtype: DType) -> Agreement {
    if dtype == DType::F16 {
        within_f16(results)
    } else {
        within_f32(results)
    }
}

impl Unary {
    /// Numbers on either side of every bend, or positive ones where it takes no others.
    fn example(self, shape: &[usize], rng: &mut Rng) -> Tensor {
        if self.is_defined_at(-1.5) && self.is_defined_at(0.0) {
            return uniform(shape, -8.0, 8.0, rng);
        }
        uniform(shape, 1e-3, 3.0, rng)
    }

    fn results(self, x: &Tensor) -> Vec<Approx> {
        let x = Approx::elements(x).into_iter();
        x.map(|x| self.approx(x)).collect()
    }

    /// Selections in f32 are exact.
    fn agreement(self, results: &[Approx], dtype: DType) -> Agreement {
        let exact = match dtype {
            DType::F16 => self == Self::Relu,
            DType::F32 | DType::I8 | DType::I32 | DType::U32 => self.as_clamp().is_some(),
        };
        if exact {
            Agreement::Equal
        } else {
            within(results, dtype)
        }
    }
}

impl Kernel for Map {
    fn name(&self) -> &'static str {
        self.f.labels()[usize::from(self.dtype == DType::F16)]
    }

    fn bindings(&self) -> Vec<Binding> {
        vec![
            Binding::read("x", self.dtype, self.shape.clone()),
            Binding::write("y", self.dtype, self.shape.clone()),
        ]
    }

    fn launch(&self, caps: &Caps) -> Result<Launch> {
        check_float(self.f.name(), self.dtype)?;
        self.f.check()?;
        let rows = Rows::of(&self.shape, self.dtype);
        let spec = Spec::new().part_text("activation", self.f.wgsl());
        Ok(elementwise::launch(
            include_str!("../../../shaders/map/map.wgsl"),
            spec.with("HALF", self.dtype == DType::F16),
            params_bytes(&rows),
            rows.words(),
            caps,
        ))
    }

    fn cpu(&self, args: &mut [Tensor]) -> Result<()> {
        let y = self.f.results(&args[0]);
        store(&mut args[1], &y)
    }

    fn agreement(&self, args: &[Tensor]) -> Result<Vec<Agreement>> {
        let y = self.f.agreement(&self.f.results(&args[0]), self.dtype);
        Ok(vec![Agreement::Equal, y])
    }

    fn operations(&self) -> f64 {
        num_elements(&self.shape) as f64
    }

    fn example_args(&self, rng: &mut Rng) -> Vec<Tensor> {
        let mut args = random_args(&self.bindings(), rng);
        let x = self.f.example(&self.shape, rng).to_f64();
        args[0]
            .store_f64(&x)
            .expect("a float tensor of this length");
        args
    }
}

impl Kernel for MapGrad {
    fn name(&self) -> &'static str {
        self.f.labels()[2]
    }

    fn bindings(&self) -> Vec<Binding> {
        vec![
            Binding::read("x", DType::F32, self.shape.clone()),
            Binding::read("dy", DType::F32, self.shape.clone()),
            Binding::write("dx", DType::F32, self.shape.clone()),
        ]
    }

    fn launch(&self, caps: &Caps) -> Result<Launch> {
        self.f.check()?;
        let len = num_elements(&self.shape);
        Ok(elementwise::launch(
            include_str!("../../../shaders/map/grad.wgsl"),
            Spec::new().part_text("slope", self.f.wgsl_derivative()),
            params_bytes(&(len as u32)),
            len,
            caps,
        ))
    }

    fn cpu(&self, args: &mut [Tensor]) -> Result<()> {
        let dx = self.results(args);
        store(&mut args[2], &dx)
    }

    fn agreement(&self, args: &[Tensor]) -> Result<Vec<Agreement>> {
        let dx = self.f.agreement(&self.results(args), DType::F32);
        Ok(vec![Agreement::Equal, Agreement::Equal, dx])
    }

    fn operations(&self) -> f64 {
        2.0 * num_elements(&self.shape) as f64
    }

    fn example_args(&self, rng: &mut Rng) -> Vec<Tensor> {
        let mut args = random_args(&self.bindings(), rng);
        args[0] = self.f.example(&self.shape, rng);
        args
    }
}

impl MapGrad {
    fn results(&self, args: &[Tensor]) -> Vec<Approx> {
        let (x, dy) = (Approx::elements(&args[0]), Approx::elements(&args[1]));
        let product = |(x, dy)| {
            let slope = self.f.slope_approx(x);
            if slope == Approx::default() {
                return slope;
            }
            slope * dy
        };
        x.into_iter().zip(dy).map(product).collect()
    }
}

impl Kernel for MapInPlace {
    fn name(&self) -> &'static str {
        "map_in_place_f32"
    }

    fn bindings(&self) -> Vec<Binding> {
        vec![Binding::update("x", DType::F32, [self.len])]
    }

    fn launch(&self, caps: &Caps) -> Result<Launch> {
        self.f.check()?;
        Ok(elementwise::launch(
            include_str!("../../../shaders/map/in_place.wgsl"),
            Spec::new().part_text("activation", self.f.wgsl()),
            params_bytes(&(self.len as u32)),
            self.len,
            caps,
        ))
    }

    fn cpu(&self, args: &mut [Tensor]) -> Result<()> {
        let x = self.f.results(&args[0]);
        store(&mut args[0], &x)
    }

    fn agreement(&self, args: &[Tensor]) -> Result<Vec<Agreement>> {
        let x = self.f.results(&args[0]);
        Ok(vec![self.f.agreement(&x, DType::F32)])
    }

    fn operations(&self) -> f64 {
        self.len as f64
    }

    fn example_args(&self, rng: &mut Rng) -> Vec<Tensor> {
        vec![self.f.example(&[self.len], rng)]
    }
}

/// Every function in every type, odd rows, just over a workgroup's share.
pub fn samples() -> Vec<Box<dyn Kernel>> {
    let mut out: Vec<Box<dyn Kernel>> = Vec::new();
    for f in Unary::examples() {
        for shape in [vec![7, 13], vec![1031]] {
            for dtype in [DType::F32, DType::F16] {
                let shape = shape.clone();
                out.push(Box::new(Map { shape, dtype, f }));
            }
            out.push(Box::new(MapGrad { shape, f }));
        }
    }
    let (min, max) = (0.1, f32::MAX);
    for len in [1, 257] {
        let f = Unary::Clip { min, max };
        out.push(Box::new(MapInPlace { len, f }));
    }
    out.extend(cast::samples());
    out.extend(table_i8::samples());
    out.extend(with_table::samples());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        let f32s = |x: &[f32]| Tensor::from_f32(&[3], x).expect("fits");
        let (shape, f, dtype) = (vec![3], Unary::Relu, DType::F32);
        let mut args = [f32s(&[-1.0, 0.0, 2.5]), f32s(&[7.0; 3]), f32s(&[9.0; 3])];
        let grad = MapGrad { shape, f };
        grad.cpu(&mut args).expect("f32");
        assert_eq!(args[2].to_f32(), [0.0, 0.0, 7.0]);
        let shape = grad.shape;
        Map { shape, dtype, f }.cpu(&mut args[..2]).expect("f32");
        assert_eq!(args[1].to_f32(), [0.0, 0.0, 2.5]);
        let f = Unary::Clip { min: 0.5, max: 2.0 };
        MapInPlace { len: 3, f }.cpu(&mut args[1..2]).expect("f32");
        assert_eq!(args[1].to_f32(), [0.5, 0.5, 2.0]);
    }

    #[test]
    fn integers_are_refused() {
        let (shape, f, dtype) = (vec![3], Unary::Silu, DType::I8);
        let error = Map { shape, dtype, f }.launch(&Caps::portable());
        assert_eq!(
            error.expect_err("i8").to_string(),
            "silu: no kernel for i8: cast to f32, or quantize"
        );
    }
}
