//! ```text
//! float: y[i] = clamp(round_ties_even((da·s_a + db·s_b) · (1/s_y)) + z_y, qmin, qmax)           in f32
//! fixed: y[i] = clamp(((da·m_a + db·m_b + 2^(S−1)) >> S) + z_y, qmin, qmax)                     in int32
//!   da = a[i] − z_a, db = b[i] − z_b
//!   m_a = round_ties_even(s_a / s_y · 2^S), m_b likewise
//! ```
//!
//! `a`, `b`, `y`: i8, the same shape. The range of `y` carries a ReLU (`qmin` = `z_y`). The float rule is PyTorch's
//! `quantized::add`. The fixed rule rounds half up (an arithmetic shift), and is equal everywhere; `S` is the largest
//! number up to 30 for which `255·(m_a + m_b) + 2^(S−1) < 2^31`, so that no sum overflows.

use super::{Agreement, Binding, Caps, Kernel, Launch, OutI8, Spec, gamma, grid_1d, params_bytes};
use crate::base::{DType, QParams, Range, Requant, Shape, Tensor, num_elements, row_words};
use crate::error::{Error, Result};

/// `y = a + b` of real values. Bindings: `a`, `b`, `y`.
#[derive(Clone, Debug)]
pub struct AddI8 {
    /// Shape of `a`, `b` and `y`.
    pub shape: Shape,
    /// What the integers of `a` mean; zero point within −128 ..= 127.
    pub a: QParams,
    /// What the integers of `b` mean.
    pub b: QParams,
    /// What the integers of `y` mean, and which are allowed.
    pub y: QParams,
    /// The rule.
    pub requant: Requant,
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::NoUninit)]
struct Params {
    words: u32,
    row_len: u32,
    row_words: u32,
    za: i32,
    zb: i32,
    zy: i32,
    sa: f32,
    sb: f32,
    inv_sy: f32,
    ma: i32,
    mb: i32,
    shift: u32,
    qmin: i32,
    qmax: i32,
}

impl Kernel for AddI8 {
    fn name(&self) -> &'static str {
        "add_i8"
    }

    fn bindings(&self) -> Vec<Binding> {
        vec![
            Binding::read("a", DType::I8, self.shape.clone()),
            Binding::read("b", DType::I8, self.shape.clone()),
            Binding::write("y", DType::I8, self.shape.clone()),
        ]
    }

    fn launch(&self, caps: &Caps) -> Result<Launch> {
        let words = crate::base::words_for(&self.shape, DType::I8);
        let (ma, mb, shift) = match self.requant {
            Requant::Float => (0, 0, 1),
            Requant::Fixed => self.fixed()?,
        };
        Ok(Launch {
            source: include_str!("../../shaders/add_i8.wgsl").into(),
            spec: Spec::new().with("FIXED", self.requant == Requant::Fixed),
            params: params_bytes(&Params {
                words: words as u32,
                row_len: self.shape.last().copied().unwrap_or(1) as u32,
                row_words: row_words(&self.shape, DType::I8) as u32,
                za: self.a.zero_point,
                zb: self.b.zero_point,
                zy: self.y.zero_point,
                sa: self.a.scale,
                sb: self.b.scale,
                inv_sy: self.y.inv_scale(),
                ma,
                mb,
                shift,
                qmin: self.y.range.qmin,
                qmax: self.y.range.qmax,
            }),
            workgroups: grid_1d(words, 64, caps),
        })
    }

    fn cpu(&self, args: &mut [Tensor]) -> Result<()> {
        let steps = self.steps(args)?;
        let scaled: Vec<i32> = match self.requant {
            Requant::Float => {
                let (sa, sb, inv) = (self.a.scale, self.b.scale, self.y.inv_scale());
                let add = |&(da, db): &(i32, i32)| (da as f32 * sa + db as f32 * sb) * inv;
                let sums = steps.iter().map(add);
                sums.map(|sum| sum.round_ties_even() as i32).collect()
            }
            Requant::Fixed => {
                let (ma, mb, shift) = self.fixed()?;
                let add =
                    |&(da, db): &(i32, i32)| (da * ma + db * mb + (1 << (shift - 1))) >> shift;
                steps.iter().map(add).collect()
            }
        };
        let Range { qmin, qmax } = self.y.range;
        let clamp = |q: i32| q.saturating_add(self.y.zero_point).clamp(qmin, qmax) as i8;
        args[2].store_i8(&scaled.into_iter().map(clamp).collect::<Vec<i8>>())
    }

    /// Float rule: two products, their sum (fused or not) and its product with `1/s_y` may each be rounded to either
    /// neighbour: three roundings of terms that add up to at most `(|da|·s_a + |db|·s_b)/s_y`.
    fn agreement(&self, args: &[Tensor]) -> Result<Vec<Agreement>> {
        if self.requant == Requant::Fixed {
            return Ok(vec![Agreement::Equal; 3]);
        }
        let out = OutI8 {
            requant: self.requant,
            zero_point: self.y.zero_point,
            range: self.y.range,
        };
        let inv = f64::from(self.y.inv_scale());
        let (sa, sb) = (f64::from(self.a.scale) * inv, f64::from(self.b.scale) * inv);
        let undecided = |(da, db): (i32, i32)| {
            let (a, b) = (f64::from(da) * sa, f64::from(db) * sb);
            out.undecided(a + b, gamma(3) * (a.abs() + b.abs()))
        };
        let near_tie: Vec<bool> = self.steps(args)?.into_iter().map(undecided).collect();
        let step = vec![1.0; near_tie.len()];
        Ok(vec![
            Agreement::Equal,
            Agreement::Equal,
            Agreement::NearTie { near_tie, step },
        ])
    }

    fn operations(&self) -> f64 {
        4.0 * num_elements(&self.shape) as f64
    }
}

