//! What rows of the table of unary functions share: formulas as [`Approx`], and as WGSL where they are long.

use super::super::Approx;

pub(super) const ONE: Approx = Approx {
    value: 1.0,
    error: 0.0,
};

pub(super) fn when(condition: bool, value: f32) -> Approx {
    Approx::exact(if condition { value } else { 0.0 })
}

/// `min(x, 0)`
pub(super) fn negative(x: Approx) -> Approx {
    x.clamp(f32::NEG_INFINITY, 0.0)
}

/// `e^−|x|`
pub(super) fn decay(x: Approx) -> Approx {
    (-x.abs()).exp()
}

pub(super) fn sigmoid(x: Approx) -> Approx {
    let e = decay(x);
    x.by_sign(ONE / (ONE + e), e / (ONE + e))
}

/// `e / (1 + e)²`
pub(super) fn bell(e: Approx) -> Approx {
    e / ((ONE + e) * (ONE + e))
}

/// `tanh(ln(1 + eˣ))`, without a logarithm: with `e = e^−|x|` it is `(1 + 2e) / d`, `d = 1 + 2e + 2e²`, for `x ≥ 0`,
/// and `n / (n + 2)`, `n = e·(e + 2)`, for others.
pub(super) fn tanh_softplus(x: Approx) -> Approx {
    let e = decay(x);
    let (top, n) = (ONE + e + e, e * (e + ONE + ONE));
    x.by_sign(top / (top + (e + e) * e), n / (n + ONE + ONE))
}

/// `let t`: the same.
pub(super) const TANH_SOFTPLUS: &str =
    "let e = exp(-abs(x)); let n = e * (e + 2.0); let top = 1.0 + 2.0 * e;
    let t = select(n / (n + 2.0), top / (top + 2.0 * e * e), x >= 0.0);";

/// Its derivative: `4e(1 + e) / d²`, times `e` for `x ≥ 0`; `d` is `n + 2` for others.
pub(super) fn tanh_softplus_slope(x: Approx) -> Approx {
    let e = decay(x);
    let four = Approx::exact(4.0) * e * (ONE + e);
    let (right, left) = (ONE + e + e + (e + e) * e, e * (e + ONE + ONE) + ONE + ONE);
    x.by_sign(four * e / (right * right), four / (left * left))
}

/// Of the tanh form of GELU: `x·sigmoid(x·(LINEAR + CUBIC·x²))`, twice `√(2/π)·(x + 0.044715·x³)` being what the
/// sigmoid takes in place of the tanh.
pub(super) const LINEAR: f64 = 1.595_769_121_605_731;
pub(super) const CUBIC: f64 = LINEAR * 0.044_715;

/// What the sigmoid takes; beyond ±20 it is 0 or 1.
pub(super) fn gelu_inner(x: Approx) -> Approx {
    let x = x.clamp(-20.0, 20.0);
    x * (Approx::rounded(LINEAR) + Approx::rounded(CUBIC) * x * x)
}

/// `let v`: `x` within ±20; `let u`: the same.
pub(super) fn gelu_inner_wgsl() -> String {
    let (linear, cubic) = (LINEAR as f32, CUBIC as f32);
    format!("let v = clamp(x, -20.0, 20.0); let u = v * ({linear:?}f + {cubic:?}f * v * v);")
}

/// `erfc(z) ≈ (a₁t + a₂t² + … + a₅t⁵)·e^−z²`, `t = 1 / (1 + p·z)`, for `z ≥ 0`, within 1.5·10⁻⁷: formula 7.1.26 of
/// Abramowitz and Stegun, *Handbook of Mathematical Functions*.
const ERFC_P: f64 = 0.327_591_1;
const ERFC_A: [f64; 5] = [
    0.254_829_592,
    -0.284_496_736,
    1.421_413_741,
    -1.453_152_027,
    1.061_405_429,
];
const ERFC_ERROR: f64 = 1.5e-7;

/// From here on `erfc` is 0 in f32, and `z²` must not overflow.
const ERFC_END: f32 = 10.0;

/// `erfc(|z|)`: the exact value, and how far the formula is from it on a device.
pub(super) fn erfc_abs(z: Approx) -> Approx {
    let z = z.abs().clamp(0.0, ERFC_END);
    let t = ONE / (ONE + Approx::rounded(ERFC_P) * z);
    let terms = ERFC_A.iter().rev();
    let polynomial = terms.fold(Approx::default(), |sum, &a| sum * t + Approx::rounded(a));
    let formula = polynomial * t * (-(z * z)).exp();
    Approx {
        value: erfc(z.value),
        error: formula.error + ERFC_ERROR,
    }
}

/// `let tail`: `erfc(|z|)` of this expression.
pub(super) fn erfc_abs_wgsl(z: &str) -> String {
    let [a1, a2, a3, a4, a5] = ERFC_A.map(|a| a as f32);
    let p = ERFC_P as f32;
    format!(
        "let z = min(abs({z}), {ERFC_END:?}f); let t = 1.0 / (1.0 + {p:?}f * z);
        let p = t * ({a1:?}f + t * ({a2:?}f + t * ({a3:?}f + t * ({a4:?}f + t * {a5:?}f))));
        let tail = p * exp(-z * z);"
    )
}

/// `√½`, by which a normal distribution differs from `erfc`.
pub(super) const HALF_ROOT: f64 = std::f64::consts::FRAC_1_SQRT_2;

/// The share of a normal distribution below `x`.
pub(super) fn normal_share(x: Approx) -> Approx {
    let tail = Approx::exact(0.5) * erfc_abs(x * Approx::rounded(HALF_ROOT));
    x.by_sign(ONE - tail, tail)
}

