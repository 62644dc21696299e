//! The operations on two numbers: one row each.

use serde::{Deserialize, Serialize};

use super::super::Approx;

macro_rules! binary {
    ($($(#[$doc:meta])* $variant:ident: $name:literal $f32:literal $f16:literal, $wgsl:literal $value:expr;)+) => {
        /// A function of two numbers.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum BinaryOp {
            $($(#[$doc])* $variant,)+
        }

        impl BinaryOp {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// Those that int8 has.
            pub const INTEGERS: [Self; 3] = [Self::Add, Self::Sub, Self::Mul];

            /// What it is called.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// Its labels as a kernel: f32, f16.
            pub(super) fn labels(self) -> [&'static str; 2] {
                match self { $(Self::$variant => [$f32, $f16],)+ }
            }

            /// The exact value, and how far a device may be from it.
            pub fn approx(self, a: Approx, b: Approx) -> Approx {
                match self { $(Self::$variant => ($value)(a, b),)+ }
            }

            /// `fn combine(a: f32, b: f32) -> f32`, complete: a part for shaders.
            pub fn wgsl(self) -> String {
                let body = match self { $(Self::$variant => $wgsl,)+ };
                format!("fn combine(a: f32, b: f32) -> f32 {{ return {body}; }}\n")
            }
        }
    };
}

binary! {
    /// `a + b`
    Add: "add" "add_f32" "add_f16", "a + b" |a, b| a + b;
    /// `a · b`
    Mul: "mul" "mul_f32" "mul_f16", "a * b" |a, b| a * b;
    /// `a − b`
    Sub: "sub" "sub_f32" "sub_f16", "a - b" |a, b| a - b;
    /// `a / b`, for `2⁻¹²⁶ ≤ |b| ≤ 2¹²⁶`
    Div: "div" "div_f32" "div_f16", "a / b" |a, b| a / b;
    /// The smaller
    Min: "min" "min_f32" "min_f16", "min(a, b)" |a: Approx, b: Approx| pick(a, b, b.value < a.value);
    /// The larger
    Max: "max" "max_f32" "max_f16", "max(a, b)" |a: Approx, b: Approx| pick(a, b, b.value > a.value);
    /// `a` to the power of `b`, for `a > 0`
    Pow: "pow_of" "pow_of_f32" "pow_of_f16", "pow(a, b)" power;
    /// `a` where it is positive, else `a · b`
    Prelu: "prelu" "prelu_f32" "prelu_f16", "select(a * b, a, a > 0.0)" |a: Approx, b| a.by_sign(a, a * b);
}

/// Of two numbers one; where they are as close as their errors, either.
fn pick(a: Approx, b: Approx, second: bool) -> Approx {
    let taken = if second { b } else { a };
    Approx {
        error: a.error.max(b.error),
        ..taken
    }
}

/// WGSL has `pow` as `exp2(b · log2(a))`.
fn power(a: Approx, b: Approx) -> Approx {
    let device = (b * a.ln()).exp();
    Approx {
        value: a.value.powf(b.value),
        ..device
    }
}
