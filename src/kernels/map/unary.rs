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
            Self::HardSigmoid { alpha, .. } if alpha <= 0.0 => "`alpha` must be positive",
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
                if matches!(f, Unary::InvStd { .. }) && x < 0.0 {
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
