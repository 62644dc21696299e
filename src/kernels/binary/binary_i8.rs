//! ```text
//! da = a[·] − z_a, db = b[·] − z_b
//! sum, float: y = clamp(round_ties_even((da·s_a + db·s_b) · (1/s_y)) + z_y, qmin, qmax)      in f32
//! sum, fixed: y = clamp(((da·m_a + db·m_b + 2^(S−1)) >> S) + z_y, qmin, qmax)                in int32
//!   m_a = round_ties_even(s_a / s_y · 2^S), m_b likewise; with −, min or max in place of + just so
//! product:    y = clamp(requant(da·db) + z_y, qmin, qmax),  M = s_a · s_b / s_y              see OutI8
//! PReLU:      the same, but for requant(da) with M = s_a / s_y where da ≥ 0
//! quotient, float: y = clamp(round_ties_even(da / db · M) + z_y, qmin, qmax)                 in f32
//! quotient, fixed: y = clamp(((da·m / db + 2^(S−1)) >> S) + z_y, qmin, qmax)                 in int32
//!   M = s_a / (s_b · s_y), m = round_ties_even(M · 2^S)
//! ```
//!
//! `a`, `b`, `y`: i8. The range of `y` carries a clamp that follows (a ReLU: `qmin` = `z_y`). The float rules are
//! PyTorch's `quantized::add` and `quantized::mul`. The fixed rule of the sum rounds half up (an arithmetic shift), and
//! is equal everywhere; `S` is the largest number up to 30 for which `255·(m_a + m_b) + 2^(S−1) < 2^31`, so that no
//! sum overflows. A product has at most 17 bits: it is exact in int32 and in f32. The fixed quotient drops fractions of
//! `2^−S` before it rounds. Where `db` is 0, a quotient is the end of the range on the side of `da`, and that of 0 and 0
//! is 0.

use super::super::{Agreement, Binding, Caps, Kernel, Launch, OutI8, gamma, grid_1d, params_bytes};
use super::broadcast::{self, Broadcast};
use super::{BinaryOp, sample_shapes};
use crate::base::{DType, QParams, Range, Requant, Shape, Tensor, num_elements};
use crate::error::{Error, Result};

/// `y = a ∘ b` of real values, operands broadcast. Bindings: `a`, `b`, `y`.
#[derive(Clone, Debug)]
pub struct BinaryI8 {
    /// What is done.
    pub op: BinaryOp,
    /// Shape of `a`.
    pub a: Shape,
    /// Shape of `b`.
    pub b: Shape,
    /// What the integers of `a` mean; zero point within −128 ..= 127.
    pub qa: QParams,
    /// What the integers of `b` mean.
    pub qb: QParams,
    /// What the integers of `y` mean, and which are allowed.
    pub qy: QParams,
    /// The rule.
    pub requant: Requant,
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::NoUninit)]
struct Params {
    broadcast: broadcast::Params,
    zero_points: [i32; 3],
    scales: [f32; 3],
    multipliers: [i32; 3],
    kept: [u32; 2],
    range: [i32; 2],
}

/// How the integers of the operands become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Sum,
    Product,
    Quotient,
}

/// From this multiplier on, every quotient but 0 lies beyond the range.
const MOST: f64 = (1u32 << 22) as f64;

/// Lies beyond every range, whatever the zero point.
const BEYOND: i32 = 512;

