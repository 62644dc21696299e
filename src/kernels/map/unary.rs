//! The unary functions: one row each, which says everything there is to know about a function.
//!
//! A row has its name, its labels as a kernel, the body of its WGSL function of `x: f32`, the same
//! formula as [`Approx`] (which gives the f64 form and the bound of a device's error at once), both
//! again for its derivative, and its image. The exponentials are of `−|x|`, so nothing overflows, and
//! what multiplies one that has become 0 is kept finite: `sigmoid(−100)` and `silu(−∞)` are 0.

use serde::{Deserialize, Serialize};

use super::super::Approx;
use super::formulas::{
    self, CUBIC, DENSITY, LINEAR, ONE, TANH_SOFTPLUS, bell, decay, negative, sigmoid, when,
};
use super::row::{Image, unary};
use crate::error::{Error, Result};

unary! {
    /// `max(0, x)`
    Relu: "relu" "relu_f32" "relu_f16" "relu_grad_f32",
        ("return max(x, 0.0);") |x: Approx| x.max(0.0),
        ("return select(0.0, 1.0, x > 0.0);") |x: Approx| when(x.value > 0.0, 1.0),
        Image::Clamp(0.0, f32::INFINITY);
    /// `min(max(x, min), max)`; ReLU6 is that of 0 and 6. Its derivative is 0 at both ends.
    Clip { min = 0.0, max = 6.0 }: "clip" "clip_f32" "clip_f16" "clip_grad_f32",
        ("return min(max(x, {min:?}f), {max:?}f);") |x: Approx| x.clamp(min, max),
        ("return select(0.0, 1.0, x > {min:?}f && x < {max:?}f);")
            |x: Approx| when(x.value > f64::from(min) && x.value < f64::from(max), 1.0),
        Image::Clamp(min, max);
    /// `1 / (1 + e⁻ˣ)`
    Sigmoid: "sigmoid" "sigmoid_f32" "sigmoid_f16" "sigmoid_grad_f32",
        ("let e = exp(-abs(x)); return select(e, 1.0, x >= 0.0) / (1.0 + e);") sigmoid,
        ("let e = exp(-abs(x)); return e / ((1.0 + e) * (1.0 + e));") |x| bell(decay(x)),
        Image::Within(0.0, 1.0);
    /// `clamp(alpha·x + beta, 0, 1)`, `alpha > 0`: 0.2 and 0.5 in ONNX, 1/6 and 1/2 in PyTorch. Its
    /// derivative is 0 at both ends.
    HardSigmoid { alpha = 0.2, beta = 0.5 }:
        "hard_sigmoid" "hard_sigmoid_f32" "hard_sigmoid_f16" "hard_sigmoid_grad_f32",
        ("return clamp({alpha:?}f * x + {beta:?}f, 0.0, 1.0);")
            |x| (Approx::exact(alpha) * x + Approx::exact(beta)).clamp(0.0, 1.0),
        ("return select(0.0, {alpha:?}f, x > {:?}f && x < {:?}f);", -beta / alpha, (1.0 - beta) / alpha)
            |x: Approx| when(
                x.value > f64::from(-beta / alpha) && x.value < f64::from((1.0 - beta) / alpha), alpha),
        Image::Within(0.0, 1.0);
    /// `x · clamp(x / 6 + 1/2, 0, 1)`; its derivative is 0 at −3 and 1 at 3.
    HardSwish: "hard_swish" "hard_swish_f32" "hard_swish_f16" "hard_swish_grad_f32",
        ("return max(x, -3.0) * clamp(x * {:?}f + 0.5, 0.0, 1.0);", 1f32 / 6.0)
            |x: Approx| x.max(-3.0) * (x * Approx::rounded(1.0 / 6.0) + Approx::exact(0.5)).clamp(0.0, 1.0),
        ("return select(select(x * {:?}f + 0.5, 0.0, x <= -3.0), 1.0, x >= 3.0);", 1f32 / 3.0)
            |x: Approx| if x.value <= -3.0 || x.value >= 3.0 { when(x.value > 0.0, 1.0) } else {
                x * Approx::rounded(1.0 / 3.0) + Approx::exact(0.5) },
        Image::Any;
    /// `x / (1 + e⁻ˣ)`
    Silu: "silu" "silu_f32" "silu_f16" "silu_grad_f32",
        ("let e = exp(-abs(x)); return max(x, -110.0) * (select(e, 1.0, x >= 0.0) / (1.0 + e));")
            |x: Approx| x.max(-110.0) * sigmoid(x),
        ("let e = exp(-abs(x)); let d = 1.0 + e;
        return select(e, 1.0, x >= 0.0) / d + clamp(x, -110.0, 110.0) * (e / (d * d));")
            |x: Approx| sigmoid(x) + x.clamp(-110.0, 110.0) * bell(decay(x)),
        Image::Any;
    /// `(eˣ − e⁻ˣ) / (eˣ + e⁻ˣ)`
    Tanh: "tanh" "tanh_f32" "tanh_f16" "tanh_grad_f32",
        ("let e = exp(-2.0 * abs(x)); let t = (1.0 - e) / (1.0 + e); return select(-t, t, x >= 0.0);")
            |x: Approx| { let e = decay(x + x); let t = (ONE - e) / (ONE + e); x.by_sign(t, -t) },
        ("let e = exp(-2.0 * abs(x)); return 4.0 * (e / ((1.0 + e) * (1.0 + e)));")
            |x: Approx| Approx::exact(4.0) * bell(decay(x + x)),
        Image::Within(-1.0, 1.0);
    /// `factor·x`
    Scale { factor = -0.3 }: "scale" "scale_f32" "scale_f16" "scale_grad_f32",
        ("return {factor:?}f * x;") |x| Approx::exact(factor) * x,
        ("return {factor:?}f;") |_: Approx| Approx::exact(factor),
        Image::Any;
    /// `factor·x + offset`
    Affine { factor = 0.7, offset = -1.3 }: "affine" "affine_f32" "affine_f16" "affine_grad_f32",
        ("return {factor:?}f * x + {offset:?}f;")
            |x| Approx::exact(factor) * x + Approx::exact(offset),
        ("return {factor:?}f;") |_: Approx| Approx::exact(factor),
        Image::Any;
    /// `1 / x`, for `2⁻¹²⁶ ≤ |x| ≤ 2¹²⁶`: for learned scales inside training. Whatever is stored or
    /// deployed takes its reciprocals from the host, which rounds once.
    Reciprocal: "reciprocal" "reciprocal_f32" "reciprocal_f16" "reciprocal_grad_f32",
        ("return 1.0 / x;") |x| ONE / x,
        ("let r = 1.0 / x; return -r * r;") |x| { let r = ONE / x; -r * r },
        Image::Any;
    /// `1 / √(x + eps)`, for `x + eps > 0`
    InvStd { eps = 1e-5 }: "inv_std" "inv_std_f32" "inv_std_f16" "inv_std_grad_f32",
        ("return inverseSqrt(x + {eps:?}f);") |x: Approx| (x + Approx::exact(eps)).inverse_sqrt(),
        ("let r = inverseSqrt(x + {eps:?}f); return -0.5 * r * r * r;") |x: Approx| {
            let r = (x + Approx::exact(eps)).inverse_sqrt(); Approx::exact(-0.5) * r * r * r },
        Image::Any;
    /// `x` for `x ≥ 0`, else `alpha·x`: 0.01 in ONNX and PyTorch.
    LeakyRelu { alpha = 0.1 }: "leaky_relu" "leaky_relu_f32" "leaky_relu_f16" "leaky_relu_grad_f32",
        ("return select({alpha:?}f * x, x, x >= 0.0);") |x: Approx| x.by_sign(x, Approx::exact(alpha) * x),
        ("return select({alpha:?}f, 1.0, x > 0.0);") |x: Approx| if x.value > 0.0 { ONE } else { Approx::exact(alpha) },
        Image::Any;
    /// `x` for `x ≥ 0`, else `alpha·(eˣ − 1)`: 1 in ONNX and PyTorch.
    Elu { alpha = 1.3 }: "elu" "elu_f32" "elu_f16" "elu_grad_f32",
        ("return select({alpha:?}f * (exp(min(x, 0.0)) - 1.0), x, x >= 0.0);")
            |x: Approx| x.by_sign(x, Approx::exact(alpha) * (negative(x).exp() - ONE)),
        ("return select({alpha:?}f * exp(min(x, 0.0)), 1.0, x > 0.0);")
            |x: Approx| if x.value > 0.0 { ONE } else { Approx::exact(alpha) * negative(x).exp() },
        Image::Any;
    /// `gamma·x` for `x ≥ 0`, else `gamma·alpha·(eˣ − 1)`; see [`Unary::SELU`].
    Selu { alpha = 1.673_263_2, gamma = 1.050_701 }: "selu" "selu_f32" "selu_f16" "selu_grad_f32",
        ("return {gamma:?}f * select({alpha:?}f * (exp(min(x, 0.0)) - 1.0), x, x >= 0.0);")
            |x: Approx| Approx::exact(gamma) * x.by_sign(x, Approx::exact(alpha) * (negative(x).exp() - ONE)),
        ("return {gamma:?}f * select({alpha:?}f * exp(min(x, 0.0)), 1.0, x > 0.0);")
            |x: Approx| Approx::exact(gamma)
                * if x.value > 0.0 { ONE } else { Approx::exact(alpha) * negative(x).exp() },
        Image::Any;
    /// `x` for `x ≥ 0`, else `alpha·(e^(x / alpha) − 1)`, `alpha > 0`: 1 in ONNX and PyTorch.
    Celu { alpha = 0.7 }: "celu" "celu_f32" "celu_f16" "celu_grad_f32",
        ("return select({alpha:?}f * (exp(min(x, 0.0) / {alpha:?}f) - 1.0), x, x >= 0.0);")
            |x: Approx| x.by_sign(x, Approx::exact(alpha) * ((negative(x) / Approx::exact(alpha)).exp() - ONE)),
        ("return exp(min(x, 0.0) / {alpha:?}f);") |x| (negative(x) / Approx::exact(alpha)).exp(),
        Image::Any;
    /// `ln(1 + eˣ)`
    Softplus: "softplus" "softplus_f32" "softplus_f16" "softplus_grad_f32",
        ("return max(x, 0.0) + log(1.0 + exp(-abs(x)));") |x: Approx| x.max(0.0) + (ONE + decay(x)).ln(),
        ("let e = exp(-abs(x)); return select(e, 1.0, x >= 0.0) / (1.0 + e);") sigmoid,
        Image::Any;
    /// `x / (1 + |x|)`
    Softsign: "softsign" "softsign_f32" "softsign_f16" "softsign_grad_f32",
        ("return x / (1.0 + abs(x));") |x: Approx| x / (ONE + x.abs()),
        ("let d = 1.0 + abs(x); return 1.0 / (d * d);")
            |x: Approx| { let d = ONE + x.abs(); ONE / (d * d) },
        Image::Within(-1.0, 1.0);
    /// `x · tanh(ln(1 + eˣ))`
    Mish: "mish" "mish_f32" "mish_f16" "mish_grad_f32",
        ("{TANH_SOFTPLUS} return max(x, -110.0) * t;") |x: Approx| x.max(-110.0) * formulas::tanh_softplus(x),
        ("{TANH_SOFTPLUS} let d = select(n + 2.0, top + 2.0 * e * e, x >= 0.0);
        return t + clamp(x, -110.0, 110.0) * (select(1.0, e, x >= 0.0) * (4.0 * e * (1.0 + e) / (d * d)));")
            |x: Approx| formulas::tanh_softplus(x) + x.clamp(-110.0, 110.0) * formulas::tanh_softplus_slope(x),
        Image::Any;
    /// The error function, `2/√π · ∫₀ˣ e^−t² dt`
    Erf: "erf" "erf_f32" "erf_f16" "erf_grad_f32",
        ("{} return select(tail - 1.0, 1.0 - tail, x >= 0.0);", formulas::erfc_abs_wgsl("x"))
            |x: Approx| { let tail = formulas::erfc_abs(x); x.by_sign(ONE - tail, tail - ONE) },
        ("let z = min(abs(x), 10.0); return {:?}f * exp(-z * z);", ERF_SLOPE as f32) |x: Approx| {
            let z = x.abs().clamp(0.0, 10.0); Approx::rounded(ERF_SLOPE) * (-(z * z)).exp() },
        Image::Within(-1.0, 1.0);
    /// `x · ½·(1 + erf(x / √2))`
    Gelu: "gelu" "gelu_f32" "gelu_f16" "gelu_grad_f32",
        ("{} return max(x, -15.0) * share;", formulas::normal_share_wgsl())
            |x: Approx| x.max(-15.0) * formulas::normal_share(x),
        ("{} let v = clamp(x, -15.0, 15.0); return share + v * ({:?}f * exp(-0.5 * v * v));",
            formulas::normal_share_wgsl(), DENSITY as f32) |x: Approx| {
            let v = x.clamp(-15.0, 15.0); formulas::normal_share(x) + v * formulas::normal_density(v) },
        Image::Any;
    /// `x · ½·(1 + tanh(√(2/π)·(x + 0.044715·x³)))`
    GeluTanh: "gelu_tanh" "gelu_tanh_f32" "gelu_tanh_f16" "gelu_tanh_grad_f32",
        ("{} let e = exp(-abs(u)); return max(x, -20.0) * (select(e, 1.0, u >= 0.0) / (1.0 + e));",
            formulas::gelu_inner_wgsl())
            |x: Approx| x.max(-20.0) * sigmoid(formulas::gelu_inner(x)),
        ("{} let e = exp(-abs(u)); let d = 1.0 + e;
        return select(e, 1.0, u >= 0.0) / d + v * ({:?}f + {:?}f * v * v) * (e / (d * d));",
            formulas::gelu_inner_wgsl(), LINEAR as f32, (3.0 * CUBIC) as f32) |x: Approx| {
            let (v, u) = (x.clamp(-20.0, 20.0), formulas::gelu_inner(x));
            let inner = Approx::rounded(LINEAR) + Approx::rounded(3.0 * CUBIC) * v * v;
            sigmoid(u) + v * inner * bell(decay(u)) },
        Image::Any;
    /// `eˣ`
    Exp: "exp" "exp_f32" "exp_f16" "exp_grad_f32",
        ("return exp(x);") |x: Approx| x.exp(),
        ("return exp(x);") |x: Approx| x.exp(),
        Image::Any;
    /// `ln x`, for `x > 0`
    Log: "log" "log_f32" "log_f16" "log_grad_f32",
        ("return log(x);") |x: Approx| x.ln(),
        ("return 1.0 / x;") |x| ONE / x,
        Image::Any;
    /// `√x`, for `x ≥ 0`
    Sqrt: "sqrt" "sqrt_f32" "sqrt_f16" "sqrt_grad_f32",
        ("return sqrt(x);") |x: Approx| x.sqrt(),
        ("return 0.5 * inverseSqrt(x);") |x: Approx| Approx::exact(0.5) * x.inverse_sqrt(),
        Image::Any;
    /// `|x|`; its derivative is 0 at 0.
    Abs: "abs" "abs_f32" "abs_f16" "abs_grad_f32",
        ("return abs(x);") |x: Approx| x.abs(),
        ("return sign(x);") |x: Approx| x.by_sign(when(x.value > 0.0, 1.0), Approx::exact(-1.0)),
        Image::Any;
    /// `x^exponent`, for `x > 0`; for whole exponents of any `x` but 0, and of 0 if they are not negative.
    Pow { exponent = 3.0 }: "pow" "pow_f32" "pow_f16" "pow_grad_f32",
        ("return {};", formulas::power_wgsl(exponent)) |x| formulas::power(x, exponent),
        ("return {exponent:?}f * {};", formulas::power_wgsl(exponent - 1.0))
            |x| Approx::exact(exponent) * formulas::power(x, exponent - 1.0),
        Image::Any;
    /// `⌊x⌋`; its derivative is 0.
    Floor: "floor" "floor_f32" "floor_f16" "floor_grad_f32",
        ("return floor(x);") |x: Approx| x.through(f64::floor),
        ("return 0.0;") |_: Approx| Approx::default(),
        Image::Any;
    /// `⌈x⌉`; its derivative is 0.
    Ceil: "ceil" "ceil_f32" "ceil_f16" "ceil_grad_f32",
        ("return ceil(x);") |x: Approx| x.through(f64::ceil),
        ("return 0.0;") |_: Approx| Approx::default(),
        Image::Any;
    /// The nearest whole number, the even one of two; its derivative is 0.
    Round: "round" "round_f32" "round_f16" "round_grad_f32",
        ("return round(x);") |x: Approx| x.through(f64::round_ties_even),
        ("return 0.0;") |_: Approx| Approx::default(),
        Image::Any;
}

/// `2/√π`.
const ERF_SLOPE: f64 = std::f64::consts::FRAC_2_SQRT_PI;

impl Unary {
    /// PyTorch's ReLU6.
    pub const RELU6: Self = Self::Clip { min: 0.0, max: 6.0 };

    /// ONNX's and PyTorch's SELU.
    pub const SELU: Self = Self::Selu {
        alpha: 1.673_263_2,
        gamma: 1.050_701,
    };

    /// Whether the function has a value at `x`; of others anything may come out.
    pub fn is_defined_at(self, x: f64) -> bool {
        match self {
            Self::Reciprocal => x != 0.0,
            Self::InvStd { eps } => x + f64::from(eps) > 0.0,
            Self::Log => x > 0.0,
            Self::Sqrt => x >= 0.0,
            Self::Pow { exponent } if exponent % 1.0 != 0.0 => x > 0.0,
            Self::Pow { exponent } => x != 0.0 || exponent >= 0.0,
            _ => true,
        }
    }

    /// The exact value.
    pub fn f64(self, x: f64) -> f64 {
        self.approx(Approx::exact(x)).value
    }

    /// The exact derivative.
    pub fn derivative(self, x: f64) -> f64 {
        self.slope_approx(Approx::exact(x)).value
    }

    /// How far a device's f32 result may be from the exact one. For an `x` that is itself off, take
    /// [`Self::approx`].
    pub fn bound(self, x: f64) -> f64 {
        self.approx(Approx::exact(x)).error
    }

    /// The ends if it is `clamp(x, low, high)`, which narrows the range of an int8 output and costs
    /// nothing.
    pub fn as_clamp(self) -> Option<(f32, f32)> {
        match self.image() {
            Image::Clamp(low, high) => Some((low, high)),
            Image::Within(..) | Image::Any => None,
        }
    }

    /// The range of its results if that is the same for all inputs and known beforehand.
    pub fn fixed_range(self) -> Option<(f32, f32)> {
        match self.image() {
            Image::Within(low, high) => Some((low, high)),
            Image::Clamp(..) | Image::Any => None,
        }
    }

    /// Whether the parameters make sense.
    ///
    /// # Errors
    /// [`Error::Invalid`] naming the function and the parameter.
    pub fn check(self) -> Result<()> {
        let problem = match self {
            _ if self.params().iter().any(|p| !p.is_finite()) => "parameters must be finite",
            Self::Clip { min, max } if min > max => "`min` must not lie above `max`",
            Self::HardSigmoid { alpha, .. } | Self::Celu { alpha } if alpha <= 0.0 => {
                "`alpha` must be positive"
            }
            _ => return Ok(()),
        };
        Err(Error::invalid(format!("{self:?}"), problem))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        let at = |f: Unary, x: f64| f.f64(x);
        assert_eq!(
            [-1.0, 2.0, 9.0].map(|x| at(Unary::RELU6, x)),
            [0.0, 2.0, 6.0]
        );
        assert_eq!(
            [-4.0, -3.0, 0.0, 3.0, 5.0].map(|x| at(Unary::HardSwish, x)),
            [0.0, 0.0, 0.0, 3.0, 5.0]
        );
        assert!((at(Unary::Sigmoid, 1.0) - 0.731_058_578_630_004_9).abs() < 1e-15);
        assert!((at(Unary::Silu, -1.0) + 0.268_941_421_369_995_1).abs() < 1e-15);
        assert!((at(Unary::Tanh, -0.5) + 0.462_117_157_260_009_8).abs() < 1e-15);
        for x in [-1e30, f64::NEG_INFINITY] {
            assert!(
                [Unary::Sigmoid, Unary::Silu, Unary::HardSwish]
                    .iter()
                    .all(|f| f.f64(x).abs() < 1e-40)
            );
        }
        for (f, x, want) in [
            (Unary::Erf, -0.5, -0.520_499_877_813_046_5),
            (Unary::Gelu, 1.0, 0.841_344_746_068_542_9),
            (Unary::Gelu, -2.0, -0.045_500_263_896_358_42),
            (Unary::GeluTanh, 1.0, 0.841_191_990_608_299),
            (Unary::Mish, 1.0, 0.865_098_388_267_289_6),
            (Unary::Mish, -2.0, -0.252_501_493_174_425_1),
            (Unary::Softplus, -1.0, 0.313_261_687_518_222_8),
            (Unary::SELU, -1.0, -1.111_330_737_812_563),
            (Unary::Celu { alpha: 2.0 }, -1.0, -0.786_938_680_574_733_2),
            (Unary::Pow { exponent: -0.5 }, 4.0, 0.5),
            (Unary::Round, -2.5, -2.0),
        ] {
            assert!((at(f, x) - want).abs() < 3e-8, "{f:?}: {}", at(f, x));
        }
        assert_eq!(at(Unary::Sigmoid, f64::INFINITY), 1.0);
        assert!(at(Unary::Sigmoid, f64::NAN).is_nan());
    }

    /// The derivative is that of the value, and both bounds are a few ULP.
    #[test]
    fn rows_agree_with_themselves() {
        for f in Unary::examples() {
            let jumps = matches!(f, Unary::Floor | Unary::Ceil);
            for x in [-7.3, -2.9, -1.0, -0.2, 0.3, 0.9, 2.4, 5.1, 40.0f64] {
                let jumps = jumps && x.fract() == 0.0;
                if jumps || !f.is_defined_at(x) {
                    continue;
                }
                let h = 1e-6;
                let slope = (f.f64(x + h) - f.f64(x - h)) / (2.0 * h);
                assert!(
                    (slope - f.derivative(x)).abs() < 1e-6 * (1.0 + slope.abs()),
                    "{f:?} at {x}: {slope}"
                );
                let size = f.f64(x).abs() + f.derivative(x).abs() + 1.0;
                assert!(
                    f.bound(x) < 1e-5 * size && f.bound(x) >= 0.0,
                    "{f:?} at {x}"
                );
                let moved = f.approx(Approx {
                    value: x,
                    error: 1e-3,
                });
                for y in [x - 1e-3, x + 1e-3] {
                    assert!(
                        (f.f64(y) - moved.value).abs() <= 1.0001 * moved.error,
                        "{f:?} at {x}"
                    );
                }
            }
            let read =
                serde_json::to_string(&f).and_then(|text| serde_json::from_str::<Unary>(&text));
            assert_eq!(read.expect("json"), f);
        }
    }

    #[test]
    fn parameters_are_checked() {
        assert!(Unary::examples().into_iter().all(|f| f.check().is_ok()));
        let error = Unary::Clip { min: 1.0, max: 0.0 }
            .check()
            .expect_err("upside down");
        assert_eq!(
            error.to_string(),
            "Clip { min: 1.0, max: 0.0 }: `min` must not lie above `max`"
        );
        assert!(Unary::Scale { factor: f32::NAN }.check().is_err());
        assert!(
            Unary::HardSigmoid {
                alpha: 0.0,
                beta: 0.5
            }
            .check()
            .is_err()
        );
    }
}
