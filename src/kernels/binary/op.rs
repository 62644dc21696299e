//! The operations on two numbers: one row each.

use serde::{Deserialize, Serialize};

use super::super::Approx;

macro_rules! binary {
    ($($(#[$doc:meta])* $variant:ident: $name:literal $f32:literal $f16:literal $i8:literal, $wgsl:literal $value:expr;)+) => {
        /// A function of two numbers.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum BinaryOp {
            $($(#[$doc])* $variant,)+
        }

        impl BinaryOp {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// What it is called.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// Its labels as a kernel: f32, f16, int8.
            pub(super) fn labels(self) -> [&'static str; 3] {
                match self { $(Self::$variant => [$f32, $f16, $i8],)+ }
            }

            /// The exact value, and how far a device may be from it.
            pub fn approx(self, a: Approx, b: Approx) -> Approx {
                match self { $(Self::$variant => ($value)(a, b),)+ }
            }

            /// `fn combine(a: f32, b: f32) -> f32`, complete: a part for shaders.
            pub fn wgsl(self) -> String {
                let body = match self { $(Self::$variant => $wgsl,)+ };
                format!("fn combine(a: f32, b: f32) -> f32 {{ {body} }}\n")
            }
        }
    };
}

binary! {
    /// `a + b`
    Add: "add" "add_f32" "add_f16" "add_i8", "return a + b;" |a, b| a + b;
    /// `a − b`
    Sub: "sub" "sub_f32" "sub_f16" "sub_i8", "return a - b;" |a, b| a - b;
    /// `a · b`
    Mul: "mul" "mul_f32" "mul_f16" "mul_i8", "return a * b;" |a, b| a * b;
    /// `a / b`, for `2⁻¹²⁶ ≤ |b| ≤ 2¹²⁶`
    Div: "div" "div_f32" "div_f16" "div_i8", "return a / b;" |a, b| a / b;
    /// The smaller of both
    Min: "min" "min_f32" "min_f16" "min_i8", "return min(a, b);" |a: Approx, b| a.smaller(b);
    /// The larger of both
    Max: "max" "max_f32" "max_f16" "max_i8", "return max(a, b);" |a: Approx, b| a.larger(b);
    /// `aᵇ`, for `a > 0`; for whole `b` of any `a` but 0, and of 0 if `b` is not negative. It has no int8 form: whether
    /// `b` is whole would hang on how a device rounds.
    Pow: "pow" "pow_f32" "pow_f16" "pow_i8",
        "let power = exp2(b * log2(abs(a))); let signed = select(power, -power, a < 0.0 && fract(abs(b) * 0.5) == 0.5);
        return select(select(signed, 0.0, a == 0.0), 1.0, b == 0.0);" power;
    /// `a` for `a ≥ 0`, else `a · b`
    Prelu: "prelu" "prelu_f32" "prelu_f16" "prelu_i8", "return select(a * b, a, a >= 0.0);"
        |a: Approx, b| a.by_sign(a, a * b);
}

impl BinaryOp {
    /// Whether it works on integers.
    pub fn has_integers(self) -> bool {
        self != Self::Pow
    }
}

fn power(a: Approx, b: Approx) -> Approx {
    let nothing = Approx::default();
    let selected = b == nothing || (a == nothing && b.value > 0.0);
    if selected {
        return Approx::exact(a.value.powf(b.value));
    }
    a.pow(b)
}
