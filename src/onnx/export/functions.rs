//! Functions of single elements as operators; what has none in the version that is written is spelled out.

use super::{Attribute, Exporter};
use crate::base::DType;
use crate::kernels::map::Unary;

impl Exporter<'_> {
    /// `f(x)` under a name like `name`; returns the name.
    pub(super) fn function(&mut self, name: &str, f: Unary, x: &str, dtype: DType) -> String {
        let alpha = |alpha: f32| ("alpha", Attribute::Float(alpha));
        match f {
            Unary::Relu => self.emit(name, "Relu", &[x], &[]),
            Unary::Clip { min, max } => {
                let low = self.scalar(&format!("{name}_min"), min, dtype);
                let high = self.scalar(&format!("{name}_max"), max, dtype);
                self.emit(name, "Clip", &[x, &low, &high], &[])
            }
            Unary::Sigmoid => self.emit(name, "Sigmoid", &[x], &[]),
            Unary::HardSigmoid { alpha: a, beta } => {
                let attributes = [alpha(a), ("beta", Attribute::Float(beta))];
                self.emit(name, "HardSigmoid", &[x], &attributes)
            }
            // An operator from version 14 on.
            Unary::HardSwish => {
                let sixth = Unary::HardSigmoid {
                    alpha: 1.0 / 6.0,
                    beta: 0.5,
                };
                let gate = self.function(&format!("{name}_gate"), sixth, x, dtype);
                self.emit(name, "Mul", &[x, &gate], &[])
            }
            Unary::Silu => {
                let gate = self.emit(&format!("{name}_gate"), "Sigmoid", &[x], &[]);
                self.emit(name, "Mul", &[x, &gate], &[])
            }
            Unary::Mish => {
                let soft = self.emit(&format!("{name}_softplus"), "Softplus", &[x], &[]);
                let gate = self.emit(&format!("{name}_gate"), "Tanh", &[&soft], &[]);
                self.emit(name, "Mul", &[x, &gate], &[])
            }
            Unary::Gelu => {
                let factor = std::f32::consts::FRAC_1_SQRT_2;
                let scaled = self.with(&format!("{name}_scaled"), "Mul", x, factor, dtype);
                let erf = self.emit(&format!("{name}_erf"), "Erf", &[&scaled], &[]);
                self.half_gate(name, x, &erf, dtype)
            }
            Unary::GeluTanh => {
                let cube = self.with(&format!("{name}_cube"), "Pow", x, 3.0, dtype);
                let cube = self.with(&format!("{name}_term"), "Mul", &cube, 0.044_715, dtype);
                let sum = self.emit(&format!("{name}_sum"), "Add", &[x, &cube], &[]);
                let factor = (2.0 / std::f64::consts::PI).sqrt() as f32;
                let sum = self.with(&format!("{name}_scaled"), "Mul", &sum, factor, dtype);
                let tanh = self.emit(&format!("{name}_tanh"), "Tanh", &[&sum], &[]);
                self.half_gate(name, x, &tanh, dtype)
            }
            Unary::Tanh => self.emit(name, "Tanh", &[x], &[]),
            Unary::Scale { factor } => self.with(name, "Mul", x, factor, dtype),
            Unary::Affine { factor, offset } => {
                let scaled = match factor {
                    1.0 => x.to_owned(),
                    factor => self.with(&format!("{name}_scaled"), "Mul", x, factor, dtype),
                };
                self.with(name, "Add", &scaled, offset, dtype)
            }
            Unary::Reciprocal => self.emit(name, "Reciprocal", &[x], &[]),
            Unary::InvStd { eps } => {
                let sum = self.with(&format!("{name}_sum"), "Add", x, eps, dtype);
                let root = self.emit(&format!("{name}_root"), "Sqrt", &[&sum], &[]);
                self.emit(name, "Reciprocal", &[&root], &[])
            }
            Unary::LeakyRelu { alpha: a } => self.emit(name, "LeakyRelu", &[x], &[alpha(a)]),
            Unary::Elu { alpha: a } => self.emit(name, "Elu", &[x], &[alpha(a)]),
            Unary::Celu { alpha: a } => self.emit(name, "Celu", &[x], &[alpha(a)]),
            Unary::Selu { alpha: a, gamma } => {
                let attributes = [alpha(a), ("gamma", Attribute::Float(gamma))];
                self.emit(name, "Selu", &[x], &attributes)
            }
            Unary::Softplus => self.emit(name, "Softplus", &[x], &[]),
            Unary::Softsign => self.emit(name, "Softsign", &[x], &[]),
            Unary::Erf => self.emit(name, "Erf", &[x], &[]),
            Unary::Exp => self.emit(name, "Exp", &[x], &[]),
            Unary::Log => self.emit(name, "Log", &[x], &[]),
            Unary::Sqrt => self.emit(name, "Sqrt", &[x], &[]),
            Unary::Abs => self.emit(name, "Abs", &[x], &[]),
            Unary::Floor => self.emit(name, "Floor", &[x], &[]),
            Unary::Ceil => self.emit(name, "Ceil", &[x], &[]),
            Unary::Round => self.emit(name, "Round", &[x], &[]),
            Unary::Pow { exponent } => self.with(name, "Pow", x, exponent, dtype),
        }
    }

    /// `x · (1 + gate) / 2`
    fn half_gate(&mut self, name: &str, x: &str, gate: &str, dtype: DType) -> String {
        let sum = self.with(&format!("{name}_gate"), "Add", gate, 1.0, dtype);
        let product = self.emit(&format!("{name}_product"), "Mul", &[x, &sum], &[]);
        self.with(name, "Mul", &product, 0.5, dtype)
    }

    /// An operator of `x` and a number.
    fn with(&mut self, name: &str, kind: &str, x: &str, number: f32, dtype: DType) -> String {
        let number = self.scalar(&format!("{name}_constant"), number, dtype);
        self.emit(name, kind, &[x, &number], &[])
    }
}