impl AddI8 {
    /// `(m_a, m_b, S)` of the fixed rule.
    ///
    /// # Errors
    /// [`Error::Invalid`] if a scale of the operands is so much larger than that of `y` that no `S` fits.
    fn fixed(&self) -> Result<(i32, i32, u32)> {
        let ratio = |q: QParams| f64::from(q.scale) / f64::from(self.y.scale);
        for shift in (1..=30).rev() {
            let unit = f64::from(1u32 << shift);
            let ma = (ratio(self.a) * unit).round_ties_even();
            let mb = (ratio(self.b) * unit).round_ties_even();
            if 255.0 * (ma + mb) + unit / 2.0 < f64::from(1u32 << 31) {
                return Ok((ma as i32, mb as i32, shift));
            }
        }
        let problem = format!(
            "scales {} and {} of `a` and `b` are too large for a `y` of scale {}",
            self.a.scale, self.b.scale, self.y.scale
        );
        Err(Error::invalid("add_i8", problem))
    }

    /// `(a − z_a, b − z_b)` of every element.
    fn steps(&self, args: &[Tensor]) -> Result<Vec<(i32, i32)>> {
        let (a, b) = (args[0].to_i8()?, args[1].to_i8()?);
        let steps = a.iter().zip(&b).map(|(&a, &b)| {
            (
                i32::from(a) - self.a.zero_point,
                i32::from(b) - self.b.zero_point,
            )
        });
        Ok(steps.collect())
    }
}

/// Shapes that hurt: one, tails of words; equal scales (many ties), ReLU.
pub fn samples() -> Vec<Box<dyn Kernel>> {
    let q = |scale, zero_point, qmin| QParams {
        scale,
        zero_point,
        range: Range { qmin, qmax: 127 },
    };
    let cases: [(&[usize], _, _, _); 4] = [
        (&[1], q(0.1, 0, -128), q(0.2, 3, -128), q(0.25, -7, -128)),
        (
            &[7, 13],
            q(0.5, -128, -128),
            q(0.5, 127, -128),
            q(1.0, -128, -128),
        ),
        (
            &[2, 3, 5, 65],
            q(0.021, 5, -128),
            q(0.017, -9, -128),
            q(0.033, 11, 11),
        ),
        (
            &[3, 130],
            q(1e-6, 0, -128),
            q(3.7, 1, -128),
            q(2.9, 0, -128),
        ),
    ];
    let kernels = cases.into_iter().flat_map(|(shape, a, b, y)| {
        [Requant::Float, Requant::Fixed].map(|requant| AddI8 {
            shape: shape.to_vec(),
            a,
            b,
            y,
            requant,
        })
    });
    kernels
        .map(|kernel| Box::new(kernel) as Box<dyn Kernel>)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(requant: Requant, y_qmin: i32) -> Vec<i8> {
        let q = |scale, zero_point, qmin| QParams {
            scale,
            zero_point,
            range: Range { qmin, qmax: 127 },
        };
        let kernel = AddI8 {
            shape: vec![5],
            a: q(1.0, 10, -128),
            b: q(0.5, 0, -128),
            y: q(2.0, 1, y_qmin),
            requant,
        };
        let mut args = [
            Tensor::from_i8(&[5], &[10, 11, 13, 0, 127]).expect("fits"),
            Tensor::from_i8(&[5], &[0, 0, 0, -2, 127]).expect("fits"),
            Tensor::zeros(&[5], DType::I8),
        ];
        kernel.cpu(&mut args).expect("right types");
        args[2].to_i8().expect("i8")
    }

    #[test]
    fn by_hand() {
        // Real sums 0, 1, 3, −11, 180.5; in steps of y 0, 0.5, 1.5, −5.5, 90.25.
        assert_eq!(run(Requant::Float, -128), [1, 1, 3, -5, 91]);
        assert_eq!(run(Requant::Fixed, -128), [1, 2, 3, -4, 91]);
        assert_eq!(run(Requant::Fixed, 1), [1, 2, 3, 1, 91]);
    }

    #[test]
    fn a_scale_that_cannot_be_held_is_an_error() {
        let q = |scale| QParams {
            scale,
            zero_point: 0,
            range: Range::affine(8),
        };
        let kernel = AddI8 {
            shape: vec![1],
            a: q(1e9),
            b: q(1.0),
            y: q(1e-3),
            requant: Requant::Fixed,
        };
        let error = kernel.launch(&Caps::portable()).expect_err("too large");
        assert_eq!(
            error.to_string(),
            "add_i8: scales 1000000000 and 1 of `a` and `b` are too large for a `y` of scale 0.001"
        );
    }
}
