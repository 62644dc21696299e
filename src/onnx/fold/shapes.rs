//! Shapes that operators state, checked: of tensors that are known and of those that are computed.

use crate::base::num_elements;
use crate::error::Result;
use crate::onnx::array::{Array, made_shape};
use crate::onnx::attributes::Reading;

/// What `Shape` makes of a tensor of this shape.
pub(in crate::onnx) fn shape_of(node: &Reading<'_>, shape: &[usize]) -> Result<Array> {
    let rank = shape.len() as i64;
    let bound = |i: i64| (if i < 0 { i + rank } else { i }).clamp(0, rank) as usize;
    let (start, end) = (bound(node.int("start", 0)), bound(node.int("end", rank)));
    let taken = shape.get(start..end).unwrap_or(&[]);
    Ok(Array::list(taken.iter().map(|&size| size as i64).collect()))
}

/// The shape that a reshape to `to` gives: 0 keeps a size, −1 takes what is left.
pub(in crate::onnx) fn target(
    node: &Reading<'_>,
    from: &[usize],
    to: &[i64],
) -> Result<Vec<usize>> {
    let keep = !node.flag("allowzero", false);
    let mut shape = Vec::with_capacity(to.len());
    let mut open = None;
    for (i, &size) in to.iter().enumerate() {
        shape.push(match size {
            0 if keep => from.get(i).copied().unwrap_or(0),
            -1 if open.is_none() => {
                open = Some(i);
                1
            }
            size => usize::try_from(size).unwrap_or(usize::MAX),
        });
    }
    let have = num_elements(from);
    let known = shape.iter().fold(1usize, |n, &size| n.saturating_mul(size));
    if let Some(i) = open {
        shape[i] = have.checked_div(known).unwrap_or(0);
    }
    let made = shape.iter().fold(1usize, |n, &size| n.saturating_mul(size));
    match made == have {
        true => Ok(shape),
        false => Err(node.wrong(format!("{from:?} cannot take the shape {to:?}"))),
    }
}

/// The two axes that `Flatten` makes.
pub(in crate::onnx) fn flat(node: &Reading<'_>, shape: &[usize]) -> Result<Vec<usize>> {
    let axis = node.int("axis", 1);
    let axis = if axis < 0 {
        axis + shape.len() as i64
    } else {
        axis
    };
    let axis = usize::try_from(axis).ok().filter(|&a| a <= shape.len());
    let axis = axis.ok_or_else(|| node.wrong("its axis is none of the tensor"))?;
    Ok(vec![
        num_elements(&shape[..axis]),
        num_elements(&shape[axis..]),
    ])
}

/// Axes as an attribute (before opset 13) or an operand; `None` if neither is there.
pub(in crate::onnx) fn axes(
    node: &Reading<'_>,
    operand: Option<&Array>,
    rank: usize,
) -> Result<Option<Vec<usize>>> {
    let list = match operand {
        Some(array) => Some(array.to_i64()),
        None => node.ints("axes").map(<[i64]>::to_vec),
    };
    let list = list.map(|list| list.into_iter().map(|axis| node.axis(axis, rank)).collect());
    list.transpose()
}

pub(in crate::onnx) fn squeezed(shape: &[usize], axes: Option<&[usize]>) -> Vec<usize> {
    let gone = |(axis, size): (usize, usize)| match axes {
        Some(axes) => axes.contains(&axis),
        None => size == 1,
    };
    let sizes = shape.iter().copied().enumerate();
    sizes.filter(|&x| !gone(x)).map(|(_, size)| size).collect()
}

pub(in crate::onnx) fn unsqueezed(
    node: &Reading<'_>,
    shape: &[usize],
    operand: Option<&Array>,
) -> Result<Vec<usize>> {
    let count = match operand {
        Some(array) => array.len(),
        None => node.ints("axes").map_or(0, <[i64]>::len),
    };
    let rank = shape.len() + count;
    let new = axes(node, operand, rank)?.unwrap_or_default();
    let mut old = shape.iter();
    let sizes = (0..rank).map(|axis| match new.contains(&axis) {
        true => Some(1),
        false => old.next().copied(),
    });
    let sizes: Option<Vec<usize>> = sizes.collect();
    let sizes = sizes.filter(|_| old.next().is_none());
    sizes.ok_or_else(|| node.wrong("an axis is named twice"))
}

