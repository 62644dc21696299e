//! Many elements become one.

use super::{Importer, Live};
use crate::base::DType;
use crate::error::Result;
use crate::graph::ValueId;
use crate::graph::ops::{ArgMax, Binary, GlobalAvgPool, Map, Reduce, ReduceKind};
use crate::kernels::map::Unary;
use crate::onnx::attributes::Reading;
use crate::onnx::fold;

impl Importer<'_> {
    pub(super) fn reduction(&mut self, node: &Reading<'_>) -> Result<Option<Live>> {
        let kind = match node.kind() {
            "ReduceMean" => ReduceKind::Mean,
            "ReduceSum" | "ReduceSumSquare" | "ReduceL1" | "ReduceL2" => ReduceKind::Sum,
            "ReduceMax" => ReduceKind::Max,
            "ReduceMin" => ReduceKind::Min,
            "ArgMax" => return self.largest(node).map(Some),
            _ => return Ok(None),
        };
        let x = self.live(node, 0)?;
        let x = self.settled(node.name, &x)?;
        let shape = self.shape(&x);
        let rank = shape.len();
        let operand = self.constant(node, 1)?;
        let operand = operand.filter(|axes| axes.len() > 0);
        let axes = match fold::axes(node, operand.as_deref(), rank)? {
            Some(axes) if !axes.is_empty() => axes,
            _ if node.flag("noop_with_empty_axes", false) => return Ok(Some(x)),
            _ => (0..rank).collect(),
        };
        let mut id = x.id;
        let before = match node.kind() {
            "ReduceSumSquare" | "ReduceL2" => {
                let name = self.fresh(&format!("{}/square", node.name));
                id = self.graph.push(&name, Binary::MUL, &[id, id])?;
                None
            }
            "ReduceL1" => Some(Unary::Abs),
            _ => None,
        };
        if let Some(f) = before {
            let name = self.fresh(&format!("{}/part", node.name));
            id = self.graph.push(&name, Map { f }, &[id])?;
        }
        let image = x.order == [0, 2, 3, 1];
        let both = axes.contains(&2) && axes.contains(&3) && axes.len() == 2;
        let reduced = if kind == ReduceKind::Mean && image && both {
            let y = self.graph.push(node.name, GlobalAvgPool, &[id])?;
            let kept = [shape[0], 1, 1, shape[1]];
            self.reshape_stored(node.name, y, &kept, true)?
        } else {
            self.along(node, id, kind, &x.order, &axes)?
        };
        let reduced = match node.kind() {
            "ReduceL2" => {
                let name = self.fresh(&format!("{}/root", node.name));
                self.graph.push(&name, Map { f: Unary::Sqrt }, &[reduced])?
            }
            _ => reduced,
        };
        self.kept(node, reduced, x.order, &axes, shape).map(Some)
    }

    /// Axis after axis, the innermost as stored first.
    fn along(
        &mut self,
        node: &Reading<'_>,
        id: ValueId,
        kind: ReduceKind,
        order: &[usize],
        axes: &[usize],
    ) -> Result<ValueId> {
        let mut places: Vec<usize> = axes
            .iter()
            .filter_map(|axis| order.iter().position(|a| a == axis))
            .collect();
        places.sort_unstable();
        places.dedup();
        let mut id = id;
        while let Some(axis) = places.pop() {
            let size = self.graph.value(id).shape[axis];
            if size == 1 {
                continue;
            }
            if axis == 0 {
                return Err(node.wrong("it reduces the batch"));
            }
            let name = match places.is_empty() {
                true => node.name.to_owned(),
                false => self.fresh(&format!("{}/axis {axis}", node.name)),
            };
            id = self.graph.push(&name, Reduce { kind, axis }, &[id])?;
        }
        Ok(id)
    }

    /// The result with the reduced axes as the file wants them: gone, or of one element.
    fn kept(
        &mut self,
        node: &Reading<'_>,
        id: ValueId,
        order: Vec<usize>,
        axes: &[usize],
        mut shape: Vec<usize>,
    ) -> Result<Live> {
        let y = Live {
            id,
            order,
            flat: None,
        };
        if node.flag("keepdims", true) {
            return Ok(y);
        }
        for &axis in axes {
            shape[axis] = 1;
        }
        let to = fold::squeezed(&shape, Some(axes));
        self.reshaped(node.name, &y, &to)
    }

    fn largest(&mut self, node: &Reading<'_>) -> Result<Live> {
        let x = self.live(node, 0)?;
        let x = self.settled(node.name, &x)?;
        let shape = self.shape(&x);
        let axis = node.axis(node.int("axis", 0), shape.len())?;
        if node.flag("select_last_index", false) {
            return Err(node.wrong("the last of equals, where wizen takes the first"));
        }
        let place = x.order.iter().position(|&a| a == axis).unwrap_or(axis);
        let mut id = x.id;
        if self.dtype(&x) == DType::F16 {
            let to = DType::F32;
            let name = self.fresh(&format!("{}/f32", node.name));
            id = self
                .graph
                .push(&name, crate::graph::ops::Cast { to }, &[id])?;
        }
        let id = self.graph.push(node.name, ArgMax { axis: place }, &[id])?;
        self.kept(node, id, x.order, &[axis], shape)
    }
}
