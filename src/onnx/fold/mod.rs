//! Nodes whose operands are all known: shape arithmetic and weights that are computed. Evaluated when the
//! file is read, so that none of them is in the network.

mod shapes;

use super::array::{Array, Data, Elem, made_shape, strides};
use super::attributes::Reading;
use crate::base::num_elements;
use crate::error::Result;
pub(super) use shapes::{
    axes, broadcast, flat, parts, permutation, shape_of, slices, squeezed, target, unsqueezed,
};

/// What a node makes of known operands; `None` if this module does not evaluate it.
///
/// # Errors
/// Naming the node whose operands do not fit.
pub(super) fn evaluate(node: &Reading<'_>, inputs: &[Option<Array>]) -> Result<Option<Vec<Array>>> {
    let x = |i: usize| -> Result<&Array> {
        let found = inputs.get(i).and_then(Option::as_ref);
        found.ok_or_else(|| node.wrong(format!("operand {i} is missing")))
    };
    let optional = |i: usize| inputs.get(i).and_then(Option::as_ref);
    let one = match node.kind() {
        "Constant" => constant(node)?,
        "ConstantOfShape" => {
            let shape = made_shape(&x(0)?.to_i64())?;
            let fill = node.tensor("value")?;
            let fill = fill.unwrap_or_else(|| Array::float(&[1], vec![0.0]));
            if fill.len() != 1 {
                return Err(node.wrong("its value is more than one element"));
            }
            let all = Array {
                shape: vec![1; shape.len()],
                ..fill
            };
            expand(node, &all, &shape)?
        }
        "Identity" | "Dropout" | "StopGradient" => x(0)?.clone(),
        "Cast" => cast(x(0)?, node.elem("to")?),
        "CastLike" => cast(x(0)?, x(1)?.elem),
        "Shape" => {
            let shape = &x(0)?.shape;
            shape_of(node, shape)?
        }
        "Size" => Array::ints(&[], vec![x(0)?.len() as i64]),
        "Range" => range(node, x(0)?, x(1)?, x(2)?)?,
        "Reshape" => {
            let x0 = x(0)?;
            let to = target(node, &x0.shape, &x(1)?.to_i64())?;
            x0.clone().reshaped(&to)
        }
        "Flatten" => {
            let x0 = x(0)?;
            x0.clone().reshaped(&flat(node, &x0.shape)?)
        }
        "Squeeze" => {
            let x0 = x(0)?;
            let axes = axes(node, optional(1), x0.shape.len())?;
            x0.clone().reshaped(&squeezed(&x0.shape, axes.as_deref()))
        }
        "Unsqueeze" => {
            let x0 = x(0)?;
            x0.clone()
                .reshaped(&unsqueezed(node, &x0.shape, optional(1))?)
        }
        "Transpose" => {
            let x0 = x(0)?;
            x0.transposed(&permutation(node, x0.shape.len())?)
        }
        "Expand" => {
            let to = made_shape(&x(1)?.to_i64())?;
            let to = broadcast(node, &x(0)?.shape, &to)?;
            expand(node, x(0)?, &to)?
        }
        "Tile" => tile(node, x(0)?, &x(1)?.to_i64())?,
        "Concat" => {
            let all: Vec<&Array> = (0..inputs.len()).map(x).collect::<Result<_>>()?;
            concat(node, &all)?
        }
        "Gather" => gather(node, x(0)?, x(1)?)?,
        "Slice" => {
            let x0 = x(0)?;
            let taken = slices(node, &x0.shape, |i| optional(i).map(Array::to_i64))?;
            take(x0, &taken)
        }
        "Split" => return split(node, x(0)?, optional(1)).map(Some),
        "Where" => {
            let (c, a, b) = (x(0)?, x(1)?, x(2)?);
            let shape = broadcast(node, &a.shape, &b.shape)?;
            let shape = broadcast(node, &c.shape, &shape)?;
            let condition = expand(node, c, &shape)?.to_i64();
            let (a, b) = (expand(node, a, &shape)?, expand(node, b, &shape)?);
            choose(&condition, &a, &b)
        }
        "ReduceProd" | "ReduceSum" | "ReduceMax" | "ReduceMin" => whole(node, x(0)?)?,
        "Neg" | "Abs" | "Sqrt" | "Exp" | "Log" | "Reciprocal" | "Floor" | "Ceil" | "Round"
        | "Not" | "Relu" | "Sigmoid" | "Tanh" | "Erf" => unary(node, x(0)?)?,
        "Add" | "Sub" | "Mul" | "Div" | "Pow" | "Mod" | "Equal" | "Greater" | "GreaterOrEqual"
        | "Less" | "LessOrEqual" | "And" | "Or" => binary(node, x(0)?, x(1)?)?,
        "Min" | "Max" | "Sum" => {
            let mut all = x(0)?.clone();
            for i in 1..inputs.len() {
                all = binary(node, &all, x(i)?)?;
            }
            all
        }
        "DequantizeLinear" => dequantize(node, x(0)?, x(1)?, optional(2))?,
        _ => return Ok(None),
    };
    Ok(Some(vec![one]))
}