impl Kernel for BinaryI8 {
    fn name(&self) -> &'static str {
        self.op.labels()[2]
    }

    fn bindings(&self) -> Vec<Binding> {
        vec![
            Binding::read("a", DType::I8, self.a.clone()),
            Binding::read("b", DType::I8, self.b.clone()),
            Binding::write("y", DType::I8, broadcast::or_empty(&self.a, &self.b)),
        ]
    }

    fn launch(&self, caps: &Caps) -> Result<Launch> {
        let broadcast = Broadcast::new(self.name(), &self.a, &self.b, DType::I8)?.params;
        let way = self.way()?;
        let multipliers = match (way, self.requant) {
            (Way::Sum, Requant::Float) => [0, 0, 1],
            (Way::Sum, Requant::Fixed) => self.fixed_sum()?,
            (Way::Product, Requant::Float | Requant::Fixed) => {
                let [multiplier, shift] = self.product();
                [multiplier as i32, 0, shift as i32]
            }
            (Way::Quotient, Requant::Float) => [self.quotient().to_bits() as i32, 0, 1],
            (Way::Quotient, Requant::Fixed) => {
                let (multiplier, shift) = self.fixed_quotient();
                [multiplier, 0, shift as i32]
            }
        };
        let spec = self.out().spec();
        Ok(Launch {
            source: include_str!("../../../shaders/binary/binary_i8.wgsl").into(),
            spec: spec
                .with("PRODUCT", way == Way::Product)
                .with("QUOTIENT", way == Way::Quotient)
                .with("SMALLER", self.op == BinaryOp::Min)
                .with("LARGER", self.op == BinaryOp::Max)
                .with("KEEPS", self.op == BinaryOp::Prelu),
            params: params_bytes(&Params {
                broadcast,
                zero_points: [self.qa, self.qb, self.qy].map(|q| q.zero_point),
                scales: [self.qa.scale, self.scale_b(), self.qy.inv_scale()],
                multipliers,
                kept: self.kept(),
                range: [self.qy.range.qmin, self.qy.range.qmax],
            }),
            workgroups: grid_1d(broadcast.words as usize, 64, caps),
        })
    }

    fn cpu(&self, args: &mut [Tensor]) -> Result<()> {
        let way = self.way()?;
        let steps = self.steps(args)?.into_iter();
        let Range { qmin, qmax } = self.qy.range;
        let clamp = |q: i32| q.saturating_add(self.qy.zero_point).clamp(qmin, qmax);
        let y: Vec<i32> = match (way, self.requant) {
            (Way::Sum, Requant::Float) => {
                let (sa, sb, inv) = (self.qa.scale, self.scale_b(), self.qy.inv_scale());
                let sum = |[da, db]: [i32; 2]| self.join(da as f32 * sa, db as f32 * sb) * inv;
                let round = |da_db| clamp(sum(da_db).round_ties_even() as i32);
                steps.map(round).collect()
            }
            (Way::Sum, Requant::Fixed) => {
                let [ma, mb, shift] = self.fixed_sum()?;
                let sum = |[da, db]: [i32; 2]| self.join(da * ma, db * mb) + (1 << (shift - 1));
                steps.map(|da_db| clamp(sum(da_db) >> shift)).collect()
            }
            (Way::Product, Requant::Float | Requant::Fixed) => {
                let out = self.out();
                let requant = |(acc, words)| out.apply(acc, words);
                steps.map(|step| requant(self.accumulate(step))).collect()
            }
            (Way::Quotient, Requant::Float) => {
                let m = self.quotient();
                let round = |da: i32, db: i32| (da as f32 / db as f32 * m).round_ties_even() as i32;
                steps.map(|step| clamp(by_zero(step, round))).collect()
            }
            (Way::Quotient, Requant::Fixed) => {
                let (m, shift) = self.fixed_quotient();
                let round = |da: i32, db: i32| (da * m / db + (1 << (shift - 1))) >> shift;
                steps.map(|step| clamp(by_zero(step, round))).collect()
            }
        };
        args[2].store_i8(&y.into_iter().map(|y| y as i8).collect::<Vec<i8>>())
    }

    /// Float rule of the sum: two products, their sum (fused or not) and its product with `1/s_y` may each be rounded
    /// to either neighbour: three roundings of terms that add up to at most `(|da|·s_a + |db|·s_b)/s_y`. A quotient is
    /// off by 2.5 ULP, and its product with `M` rounded once more.
    fn agreement(&self, args: &[Tensor]) -> Result<Vec<Agreement>> {
        if self.requant == Requant::Fixed {
            return Ok(vec![Agreement::Equal; 3]);
        }
        let (way, out) = (self.way()?, self.out());
        let inv = f64::from(self.qy.inv_scale());
        let [sa, sb] = [self.qa.scale, self.scale_b()].map(|scale| f64::from(scale) * inv);
        let m = f64::from(self.quotient());
        let near = |[da, db]: [i32; 2]| match way {
            Way::Sum => {
                let (a, b) = (f64::from(da) * sa, f64::from(db) * sb);
                out.undecided(self.join(a, b), gamma(3) * (a.abs() + b.abs()))
            }
            Way::Product => {
                let (acc, words) = self.accumulate([da, db]);
                out.near_tie(acc, words)
            }
            Way::Quotient if db == 0 => false,
            Way::Quotient => {
                let exact = f64::from(da) / f64::from(db) * m;
                out.undecided(exact, gamma(4) * exact.abs())
            }
        };
        let near_tie: Vec<bool> = self.steps(args)?.into_iter().map(near).collect();
        let step = vec![1.0; near_tie.len()];
        let y = Agreement::NearTie { near_tie, step };
        Ok(vec![Agreement::Equal, Agreement::Equal, y])
    }

    fn operations(&self) -> f64 {
        4.0 * num_elements(&broadcast::or_empty(&self.a, &self.b)) as f64
    }
}