/// `perm`; the axes from behind without it.
pub(in crate::onnx) fn permutation(node: &Reading<'_>, rank: usize) -> Result<Vec<usize>> {
    let Some(list) = node.ints("perm").filter(|list| !list.is_empty()) else {
        return Ok((0..rank).rev().collect());
    };
    let order: Vec<usize> = list
        .iter()
        .map(|&axis| node.axis(axis, rank))
        .collect::<Result<_>>()?;
    let mut sorted = order.clone();
    sorted.sort_unstable();
    match sorted.into_iter().eq(0..rank) {
        true => Ok(order),
        false => Err(node.wrong(format!("{list:?} is no order of {rank} axes"))),
    }
}

/// The shape that two operands have together.
pub(in crate::onnx) fn broadcast(
    node: &Reading<'_>,
    a: &[usize],
    b: &[usize],
) -> Result<Vec<usize>> {
    let rank = a.len().max(b.len());
    let size = |shape: &[usize], axis: usize| {
        let missing = rank - shape.len();
        axis.checked_sub(missing).map_or(1, |i| shape[i])
    };
    let mut shape = Vec::with_capacity(rank);
    for axis in 0..rank {
        shape.push(match (size(a, axis), size(b, axis)) {
            (x, y) if x == y => x,
            (1, y) => y,
            (x, 1) => x,
            _ => return Err(node.wrong(format!("{a:?} and {b:?} cannot be broadcast"))),
        });
    }
    let sizes: Vec<i64> = shape.iter().map(|&size| size as i64).collect();
    made_shape(&sizes)
}

/// `[start, step, size]` along every axis of what a slice takes; `step` may be negative.
pub(in crate::onnx) fn slices(
    node: &Reading<'_>,
    shape: &[usize],
    operand: impl Fn(usize) -> Option<Vec<i64>>,
) -> Result<Vec<[i64; 3]>> {
    let (starts, ends, axes, steps) = match node.opset < 10 {
        true => (
            node.ints("starts").map(<[i64]>::to_vec),
            node.ints("ends").map(<[i64]>::to_vec),
            node.ints("axes").map(<[i64]>::to_vec),
            None,
        ),
        false => (operand(1), operand(2), operand(3), operand(4)),
    };
    let (Some(starts), Some(ends)) = (starts, ends) else {
        return Err(node.wrong("where it starts and ends is computed from what the network is fed"));
    };
    let mut out: Vec<[i64; 3]> = shape.iter().map(|&size| [0, 1, size as i64]).collect();
    let axes = axes.unwrap_or_else(|| (0..starts.len() as i64).collect());
    let steps = steps.unwrap_or_else(|| vec![1; starts.len()]);
    if ends.len() != starts.len() || axes.len() != starts.len() || steps.len() != starts.len() {
        return Err(node.wrong("starts, ends, axes and steps are not of one length"));
    }
    for (((start, end), axis), step) in starts.into_iter().zip(ends).zip(axes).zip(steps) {
        let axis = node.axis(axis, shape.len())?;
        let size = shape[axis] as i64;
        if step == 0 || step == i64::MIN {
            return Err(node.wrong(format!("a slice in steps of {step}")));
        }
        let from_front = |i: i64| if i < 0 { i.saturating_add(size) } else { i };
        let (start, end) = (from_front(start), from_front(end));
        let count = match step > 0 {
            true => {
                let (start, end) = (start.clamp(0, size), end.clamp(0, size));
                out[axis][0] = start;
                (end - start).max(0) as u64
            }
            false => {
                let (start, end) = (start.clamp(-1, size - 1), end.clamp(-1, size - 1));
                out[axis][0] = start.max(0);
                (start - end).max(0) as u64
            }
        };
        out[axis][1] = step;
        out[axis][2] = count.div_ceil(step.unsigned_abs()) as i64;
    }
    Ok(out)
}

/// Sizes of the parts of an axis of `size` elements.
pub(in crate::onnx) fn parts(
    node: &Reading<'_>,
    operand: Option<&Array>,
    size: usize,
) -> Result<Vec<usize>> {
    let list = match operand {
        Some(array) => Some(array.to_i64()),
        None => node.ints("split").map(<[i64]>::to_vec),
    };
    let count = node.proto.output.len().max(1);
    let parts: Vec<usize> = match list {
        Some(list) => list
            .iter()
            .map(|&n| usize::try_from(n).unwrap_or(0))
            .collect(),
        None => {
            let each = size.div_ceil(count);
            let part = |i: usize| each.min(size.saturating_sub(i * each));
            (0..count).map(part).collect()
        }
    };
    let total = parts.iter().fold(0usize, |n, &part| n.saturating_add(part));
    if total != size || parts.len() < count || parts.contains(&0) {
        return Err(node.wrong(format!("{size} elements cannot be split into {parts:?}")));
    }
    Ok(parts)
}
