//! What a row of the table of unary functions becomes.

/// What is known of a function's results.
pub(super) enum Image {
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
pub(super) use unary;