impl BinaryI8 {
    fn out(&self) -> OutI8 {
        OutI8 {
            requant: self.requant,
            zero_point: self.qy.zero_point,
            range: self.qy.range,
        }
    }

    /// # Errors
    /// [`Error::Unsupported`] for an operation that has no int8 form.
    fn way(&self) -> Result<Way> {
        match self.op {
            BinaryOp::Add | BinaryOp::Sub | BinaryOp::Min | BinaryOp::Max => Ok(Way::Sum),
            BinaryOp::Mul | BinaryOp::Prelu => Ok(Way::Product),
            BinaryOp::Div => Ok(Way::Quotient),
            BinaryOp::Pow => Err(Error::Unsupported {
                op: self.name().into(),
                problem: "powers have no int8 form; keep their part of the network in float".into(),
            }),
        }
    }

    /// What is done to two terms in the way of a sum.
    fn join<T: PartialOrd + std::ops::Add<Output = T>>(&self, a: T, b: T) -> T {
        match self.op {
            BinaryOp::Min => {
                if b < a {
                    b
                } else {
                    a
                }
            }
            BinaryOp::Max => {
                if b > a {
                    b
                } else {
                    a
                }
            }
            BinaryOp::Add
            | BinaryOp::Sub
            | BinaryOp::Mul
            | BinaryOp::Div
            | BinaryOp::Pow
            | BinaryOp::Prelu => a + b,
        }
    }

    /// The scale of `b`, negative where it is subtracted.
    fn scale_b(&self) -> f32 {
        if self.op == BinaryOp::Sub {
            -self.qb.scale
        } else {
            self.qb.scale
        }
    }

    /// In the way of a product: what is requantized, and the two words of its multiplier.
    fn accumulate(&self, [da, db]: [i32; 2]) -> (i32, [u32; 2]) {
        if self.op == BinaryOp::Prelu && da >= 0 {
            return (da, self.kept());
        }
        (da * db, self.product())
    }

    /// The two words of a product's `M`.
    fn product(&self) -> [u32; 2] {
        let [a, b, y] = [self.qa, self.qb, self.qy].map(|q| f64::from(q.scale));
        self.out().multiplier(a * b / y)
    }

    /// The two words of `M` for an `a` that stays.
    fn kept(&self) -> [u32; 2] {
        let [a, y] = [self.qa, self.qy].map(|q| f64::from(q.scale));
        self.out().multiplier(a / y)
    }

    /// `M` of a quotient.
    fn quotient(&self) -> f32 {
        let [a, b, y] = [self.qa, self.qb, self.qy].map(|q| f64::from(q.scale));
        (a / (b * y)).min(MOST) as f32
    }