fn constant(node: &Reading<'_>) -> Result<Array> {
    if let Some(array) = node.tensor("value")? {
        return Ok(array);
    }
    if let Some(list) = node.ints("value_ints") {
        return Ok(Array::list(list.to_vec()));
    }
    if let Some(list) = node.floats("value_floats") {
        return Ok(Array::float(&[list.len()], list.to_vec()));
    }
    if node.has("value_int") {
        return Ok(Array::ints(&[], vec![node.int("value_int", 0)]));
    }
    if node.has("value_float") {
        return Ok(Array::float(&[], vec![node.float("value_float", 0.0)?]));
    }
    Err(node.wrong("a constant that is neither a tensor nor numbers"))
}

fn cast(x: &Array, to: Elem) -> Array {
    let data = match (to.is_float(), &x.data) {
        (true, _) => Data::Float(x.to_f32()),
        (false, _) if to == Elem::Bool => {
            Data::Int(x.to_f32().iter().map(|&x| i64::from(x != 0.0)).collect())
        }
        (false, _) => Data::Int(x.to_i64()),
    };
    Array {
        shape: x.shape.clone(),
        elem: to,
        data,
    }
}

fn range(node: &Reading<'_>, start: &Array, limit: &Array, delta: &Array) -> Result<Array> {
    let numbers = [start, limit, delta].map(|x| x.scalar().map(f64::from));
    let [Some(from), Some(to), Some(step)] = numbers else {
        return Err(node.wrong("its bounds are not single numbers"));
    };
    let count = ((to - from) / step).ceil().max(0.0);
    if step == 0.0 || !count.is_finite() {
        return Err(node.wrong(format!("a range from {from} to {to} in steps of {step}")));
    }
    let count = made_shape(&[count as i64])?[0];
    let at = |i: usize| from + i as f64 * step;
    Ok(match start.elem.is_float() {
        true => Array::float(&[count], (0..count).map(|i| at(i) as f32).collect()),
        false => Array::list((0..count).map(|i| at(i) as i64).collect()),
    })
}

/// Positions in a tensor of shape `from` for every element of `to`, that it is broadcast to.
fn positions(from: &[usize], to: &[usize]) -> Vec<usize> {
    let missing = to.len() - from.len();
    let strides = strides(from);
    let steps: Vec<usize> = (0..to.len())
        .map(|axis| match axis.checked_sub(missing) {
            Some(i) if from[i] > 1 => strides[i],
            _ => 0,
        })
        .collect();
    let mut at = vec![0; to.len()];
    let mut out = Vec::with_capacity(num_elements(to));
    for _ in 0..num_elements(to) {
        out.push(at.iter().zip(&steps).map(|(i, step)| i * step).sum());
        for (index, &size) in at.iter_mut().zip(to).rev() {
            *index += 1;
            if *index < size {
                break;
            }
            *index = 0;
        }
    }
    out
}