/// `let share`: the same.
pub(super) fn normal_share_wgsl() -> String {
    let tail = erfc_abs_wgsl(&format!("x * {:?}f", HALF_ROOT as f32));
    format!("{tail} let share = select(0.5 * tail, 1.0 - 0.5 * tail, x >= 0.0);")
}

/// `e^(−x²/2) / √(2π)`, the derivative of [`normal_share`].
pub(super) fn normal_density(x: Approx) -> Approx {
    Approx::rounded(DENSITY) * (Approx::exact(-0.5) * x * x).exp()
}

/// `1 / √(2π)`.
pub(super) const DENSITY: f64 = 0.398_942_280_401_432_7;

/// The complementary error function of `z ≥ 0` in f64: its series up to 2, from there on its continued fraction.
fn erfc(z: f64) -> f64 {
    let scale = std::f64::consts::FRAC_2_SQRT_PI * (-z * z).exp();
    if z < 2.0 {
        // erf z = 2/√π · e^−z² · Σ 2ⁿ z²ⁿ⁺¹ / (1·3·…·(2n + 1)): no term is negative.
        let (mut term, mut sum) = (z, z);
        for n in 1..60 {
            term *= 2.0 * z * z / f64::from(2 * n + 1);
            sum += term;
        }
        return 1.0 - scale * sum;
    }
    // √π·e^z²·erfc z = 1 / (z + ½ / (z + 1 / (z + 3⁄2 / (z + …)))).
    let fraction = (1..120)
        .rev()
        .fold(z, |below, k| z + 0.5 * f64::from(k) / below);
    0.5 * scale / fraction
}

/// `x` to a power: exact products for small whole exponents, else through logarithms, whose sign follows for whole
/// exponents. 0 to a positive power is 0.
pub(super) fn power(x: Approx, exponent: f32) -> Approx {
    let value = x.value.powf(exponent.into());
    let error = match whole(exponent) {
        Some(0) => return ONE,
        Some(n) => {
            let product = (1..n.unsigned_abs()).fold(x, |product, _| product * x);
            if n > 0 {
                product.error
            } else {
                (ONE / product).error
            }
        }
        None if exponent == 0.5 => x.sqrt().error,
        None if x == Approx::default() && exponent > 0.0 => 0.0,
        None => x.pow(Approx::exact(exponent)).error,
    };
    Approx { value, error }
}

/// An expression for the same.
pub(super) fn power_wgsl(exponent: f32) -> String {
    let odd = exponent % 2.0 != 0.0 && exponent % 1.0 == 0.0;
    let power = match whole(exponent) {
        Some(0) => return "1.0".into(),
        Some(n) => {
            let product = vec!["x"; n.unsigned_abs() as usize].join(" * ");
            return if n > 0 {
                format!("({product})")
            } else {
                format!("(1.0 / ({product}))")
            };
        }
        None if exponent == 0.5 => return "sqrt(x)".into(),
        None if exponent % 1.0 == 0.0 => format!("exp2({exponent:?}f * log2(abs(x)))"),
        None => format!("exp2({exponent:?}f * log2(x))"),
    };
    let power = if odd {
        format!("select(-{power}, {power}, x >= 0.0)")
    } else {
        power
    };
    if exponent > 0.0 {
        format!("select({power}, 0.0, x == 0.0)")
    } else {
        power
    }
}

/// A whole exponent that products are cheap for.
fn whole(exponent: f32) -> Option<i32> {
    (exponent % 1.0 == 0.0 && exponent.abs() <= 8.0).then_some(exponent as i32)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values of published tables; and the two ways meet.
    #[test]
    fn erfc_by_hand() {
        for (z, want) in [
            (0.0, 1.0),
            (0.5, 0.479_500_122_186_953_5),
            (1.0, 0.157_299_207_050_285_1),
            (2.0, 4.677_734_981_047_266e-3),
            (3.0, 2.209_049_699_858_544e-5),
            (6.0, 2.151_973_671_249_891e-17),
        ] {
            assert!((erfc(z) - want).abs() <= 1e-13 * want, "{z}: {}", erfc(z));
        }
        let (below, above) = (erfc(2f64.next_down()), erfc(2.0));
        assert!((below - above).abs() < 1e-15, "{below} {above}");
    }

    /// The formula keeps what its source promises.
    #[test]
    fn the_formula_is_as_good_as_it_says() {
        for i in 0..1000 {
            let z = f64::from(i) * 0.006;
            let t = 1.0 / (1.0 + ERFC_P * z);
            let polynomial = ERFC_A.iter().rev().fold(0.0, |sum, a| sum * t + a);
            let formula = polynomial * t * (-z * z).exp();
            assert!((formula - erfc(z)).abs() <= ERFC_ERROR, "{z}");
        }
    }

    #[test]
    fn powers_by_hand() {
        let at = |x: f64, exponent| power(Approx::exact(x), exponent).value;
        assert_eq!(
            [at(-3.0, 3.0), at(-2.0, -2.0), at(9.0, 0.5), at(0.0, 0.0)],
            [-27.0, 0.25, 3.0, 1.0]
        );
        assert_eq!(power_wgsl(3.0), "(x * x * x)");
        assert_eq!(
            power_wgsl(11.0),
            "select(select(-exp2(11.0f * log2(abs(x))), exp2(11.0f * log2(abs(x))), x >= 0.0), 0.0, x == 0.0)"
        );
    }
}
