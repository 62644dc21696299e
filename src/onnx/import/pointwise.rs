//! Functions of single elements, of one operand or of several that are broadcast.

use super::{Importer, Live, Operand};
use crate::error::Result;
use crate::graph::ValueId;
use crate::graph::ops::{Binary, Cast, Map};
use crate::kernels::binary::BinaryOp;
use crate::kernels::map::Unary;
use crate::onnx::array::{Array, Elem};
use crate::onnx::attributes::Reading;

impl Importer<'_> {
    pub(super) fn pointwise(&mut self, node: &Reading<'_>) -> Result<Option<Live>> {
        if let Some(f) = self.unary(node)? {
            return self.map(node, f).map(Some);
        }
        Ok(Some(match node.kind() {
            "Identity" | "Dropout" | "StopGradient" => self.live(node, 0)?,
            "Cast" | "CastLike" => self.cast(node)?,
            "PRelu" => self.two(node, BinaryOp::Prelu)?,
            "Add" => self.two(node, BinaryOp::Add)?,
            "Sub" => self.two(node, BinaryOp::Sub)?,
            "Mul" => self.two(node, BinaryOp::Mul)?,
            "Div" => self.two(node, BinaryOp::Div)?,
            "Pow" => self.two(node, BinaryOp::Pow)?,
            "Sum" => self.several(node, BinaryOp::Add)?,
            "Min" => self.several(node, BinaryOp::Min)?,
            "Max" => self.several(node, BinaryOp::Max)?,
            "Mean" => {
                let sum = self.several(node, BinaryOp::Add)?;
                let factor = 1.0 / node.proto.input.len() as f32;
                let name = self.fresh(&format!("{}/mean", node.name));
                self.push(
                    &name,
                    Map {
                        f: Unary::Scale { factor },
                    },
                    &[sum.id],
                    sum.order,
                )?
            }
            _ => return Ok(None),
        }))
    }

    fn map(&mut self, node: &Reading<'_>, f: Unary) -> Result<Live> {
        let x = self.live(node, 0)?;
        f.check().map_err(|e| node.wrong(crate::onnx::words(&e)))?;
        let id = self.graph.push(node.name, Map { f }, &[x.id])?;
        Ok(Live { id, ..x })
    }

    /// The function that the node is, of its first operand alone.
    fn unary(&mut self, node: &Reading<'_>) -> Result<Option<Unary>> {
        let alpha = |default| node.float("alpha", default);
        Ok(Some(match node.kind() {
            "Relu" => Unary::Relu,
            "LeakyRelu" => Unary::LeakyRelu {
                alpha: alpha(0.01)?,
            },
            "Clip" => return self.clip(node),
            "Sigmoid" => Unary::Sigmoid,
            "HardSigmoid" => Unary::HardSigmoid {
                alpha: alpha(0.2)?,
                beta: node.float("beta", 0.5)?,
            },
            "HardSwish" => Unary::HardSwish,
            "Swish" if alpha(1.0)? == 1.0 => Unary::Silu,
            "Tanh" => Unary::Tanh,
            "Elu" => Unary::Elu { alpha: alpha(1.0)? },
            "Selu" => Unary::Selu {
                alpha: alpha(1.673_263_2)?,
                gamma: node.float("gamma", 1.050_701)?,
            },
            "Celu" => Unary::Celu { alpha: alpha(1.0)? },
            "Softplus" => Unary::Softplus,
            "Softsign" => Unary::Softsign,
            "Mish" => Unary::Mish,
            "Erf" => Unary::Erf,
            "Gelu" => match node.text("approximate", "none") {
                "none" => Unary::Gelu,
                _ => Unary::GeluTanh,
            },
            "Exp" => Unary::Exp,
            "Log" => Unary::Log,
            "Sqrt" => Unary::Sqrt,
            "Abs" => Unary::Abs,
            "Floor" => Unary::Floor,
            "Ceil" => Unary::Ceil,
            "Round" => Unary::Round,
            "Neg" => Unary::Scale { factor: -1.0 },
            "Reciprocal" => Unary::Reciprocal,
            _ => return Ok(None),
        }))
    }

    /// Bounds are attributes before opset 11 and operands from then on.
    fn clip(&mut self, node: &Reading<'_>) -> Result<Option<Unary>> {
        let bound = |i: usize, name: &str, open: f32| -> Result<f32> {
            let given = match node.opset < 11 {
                true => Some(node.float(name, open)?),
                false => self.constant(node, i)?.and_then(|array| array.scalar()),
            };
            // Wide open, as far as floats go.
            Ok(given.unwrap_or(open).clamp(f32::MIN, f32::MAX))
        };
        let (min, max) = (bound(1, "min", f32::MIN)?, bound(2, "max", f32::MAX)?);
        Ok(Some(match (min, max) {
            (0.0, f32::MAX) => Unary::Relu,
            // All elements become `max`.
            (min, max) if min > max => Unary::Clip { min: max, max },
            (min, max) => Unary::Clip { min, max },
        }))
    }

    fn cast(&mut self, node: &Reading<'_>) -> Result<Live> {
        let x = self.live(node, 0)?;
        let elem = match node.kind() {
            "Cast" => node.elem("to")?,
            _ => match self.operand(node, 1)? {
                Some(Operand::Known(array)) => array.elem,
                _ => return Err(node.wrong("the type it casts to is computed")),
            },
        };
        let to = match elem {
            Elem::F16 => crate::base::DType::F16,
            // Wider floats hold what f32 does; nothing here computes with more.
            Elem::F32 | Elem::F64 | Elem::BF16 => crate::base::DType::F32,
            other => {
                let problem = format!("a cast of what the network computes to {other:?}");
                return Err(node.wrong(problem));
            }
        };
        if self.dtype(&x) == to {
            return Ok(x);
        }
        let id = self.graph.push(node.name, Cast { to }, &[x.id])?;
        Ok(Live { id, ..x })
    }

    fn two(&mut self, node: &Reading<'_>, op: BinaryOp) -> Result<Live> {
        let operand = |of: &Self, i: usize| -> Result<Operand> {
            let found = of.operand(node, i)?;
            found.ok_or_else(|| node.wrong(format!("operand {i} is missing")))
        };
        let (a, b) = (operand(self, 0)?, operand(self, 1)?);
        if node.opset < 7 && node.int("axis", -1) > 0 {
            return Err(node.wrong("broadcasting along an axis, as before opset 7"));
        }
        let name = self.operand_names(node);
        self.combine(node, node.name, op, (a, &name[0]), (b, &name[1]))
    }

    fn operand_names(&self, node: &Reading<'_>) -> [String; 2] {
        [0, 1].map(|i| self.operand_name(node, i))
    }

    /// All operands, one after another.
    fn several(&mut self, node: &Reading<'_>, op: BinaryOp) -> Result<Live> {
        let count = node.proto.input.len();
        let first = self.operand(node, 0)?;
        let mut all = first.ok_or_else(|| node.wrong("it has no operands"))?;
        if count == 1 {
            return self.live(node, 0);
        }
        for i in 1..count {
            let next = self.operand(node, i)?;
            let next = next.ok_or_else(|| node.wrong(format!("operand {i} is missing")))?;
            let name = match i + 1 == count {
                true => node.name.to_owned(),
                false => self.fresh(&format!("{}/{i}", node.name)),
            };
            let names = [0, i].map(|i| self.operand_name(node, i));
            let live = match (all, next) {
                (Operand::Known(a), Operand::Known(b)) => {
                    let f = match op {
                        BinaryOp::Min => f32::min,
                        BinaryOp::Max => f32::max,
                        _ => |a: f32, b: f32| a + b,
                    };
                    let (a, b) = (a.to_f32(), b.to_f32());
                    if a.len() != b.len() {
                        return Err(node.wrong("its constants are not of one shape"));
                    }
                    let both: Vec<f32> = a.iter().zip(&b).map(|(&a, &b)| f(a, b)).collect();
                    all = Operand::Known(Array::float(&[both.len()], both).into());
                    continue;
                }
                (a, b) => self.combine(node, &name, op, (a, &names[0]), (b, &names[1]))?,
            };
            all = Operand::Live(live);
        }
        match all {
            Operand::Live(live) => Ok(live),
            Operand::Known(_) => Err(node.wrong("all its operands are constants")),
        }
    }

    /// `a op b`, broadcast; at least one of them is computed.
    fn combine(
        &mut self,
        node: &Reading<'_>,
        name: &str,
        op: BinaryOp,
        (a, a_name): (Operand, &str),
        (b, b_name): (Operand, &str),
    ) -> Result<Live> {
        let (a, b) = match (a, b) {
            (Operand::Live(a), Operand::Known(b)) => {
                return self.with_constant(node, name, op, (&a, false), (&b, b_name));
            }
            (Operand::Known(a), Operand::Live(b)) => {
                return self.with_constant(node, name, op, (&b, true), (&a, a_name));
            }
            (Operand::Known(_), Operand::Known(_)) => {
                return Err(node.wrong("both of its operands are constants"));
            }
            (Operand::Live(a), Operand::Live(b)) => (a, b),
        };
        if a.flat.is_some() && a.flat == b.flat && self.shape(&a) == self.shape(&b) {
            let id = self
                .graph
                .push(name, Binary { op, act: None }, &[a.id, b.id])?;
            return Ok(Live { id, ..a });
        }
        let rank = a.order.len().max(b.order.len());
        let a = self.with_rank(name, &a, rank)?;
        let b = self.with_rank(name, &b, rank)?;
        let elements = |live: &Live| self.shape(live).iter().product::<usize>();
        let order = match elements(&b) > elements(&a) {
            true => b.order.clone(),
            false => a.order.clone(),
        };
        let (a, b) = (
            self.ordered(name, &a, &order)?,
            self.ordered(name, &b, &order)?,
        );
        self.push(name, Binary { op, act: None }, &[a, b], order)
    }

    /// With a constant on the right, or (`turned`) on the left.
    fn with_constant(
        &mut self,
        node: &Reading<'_>,
        name: &str,
        op: BinaryOp,
        (x, turned): (&Live, bool),
        (c, c_name): (&Array, &str),
    ) -> Result<Live> {
        let all_same = c.len() > 0 && {
            let all = c.to_f32();
            all.iter().all(|x| *x == all[0])
        };
        let grows = c.shape.len() > x.order.len() || {
            let shape = self.shape(x);
            let missing = shape.len() - c.shape.len();
            let mut axes = c.shape.iter().zip(&shape[missing..]);
            axes.any(|(&c, &x)| c > x)
        };
        if all_same && !grows && !self.is_stored(c_name) {
            let value = c.to_f32()[0];
            if let Some(f) = of_scalar(op, value, turned) {
                let Some(f) = f else { return Ok(x.clone()) };
                f.check().map_err(|e| node.wrong(crate::onnx::words(&e)))?;
                let id = self.graph.push(name, Map { f }, &[x.id])?;
                return Ok(Live { id, ..x.clone() });
            }
        }
        let rank = x.order.len().max(c.shape.len());
        let live = self.with_rank(name, x, rank)?;
        let mut shape = vec![1; rank - c.shape.len()];
        shape.extend_from_slice(&c.shape);
        let dtype = self.dtype(&live);
        let form = format!("beside {:?} {dtype}", live.order);
        let order = live.order.clone();
        let arrange = |c: Array| {
            let stored = c.reshaped(&shape).transposed(&order);
            // Axes of one element in front say nothing.
            let ones = stored.shape.iter().take_while(|size| **size == 1).count();
            let ones = ones.min(stored.shape.len().saturating_sub(1));
            let shape = stored.shape[ones..].to_vec();
            stored.reshaped(&shape)
        };
        let param = match self.integer_constant(c_name, &form, arrange)? {
            Some(id) => id,
            None => self.param(c_name, &form, || arrange(c.clone()).tensor(dtype))?,
        };
        let operands: [ValueId; 2] = match turned && !commutes(op) {
            true => [param, live.id],
            false => [live.id, param],
        };
        self.push(name, Binary { op, act: None }, &operands, live.order)
    }
}