fn pick(x: &Array, shape: &[usize], at: &[usize]) -> Array {
    let data = match &x.data {
        Data::Float(data) => Data::Float(at.iter().map(|&i| data[i]).collect()),
        Data::Int(data) => Data::Int(at.iter().map(|&i| data[i]).collect()),
    };
    Array {
        shape: shape.to_vec(),
        elem: x.elem,
        data,
    }
}

fn expand(node: &Reading<'_>, x: &Array, to: &[usize]) -> Result<Array> {
    if broadcast(node, &x.shape, to)? != to {
        return Err(node.wrong(format!("{:?} does not broadcast to {to:?}", x.shape)));
    }
    let at = match x.len() {
        1 => vec![0; num_elements(to)],
        _ => positions(&x.shape, to),
    };
    Ok(pick(x, to, &at))
}

fn tile(node: &Reading<'_>, x: &Array, repeats: &[i64]) -> Result<Array> {
    if repeats.len() != x.shape.len() {
        return Err(node.wrong("its repeats are not one for each axis"));
    }
    let to: Vec<i64> = x
        .shape
        .iter()
        .zip(repeats)
        .map(|(&size, &n)| (size as i64).saturating_mul(n))
        .collect();
    let to = made_shape(&to)?;
    let strides = strides(&x.shape);
    let at: Vec<usize> = (0..num_elements(&to))
        .map(|mut i| {
            let mut from = 0;
            for axis in (0..to.len()).rev() {
                from += i % to[axis] % x.shape[axis] * strides[axis];
                i /= to[axis];
            }
            from
        })
        .collect();
    Ok(pick(x, &to, &at))
}

fn concat(node: &Reading<'_>, all: &[&Array]) -> Result<Array> {
    let Some(first) = all.first() else {
        return Err(node.wrong("nothing to put together"));
    };
    let axis = node.axis(node.int("axis", 0), first.shape.len())?;
    let mut shape = first.shape.clone();
    shape[axis] = 0;
    for array in all {
        let mut own = array.shape.clone();
        let size = own.get(axis).copied().unwrap_or(0);
        if own.len() == shape.len() {
            own[axis] = shape[axis];
        }
        if own != shape {
            return Err(node.wrong(format!("{:?} does not go with {shape:?}", array.shape)));
        }
        shape[axis] += size;
    }
    let outer: usize = shape[..axis].iter().product();
    let mut ints = Vec::new();
    let mut floats = Vec::new();
    let float = first.elem.is_float();
    for o in 0..outer {
        for array in all {
            let len = num_elements(&array.shape[axis..]);
            match &array.data {
                Data::Float(data) => floats.extend_from_slice(&data[o * len..(o + 1) * len]),
                Data::Int(data) => ints.extend_from_slice(&data[o * len..(o + 1) * len]),
            }
        }
    }
    let data = match float {
        true => Data::Float(floats),
        false => Data::Int(ints),
    };
    let elem = first.elem;
    Ok(Array { shape, elem, data })
}

fn gather(node: &Reading<'_>, x: &Array, indices: &Array) -> Result<Array> {
    let axis = node.axis(node.int("axis", 0), x.shape.len())?;
    let size = x.shape[axis] as i64;
    let mut picked = Vec::with_capacity(indices.len());
    for i in indices.to_i64() {
        let at = if i < 0 { i + size } else { i };
        let at = usize::try_from(at).ok().filter(|&at| at < x.shape[axis]);
        picked.push(at.ok_or_else(|| node.wrong(format!("index {i} of {size} elements")))?);
    }
    let inner = num_elements(&x.shape[axis + 1..]);
    let outer: usize = x.shape[..axis].iter().product();
    let mut at = Vec::new();
    for o in 0..outer {
        for &i in &picked {
            let from = (o * x.shape[axis] + i) * inner;
            at.extend(from..from + inner);
        }
    }
    let shape = [&x.shape[..axis], &indices.shape, &x.shape[axis + 1..]].concat();
    Ok(pick(x, &shape, &at))
}

