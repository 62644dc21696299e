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
}