    /// `m` and `S` of its fixed rule.
    fn fixed_quotient(&self) -> (i32, u32) {
        let multiplier =
            |shift: u32| (f64::from(self.quotient()) * f64::from(1u32 << shift)).round_ties_even();
        let fits = |shift: &u32| {
            255.0 * multiplier(*shift) + f64::from(1u32 << (shift - 1)) < f64::from(1u32 << 31)
        };
        let shift = (1..=30).rev().find(fits).unwrap_or(1);
        (multiplier(shift) as i32, shift)
    }

    /// `[m_a, m_b, S]` of the fixed rule of a sum.
    ///
    /// # Errors
    /// [`Error::Invalid`] if a scale of the operands is so much larger than that of `y` that no `S` fits.
    fn fixed_sum(&self) -> Result<[i32; 3]> {
        let ratio = |q: QParams| f64::from(q.scale) / f64::from(self.qy.scale);
        for shift in (1..=30).rev() {
            let unit = f64::from(1u32 << shift);
            let ma = (ratio(self.qa) * unit).round_ties_even();
            let mb = (ratio(self.qb) * unit).round_ties_even();
            if 255.0 * (ma + mb) + unit / 2.0 < f64::from(1u32 << 31) {
                let sign = if self.op == BinaryOp::Sub { -1 } else { 1 };
                return Ok([ma as i32, sign * mb as i32, shift]);
            }
        }
        let problem = format!(
            "scales {} and {} of `a` and `b` are too large for a `y` of scale {}",
            self.qa.scale, self.qb.scale, self.qy.scale
        );
        Err(Error::invalid(self.name(), problem))
    }

    /// `[a − z_a, b − z_b]` of every element of `y`.
    fn steps(&self, args: &[Tensor]) -> Result<Vec<[i32; 2]>> {
        let (a, b) = (args[0].to_i8()?, args[1].to_i8()?);
        let step = |[i, j]: [usize; 2]| {
            let da = i32::from(a[i]) - self.qa.zero_point;
            [da, i32::from(b[j]) - self.qb.zero_point]
        };
        let pairs = broadcast::pairs(self.name(), &self.a, &self.b)?;
        Ok(pairs.into_iter().map(step).collect())
    }
}

/// A quotient, or what stands for one by 0.
fn by_zero([da, db]: [i32; 2], quotient: impl Fn(i32, i32) -> i32) -> i32 {
    if db == 0 {
        da.signum() * BEYOND
    } else {
        quotient(da, db)
    }
}