fn take(x: &Array, slices: &[[i64; 3]]) -> Array {
    let shape: Vec<usize> = slices.iter().map(|s| s[2] as usize).collect();
    let strides = strides(&x.shape);
    let at: Vec<usize> = (0..num_elements(&shape))
        .map(|mut i| {
            let mut from = 0;
            for axis in (0..shape.len()).rev() {
                let k = (i % shape[axis]) as i64;
                from += (slices[axis][0] + k * slices[axis][1]) as usize * strides[axis];
                i /= shape[axis];
            }
            from
        })
        .collect();
    pick(x, &shape, &at)
}

fn split(node: &Reading<'_>, x: &Array, operand: Option<&Array>) -> Result<Vec<Array>> {
    let axis = node.axis(node.int("axis", 0), x.shape.len())?;
    let mut start = 0;
    let parts = parts(node, operand, x.shape[axis])?;
    let part = parts.into_iter().map(|size| {
        let mut slices: Vec<[i64; 3]> = x.shape.iter().map(|&n| [0, 1, n as i64]).collect();
        slices[axis] = [start, 1, size as i64];
        start += size as i64;
        take(x, &slices)
    });
    Ok(part.collect())
}

fn choose(condition: &[i64], a: &Array, b: &Array) -> Array {
    let data = match (&a.data, &b.data) {
        (Data::Int(x), Data::Int(y)) => {
            let both = condition.iter().zip(x.iter().zip(y));
            Data::Int(
                both.map(|(&c, (&x, &y))| if c != 0 { x } else { y })
                    .collect(),
            )
        }
        _ => {
            let (x, y) = (a.to_f32(), b.to_f32());
            let both = condition.iter().zip(x.into_iter().zip(y));
            Data::Float(
                both.map(|(&c, (x, y))| if c != 0 { x } else { y })
                    .collect(),
            )
        }
    };
    let elem = a.elem;
    let shape = a.shape.clone();
    Array { shape, elem, data }
}

/// Reductions of all elements: what shape arithmetic has.
fn whole(node: &Reading<'_>, x: &Array) -> Result<Array> {
    if x.shape.len() > 1 {
        return Err(node.wrong("a reduction of known tensors of several axes"));
    }
    let numbers = x.to_f32().into_iter().map(f64::from);
    let value = match node.kind() {
        "ReduceProd" => numbers.product(),
        "ReduceSum" => numbers.sum(),
        "ReduceMax" => numbers.fold(f64::NEG_INFINITY, f64::max),
        _ => numbers.fold(f64::INFINITY, f64::min),
    };
    let shape: &[usize] = match node.flag("keepdims", true) && !x.shape.is_empty() {
        true => &[1],
        false => &[],
    };
    let one = Array::float(shape, vec![value as f32]);
    Ok(cast(&one, x.elem))
}

fn unary(node: &Reading<'_>, x: &Array) -> Result<Array> {
    if node.kind() == "Not" {
        let data = x.to_i64().iter().map(|&x| i64::from(x == 0)).collect();
        let data = Data::Int(data);
        return Ok(Array { data, ..x.clone() });
    }
    let f: fn(f64) -> f64 = match node.kind() {
        "Neg" => |x| -x,
        "Abs" => f64::abs,
        "Sqrt" => f64::sqrt,
        "Exp" => f64::exp,
        "Log" => f64::ln,
        "Reciprocal" => |x| 1.0 / x,
        "Floor" => f64::floor,
        "Ceil" => f64::ceil,
        "Round" => f64::round_ties_even,
        "Relu" => |x| x.max(0.0),
        "Sigmoid" => |x| 1.0 / (1.0 + (-x).exp()),
        "Tanh" => f64::tanh,
        _ => return Err(node.wrong("it is not evaluated on known tensors")),
    };
    let data = match &x.data {
        Data::Float(data) => Data::Float(data.iter().map(|&x| f(x.into()) as f32).collect()),
        Data::Int(data) => Data::Int(data.iter().map(|&x| f(x as f64) as i64).collect()),
    };
    Ok(Array { data, ..x.clone() })
}

