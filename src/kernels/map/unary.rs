//! The unary functions: one row each, which says everything there is to know about a function.
//!
//! A row has its name, its labels as a kernel, the body of its WGSL function of `x: f32`, the same
//! formula as [`Approx`] (which gives the f64 form and the bound of a device's error at once), both
//! again for its derivative, and its image. The exponentials are of `−|x|`, so nothing overflows, and
//! what multiplies one that has become 0 is kept finite: `sigmoid(−100)` and `silu(−∞)` are 0.

use serde::{Deserialize, Serialize};

use super::super::Approx;
use crate::error::{Error, Result};

/// What is known of a function's results.
enum Image {
    /// `clamp(x, low, high)`: nothing but a narrower range of what goes in.
    Clamp(f32, f32),
    /// They lie in this range, whatever goes in.
    Within(f32, f32),
    /// Anything.
    Any,
}

macro_rules! unary {
    ($(
        $(#[$doc:meta])*
        $variant:ident $({ $($p:ident = $example:literal),+ })?: $name:literal $f32:literal $f16:literal $grad:literal,
        ($($wgsl:tt)+) $value:expr,
        ($($slope_wgsl:tt)+) $slope:expr,
        $image:expr;
    )+) => {
        /// A function of one number.
        #[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        #[allow(missing_docs, reason = "the formula names the parameters")]
        pub enum Unary {
            $($(#[$doc])* $variant $({ $($p: f32),+ })?,)+
        }

        impl Unary {
            /// Every function, with parameters that hurt: for samples and tests.
            pub fn examples() -> Vec<Self> {
                vec![$(Self::$variant $({ $($p: $example),+ })?,)+]
            }

            /// What it is called.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant $({ $($p: _),+ })? => $name,)+ }
            }

            /// Its labels as a kernel: f32, f16, gradient.
            pub(in crate::kernels) fn labels(self) -> [&'static str; 3] {
                match self { $(Self::$variant $({ $($p: _),+ })? => [$f32, $f16, $grad],)+ }
            }

            /// The exact value at `x`, and how far a device may be from it, `x` itself being off by so
            /// much.
            pub fn approx(self, x: Approx) -> Approx {
                match self { $(Self::$variant $({ $($p),+ })? => ($value)(x),)+ }
            }

            /// The derivative, likewise, for an `x` that both sides hold exactly.
            #[allow(unused_variables, reason = "a derivative may not depend on the parameters")]
            pub(in crate::kernels) fn slope_approx(self, x: Approx) -> Approx {
                match self { $(Self::$variant $({ $($p),+ })? => ($slope)(x),)+ }
            }

            /// `fn activation(x: f32) -> f32`, complete: a part for shaders.
            pub fn wgsl(self) -> String {
                let body = match self { $(Self::$variant $({ $($p),+ })? => format!($($wgsl)+),)+ };
                format!("fn activation(x: f32) -> f32 {{ {body} }}\n")
            }

            /// `fn slope(x: f32) -> f32`, the derivative, complete.
            #[allow(unused_variables, reason = "a derivative may not depend on the parameters")]
            pub fn wgsl_derivative(self) -> String {
                let body = match self { $(Self::$variant $({ $($p),+ })? => format!($($slope_wgsl)+),)+ };
                format!("fn slope(x: f32) -> f32 {{ {body} }}\n")
            }

            #[allow(unused_variables, reason = "an image may not depend on the parameters")]
            fn image(self) -> Image {
                match self { $(Self::$variant $({ $($p),+ })? => $image,)+ }
            }

            fn params(self) -> Vec<f32> {
                match self { $(Self::$variant $({ $($p),+ })? => vec![$($($p),+)?],)+ }
            }
        }
    };
}

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
    /// `x` for `x > 0`, else `alpha·x`
    LeakyRelu { alpha = 0.01 }: "leaky_relu" "leaky_relu_f32" "leaky_relu_f16" "leaky_relu_grad_f32",
        ("return select({alpha:?}f * x, x, x > 0.0);")
            |x: Approx| x.by_sign(x, Approx::exact(alpha) * x),
        ("return select({alpha:?}f, 1.0, x > 0.0);")
            |x: Approx| Approx::exact(if x.value > 0.0 { 1.0 } else { alpha }),
        Image::Any;
    /// `x` for `x > 0`, else `alpha·(eˣ − 1)`
    Elu { alpha = 1.5 }: "elu" "elu_f32" "elu_f16" "elu_grad_f32",
        ("return select({alpha:?}f * (exp(min(x, 0.0)) - 1.0), x, x > 0.0);")
            |x: Approx| x.by_sign(x, Approx::exact(alpha) * (x.min(0.0).exp() - ONE)),
        ("return select({alpha:?}f * exp(min(x, 0.0)), 1.0, x > 0.0);")
            |x: Approx| if x.value > 0.0 { ONE } else { Approx::exact(alpha) * x.exp() },
        Image::Any;
    /// `gamma·x` for `x > 0`, else `gamma·alpha·(eˣ − 1)`
    Selu { alpha = 1.673_263_2, gamma = 1.050_701 }: "selu" "selu_f32" "selu_f16" "selu_grad_f32",
        ("return {gamma:?}f * select({alpha:?}f * (exp(min(x, 0.0)) - 1.0), x, x > 0.0);")
            |x: Approx| Approx::exact(gamma) * x.by_sign(x, Approx::exact(alpha) * (x.min(0.0).exp() - ONE)),
        ("return {gamma:?}f * select({alpha:?}f * exp(min(x, 0.0)), 1.0, x > 0.0);")
            |x: Approx| Approx::exact(gamma) * if x.value > 0.0 { ONE } else { Approx::exact(alpha) * x.exp() },
        Image::Any;
    /// `x` for `x > 0`, else `alpha·(e^(x / alpha) − 1)`, `alpha > 0`
    Celu { alpha = 0.8 }: "celu" "celu_f32" "celu_f16" "celu_grad_f32",
        ("return select({alpha:?}f * (exp(min(x, 0.0) * {:?}f) - 1.0), x, x > 0.0);", 1.0 / alpha)
            |x: Approx| x.by_sign(
                x, Approx::exact(alpha) * ((x.min(0.0) * Approx::rounded(f64::from(1.0 / alpha))).exp() - ONE)),
        ("return select(exp(min(x, 0.0) * {:?}f), 1.0, x > 0.0);", 1.0 / alpha)
            |x: Approx| if x.value > 0.0 { ONE } else { (x * Approx::rounded(f64::from(1.0 / alpha))).exp() },
        Image::Any;
    /// `ln(1 + eˣ)`
    Softplus: "softplus" "softplus_f32" "softplus_f16" "softplus_grad_f32",
        ("return max(x, 0.0) + log(1.0 + exp(-abs(x)));")
            |x: Approx| x.max(0.0) + (ONE + decay(x)).ln(),
        ("let e = exp(-abs(x)); return select(e, 1.0, x >= 0.0) / (1.0 + e);") sigmoid,
        Image::Any;
    /// `x / (1 + |x|)`
    Softsign: "softsign" "softsign_f32" "softsign_f16" "softsign_grad_f32",
        ("return x / (1.0 + abs(x));") |x: Approx| x / (ONE + x.abs()),
        ("let d = 1.0 + abs(x); return 1.0 / (d * d);")
            |x: Approx| { let d = ONE + x.abs(); ONE / (d * d) },
        Image::Within(-1.0, 1.0);
    /// `x · tanh(ln(1 + eˣ))`, as `x · (1 + 2d) / (1 + 2d + 2d²)` of `d = e⁻ˣ`
    Mish: "mish" "mish_f32" "mish_f16" "mish_grad_f32",
        ("let e = exp(-abs(x)); let n = select(e * e + 2.0 * e, 1.0 + 2.0 * e, x >= 0.0);
        return max(x, -110.0) * (n / (n + select(2.0, 2.0 * e * e, x >= 0.0)));")
            |x: Approx| x.max(-110.0) * mish_gate(x),
        ("let e = exp(-abs(x)); let n = select(e * e + 2.0 * e, 1.0 + 2.0 * e, x >= 0.0);
        let t = n / (n + select(2.0, 2.0 * e * e, x >= 0.0));
        return t + clamp(x, -110.0, 110.0) * ((1.0 - t * t) * (select(e, 1.0, x >= 0.0) / (1.0 + e)));")
            |x: Approx| { let t = mish_gate(x);
                t + x.clamp(-110.0, 110.0) * ((ONE - t * t) * sigmoid(x)) },
        Image::Any;
    /// `2 / √π · ∫₀ˣ e^(−t²) dt`, by formula 7.1.26 of Abramowitz and Stegun, "Handbook of Mathematical
    /// Functions" (1964), which is within 1.5·10⁻⁷
    Erf: "erf" "erf_f32" "erf_f16" "erf_grad_f32",
        ("{ERF_WGSL} return e;") erf,
        ("return {:?}f * exp(-min(x * x, 110.0));", TWO_BY_ROOT_PI)
            |x: Approx| Approx::rounded(TWO_BY_ROOT_PI.into()) * (-(x * x).at_most(110.0)).exp(),
        Image::Within(-1.0, 1.0);
    /// `x / 2 · (1 + erf(x / √2))`
    Gelu: "gelu" "gelu_f32" "gelu_f16" "gelu_grad_f32",
        ("let z = x; {{ let x = z * {FRAC_1_SQRT_2:?}f; {ERF_WGSL} return max(z, -110.0) * (0.5 + 0.5 * e); }}")
            |x: Approx| x.max(-110.0) * gelu_share(x),
        ("let z = x; {{ let x = z * {FRAC_1_SQRT_2:?}f; {ERF_WGSL}
        return 0.5 + 0.5 * e + clamp(z, -110.0, 110.0) * ({:?}f * exp(-min(x * x, 110.0))); }}", 0.5 * FRAC_2_SQRT_PI * FRAC_1_SQRT_2)
            |x: Approx| { let y = x * Approx::rounded(FRAC_1_SQRT_2.into());
                gelu_share(x) + x.clamp(-110.0, 110.0) * (Approx::rounded((0.5 * FRAC_2_SQRT_PI * FRAC_1_SQRT_2).into())
                    * (-(y * y).at_most(110.0)).exp()) },
        Image::Any;
    /// `x / 2 · (1 + tanh(√(2 / π) · (x + 0.044715·x³)))`
    GeluTanh: "gelu_tanh" "gelu_tanh_f32" "gelu_tanh_f16" "gelu_tanh_grad_f32",
        ("let c = clamp(x, -20.0, 20.0); let u = {GELU_INNER:?}f * (c + {GELU_CUBE:?}f * c * c * c);
        let d = exp(-2.0 * abs(u)); let h = (1.0 - d) / (1.0 + d); let t = select(-h, h, u >= 0.0);
        return max(x, -110.0) * (0.5 + 0.5 * t);")
            |x: Approx| x.max(-110.0) * (HALF + HALF * gelu_gate(x)),
        ("let c = clamp(x, -20.0, 20.0); let u = {GELU_INNER:?}f * (c + {GELU_CUBE:?}f * c * c * c);
        let d = exp(-2.0 * abs(u)); let h = (1.0 - d) / (1.0 + d); let t = select(-h, h, u >= 0.0);
        return 0.5 + 0.5 * t + 0.5 * c * (1.0 - t * t) * ({GELU_INNER:?}f * (1.0 + {:?}f * c * c));", 3.0 * GELU_CUBE)
            |x: Approx| { let (t, c) = (gelu_gate(x), x.clamp(-20.0, 20.0));
                HALF + HALF * t + HALF * c * (ONE - t * t) * (Approx::rounded(GELU_INNER.into())
                    * (ONE + Approx::rounded((3.0 * GELU_CUBE).into()) * c * c)) },
        Image::Any;
    /// `eˣ`
    Exp: "exp" "exp_f32" "exp_f16" "exp_grad_f32",
        ("return exp(x);") |x: Approx| x.exp(),
        ("return exp(x);") |x: Approx| x.exp(),
        Image::Any;
    /// Natural logarithm, for `x > 0`
    Log: "log" "log_f32" "log_f16" "log_grad_f32",
        ("return log(x);") |x: Approx| x.ln(),
        ("return 1.0 / x;") |x| ONE / x,
        Image::Any;
    /// `√x`, for `x ≥ 0`
    Sqrt: "sqrt" "sqrt_f32" "sqrt_f16" "sqrt_grad_f32",
        ("return sqrt(x);") |x: Approx| x.root(),
        ("return 0.5 * inverseSqrt(x);") |x: Approx| HALF * x.inverse_sqrt(),
        Image::Any;
    /// `|x|`; its derivative is 0 at 0.
    Abs: "abs" "abs_f32" "abs_f16" "abs_grad_f32",
        ("return abs(x);") |x: Approx| x.abs(),
        ("return sign(x);") |x: Approx| Approx::exact(if x.value == 0.0 { 0.0 } else { x.value.signum() }),
        Image::Any;
    /// The largest whole number that is not larger
    Floor: "floor" "floor_f32" "floor_f16" "floor_grad_f32",
        ("return floor(x);") |x: Approx| x.through(f64::floor),
        ("return 0.0 * x;") |_: Approx| Approx::exact(0.0),
        Image::Any;
    /// The smallest whole number that is not smaller
    Ceil: "ceil" "ceil_f32" "ceil_f16" "ceil_grad_f32",
        ("return ceil(x);") |x: Approx| x.through(f64::ceil),
        ("return 0.0 * x;") |_: Approx| Approx::exact(0.0),
        Image::Any;
    /// The next whole number, of two the even one
    Round: "round" "round_f32" "round_f16" "round_grad_f32",
        ("return round(x);") |x: Approx| x.through(f64::round_ties_even),
        ("return 0.0 * x;") |_: Approx| Approx::exact(0.0),
        Image::Any;
    /// `x` to the power of `exponent`, for `x > 0`, or any `x` where the exponent is 2 or 3
    Pow { exponent = 2.0 }: "pow" "pow_f32" "pow_f16" "pow_grad_f32",
        ("return {};", power_wgsl(exponent)) |x: Approx| power(x, exponent),
        ("return {exponent:?}f * ({});", power_wgsl(exponent - 1.0))
            |x: Approx| Approx::exact(exponent) * power(x, exponent - 1.0),
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
}

const ONE: Approx = Approx {
    value: 1.0,
    error: 0.0,
};

const HALF: Approx = Approx {
    value: 0.5,
    error: 0.0,
};

const FRAC_1_SQRT_2: f32 = std::f32::consts::FRAC_1_SQRT_2;
const FRAC_2_SQRT_PI: f32 = std::f32::consts::FRAC_2_SQRT_PI;
const TWO_BY_ROOT_PI: f32 = FRAC_2_SQRT_PI;
/// `√(2 / π)`
const GELU_INNER: f32 = 0.797_884_6;
const GELU_CUBE: f32 = 0.044_715;

/// Factor of `t`, then those of its powers, in the formula for erf.
const ERF: [f32; 6] = [
    0.327_591_1,
    0.254_829_6,
    -0.284_496_74,
    1.421_413_7,
    -1.453_152,
    1.061_405_4,
];
const ERF_WGSL: &str = "let a = min(abs(x), 10.0); let t = 1.0 / (1.0 + 0.3275911 * a);
        let p = t * (0.2548296 + t * (-0.28449674 + t * (1.4214137 + t * (-1.453152 + t * 1.0614054))));
        let r = 1.0 - p * exp(-a * a); let e = select(-r, r, x >= 0.0);";

/// The formula's value may be off by its rounding, and by what it is not erf.
fn erf(x: Approx) -> Approx {
    let a = x.abs().at_most(10.0);
    let t = ONE / (ONE + Approx::exact(ERF[0]) * a);
    let p = ERF[1..].iter().rev().fold(Approx::default(), |p, &factor| {
        t * (Approx::exact(factor) + p)
    });
    let r = ONE - p * (-(a * a)).exp();
    let formula = x.by_sign(r, -r);
    let value = libm::erf(x.value);
    Approx {
        value,
        error: formula.error + (formula.value - value).abs(),
    }
}

/// `(1 + erf(x / √2)) / 2`
fn gelu_share(x: Approx) -> Approx {
    HALF + HALF * erf(x * Approx::rounded(std::f64::consts::FRAC_1_SQRT_2))
}

fn gelu_gate(x: Approx) -> Approx {
    let c = x.clamp(-20.0, 20.0);
    let cube = Approx::rounded(0.044_715) * c * c * c;
    let u = Approx::rounded((2.0 / std::f64::consts::PI).sqrt()) * (c + cube);
    let d = decay(u + u);
    let h = (ONE - d) / (ONE + d);
    u.by_sign(h, -h)
}

/// `tanh(ln(1 + eˣ))`
fn mish_gate(x: Approx) -> Approx {
    let e = decay(x);
    let two = Approx::exact(2.0);
    let (high, low) = (ONE + two * e, e * e + two * e);
    x.by_sign(high / (high + two * e * e), low / (low + two))
}

fn power_wgsl(exponent: f32) -> String {
    match exponent {
        0.0 => "1.0".into(),
        1.0 => "x".into(),
        2.0 => "x * x".into(),
        3.0 => "x * x * x".into(),
        exponent => format!("pow(x, {exponent:?}f)"),
    }
}

/// WGSL has `pow` as `exp2(y · log2(x))`.
fn power(x: Approx, exponent: f32) -> Approx {
    match exponent {
        0.0 => ONE,
        1.0 => x,
        2.0 => x * x,
        3.0 => x * x * x,
        exponent => {
            let exact = x.value.powf(exponent.into());
            let device = (Approx::exact(exponent) * x.ln()).exp();
            Approx {
                value: exact,
                error: device.error,
            }
        }
    }
}

fn when(condition: bool, value: f32) -> Approx {
    Approx::exact(if condition { value } else { 0.0 })
}

/// `e^−|x|`
fn decay(x: Approx) -> Approx {
    (-x.abs()).exp()
}

fn sigmoid(x: Approx) -> Approx {
    let e = decay(x);
    x.by_sign(ONE / (ONE + e), e / (ONE + e))
}

/// `e / (1 + e)²`
fn bell(e: Approx) -> Approx {
    e / ((ONE + e) * (ONE + e))
}

impl Unary {
    /// PyTorch's ReLU6.
    pub const RELU6: Self = Self::Clip { min: 0.0, max: 6.0 };

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
        assert_eq!(at(Unary::Sigmoid, f64::INFINITY), 1.0);
        assert!(at(Unary::Sigmoid, f64::NAN).is_nan());
    }

    /// The derivative is that of the value, and both bounds are a few ULP.
    #[test]
    fn rows_agree_with_themselves() {
        for f in Unary::examples() {
            for x in [-7.3, -2.9, -1.0, -0.2, 0.3, 0.9, 2.4, 5.1, 40.0] {
                let roots = matches!(f, Unary::InvStd { .. } | Unary::Log | Unary::Sqrt);
                if roots && x < 0.0 {
                    continue;
                }
                let h = 1e-6;
                let slope = (f.f64(x + h) - f.f64(x - h)) / (2.0 * h);
                assert!(
                    (slope - f.derivative(x)).abs() < 1e-6,
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