fn commutes(op: BinaryOp) -> bool {
    matches!(
        op,
        BinaryOp::Add | BinaryOp::Mul | BinaryOp::Min | BinaryOp::Max
    )
}

/// `x op c`, or (`turned`) `c op x`, as a function of `x` alone: `None` if it has no name, `Some(None)` if
/// it is `x` itself.
fn of_scalar(op: BinaryOp, c: f32, turned: bool) -> Option<Option<Unary>> {
    let affine = |factor: f32, offset: f32| match (factor, offset) {
        (1.0, 0.0) => None,
        (factor, 0.0) => Some(Unary::Scale { factor }),
        (factor, offset) => Some(Unary::Affine { factor, offset }),
    };
    Some(match (op, turned) {
        (BinaryOp::Add, _) => affine(1.0, c),
        (BinaryOp::Sub, false) => affine(1.0, -c),
        (BinaryOp::Sub, true) => affine(-1.0, c),
        (BinaryOp::Mul, _) => affine(c, 0.0),
        (BinaryOp::Div, false) if (1.0 / c).is_normal() => affine(1.0 / c, 0.0),
        (BinaryOp::Div, true) if c == 1.0 => Some(Unary::Reciprocal),
        (BinaryOp::Min, _) => Some(Unary::Clip {
            min: f32::MIN,
            max: c,
        }),
        (BinaryOp::Max, _) if c == 0.0 => Some(Unary::Relu),
        (BinaryOp::Max, _) => Some(Unary::Clip {
            min: c,
            max: f32::MAX,
        }),
        (BinaryOp::Pow, false) => match c {
            1.0 => None,
            0.5 => Some(Unary::Sqrt),
            -1.0 => Some(Unary::Reciprocal),
            exponent => Some(Unary::Pow { exponent }),
        },
        (BinaryOp::Prelu, false) => Some(Unary::LeakyRelu { alpha: c }),
        _ => return None,
    })
}