fn binary(node: &Reading<'_>, a: &Array, b: &Array) -> Result<Array> {
    let shape = broadcast(node, &a.shape, &b.shape)?;
    let (a, b) = (expand(node, a, &shape)?, expand(node, b, &shape)?);
    let truth = |f: fn(f64, f64) -> bool| -> Array {
        let (x, y) = (a.to_f64(), b.to_f64());
        let data = x.iter().zip(&y).map(|(&x, &y)| i64::from(f(x, y)));
        Array {
            shape: shape.clone(),
            elem: Elem::Bool,
            data: Data::Int(data.collect()),
        }
    };
    match node.kind() {
        "Equal" => return Ok(truth(|a, b| a == b)),
        "Greater" => return Ok(truth(|a, b| a > b)),
        "GreaterOrEqual" => return Ok(truth(|a, b| a >= b)),
        "Less" => return Ok(truth(|a, b| a < b)),
        "LessOrEqual" => return Ok(truth(|a, b| a <= b)),
        "And" => return Ok(truth(|a, b| a != 0.0 && b != 0.0)),
        "Or" => return Ok(truth(|a, b| a != 0.0 || b != 0.0)),
        _ => {}
    }
    let data = match (&a.data, &b.data) {
        (Data::Int(x), Data::Int(y)) => {
            let both = x.iter().zip(y);
            let made: Option<Vec<i64>> = both.map(|(&x, &y)| whole_number(node, x, y)).collect();
            Data::Int(made.ok_or_else(|| node.wrong("a division by 0, or a result beyond int64"))?)
        }
        _ => {
            let f: fn(f64, f64) -> f64 = match node.kind() {
                "Add" | "Sum" => |a, b| a + b,
                "Sub" => |a, b| a - b,
                "Mul" => |a, b| a * b,
                "Div" => |a, b| a / b,
                "Pow" => f64::powf,
                "Min" => f64::min,
                "Max" => f64::max,
                _ => return Err(node.wrong("it is not evaluated on known floats")),
            };
            let (x, y) = (a.to_f64(), b.to_f64());
            Data::Float(x.iter().zip(&y).map(|(&x, &y)| f(x, y) as f32).collect())
        }
    };
    let elem = if a.elem.is_float() { a.elem } else { b.elem };
    Ok(Array { shape, elem, data })
}

fn whole_number(node: &Reading<'_>, a: i64, b: i64) -> Option<i64> {
    match node.kind() {
        "Add" | "Sum" => a.checked_add(b),
        "Sub" => a.checked_sub(b),
        "Mul" => a.checked_mul(b),
        // C++ rounds towards zero.
        "Div" => a.checked_div(b),
        "Mod" => a.checked_rem_euclid(b),
        "Pow" => a.checked_pow(u32::try_from(b).ok()?),
        "Min" => Some(a.min(b)),
        "Max" => Some(a.max(b)),
        _ => None,
    }
}

impl Array {
    fn to_f64(&self) -> Vec<f64> {
        match &self.data {
            Data::Float(data) => data.iter().map(|&x| x.into()).collect(),
            Data::Int(data) => data.iter().map(|&x| x as f64).collect(),
        }
    }
}

/// Integers back to reals: `(q − zero_point) · scale`, per tensor, or per slice of an axis.
pub(super) fn dequantize(
    node: &Reading<'_>,
    q: &Array,
    scale: &Array,
    zero_point: Option<&Array>,
) -> Result<Array> {
    let (scales, ints) = (scale.to_f32(), q.to_i64());
    let zeros = zero_point.map_or_else(|| vec![0; scales.len()], Array::to_i64);
    if zeros.len() != scales.len() || scales.is_empty() {
        return Err(node.wrong("its zero points are not one for each scale"));
    }
    let slice = match scales.len() {
        1 => usize::MAX,
        n => {
            let axis = node.axis(node.int("axis", 1), q.shape.len())?;
            if q.shape[axis] != n || node.int("block_size", 0) != 0 {
                return Err(node.wrong("its scales are not one for each slice of the axis"));
            }
            num_elements(&q.shape[axis + 1..])
        }
    };
    let data = ints.iter().enumerate().map(|(i, &q)| {
        let at = i / slice % scales.len();
        ((q - zeros[at]) as f64 * f64::from(scales[at])) as f32
    });
    Ok(Array::float(&q.shape, data.collect()))
}