/// Both rules of every operation: equal scales (many ties), a ReLU, scales far apart.
pub(in crate::kernels) fn samples() -> Vec<Box<dyn Kernel>> {
    let q = |scale, zero_point, qmin| QParams {
        scale,
        zero_point,
        range: Range { qmin, qmax: 127 },
    };
    let scales = [
        [q(0.1, 0, -128), q(0.2, 3, -128), q(0.25, -7, -128)],
        [q(0.5, -128, -128), q(0.5, 127, -128), q(1.0, -128, -128)],
        [q(0.021, 5, -128), q(0.017, -9, -128), q(0.033, 11, 11)],
        [q(1e-6, 0, -128), q(3.7, 1, -128), q(2.9, 0, -128)],
    ];
    let mut out: Vec<Box<dyn Kernel>> = Vec::new();
    for &op in BinaryOp::ALL.iter().filter(|op| op.has_integers()) {
        for (i, [a, b]) in sample_shapes().into_iter().enumerate() {
            let [qa, qb, mut qy] = scales[i % 4];
            match op {
                BinaryOp::Mul | BinaryOp::Prelu => qy.scale = 40.0 * qa.scale * qb.scale,
                BinaryOp::Div => qy.scale = qa.scale / qb.scale / 20.0,
                // Every second step of an operand alone would be a tie.
                BinaryOp::Min | BinaryOp::Max => qy.scale *= 1.1,
                BinaryOp::Add | BinaryOp::Sub | BinaryOp::Pow => {}
            }
            for requant in [Requant::Float, Requant::Fixed] {
                let (a, b) = (a.clone(), b.clone());
                out.push(Box::new(BinaryI8 {
                    op,
                    a,
                    b,
                    qa,
                    qb,
                    qy,
                    requant,
                }));
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn q(scale: f32, zero_point: i32, qmin: i32) -> QParams {
        let range = Range { qmin, qmax: 127 };
        QParams {
            scale,
            zero_point,
            range,
        }
    }

    fn run(op: BinaryOp, requant: Requant, y_qmin: i32) -> Vec<i8> {
        let kernel = BinaryI8 {
            op,
            a: vec![5],
            b: vec![5],
            qa: q(1.0, 10, -128),
            qb: q(0.5, 0, -128),
            qy: q(2.0, 1, y_qmin),
            requant,
        };
        let mut args = [
            Tensor::from_i8(&[5], &[10, 11, 13, 0, 127]).expect("fits"),
            Tensor::from_i8(&[5], &[0, 6, 0, -2, 127]).expect("fits"),
            Tensor::zeros(&[5], DType::I8),
        ];
        kernel.cpu(&mut args).expect("right types");
        args[2].to_i8().expect("i8")
    }

    #[test]
    fn by_hand() {
        // Real sums 0, 4, 3, −11, 180.5; in steps of y 0, 2, 1.5, −5.5, 90.25.
        assert_eq!(run(BinaryOp::Add, Requant::Float, -128), [1, 3, 3, -5, 91]);
        assert_eq!(run(BinaryOp::Add, Requant::Fixed, -128), [1, 3, 3, -4, 91]);
        assert_eq!(run(BinaryOp::Add, Requant::Fixed, 1), [1, 3, 3, 1, 91]);
        // Real products 0, 3, 0, 10, 7429.5; in steps of y 0, 1.5, 0, 5, 3714.75.
        assert_eq!(run(BinaryOp::Mul, Requant::Float, -128), [1, 3, 1, 6, 127]);
        assert_eq!(run(BinaryOp::Mul, Requant::Fixed, 4), [4, 4, 4, 6, 127]);
        for requant in [Requant::Float, Requant::Fixed] {
            let run = |op| run(op, requant, -128);
            // Real operands 0, 1, 3, −10, 117 and 0, 3, 0, −1, 63.5.
            assert_eq!(run(BinaryOp::Sub)[3..], [-3, 28]);
            assert_eq!(run(BinaryOp::Min)[2..], [1, -4, 33]);
            // 58.5 is a tie.
            let up = if requant == Requant::Fixed { 60 } else { 59 };
            assert_eq!(run(BinaryOp::Max)[3..], [1, up]);
            assert_eq!(run(BinaryOp::Prelu)[3..], [6, up]);
            // 0 / 0, 1 / 3, 3 / 0, 10, 1.84.
            assert_eq!(run(BinaryOp::Div), [1, 1, 127, 6, 2]);
        }
    }

    #[test]
    fn powers_are_refused() {
        let kernel = BinaryI8 {
            op: BinaryOp::Pow,
            a: vec![1],
            b: vec![1],
            qa: q(1.0, 0, -128),
            qb: q(1.0, 0, -128),
            qy: q(1.0, 0, -128),
            requant: Requant::Fixed,
        };
        assert!(kernel.launch(&Caps::portable()).is_err());
    }

    #[test]
    fn a_scale_that_cannot_be_held_is_an_error() {
        let kernel = BinaryI8 {
            op: BinaryOp::Add,
            a: vec![1],
            b: vec![1],
            qa: q(1e9, 0, -128),
            qb: q(1.0, 0, -128),
            qy: q(1e-3, 0, -128),
            requant: Requant::Fixed,
        };
        let error = kernel.launch(&Caps::portable()).expect_err("too large");
        assert_eq!(
            error.to_string(),
            "add_i8: scales 1000000000 and 1 of `a` and `b` are too large for a `y` of scale 0.001"
        );
    }
}
