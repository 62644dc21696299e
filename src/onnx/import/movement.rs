//! Elements in other places.

use super::{Importer, Live, Operand};
use crate::base::num_elements;
use crate::error::Result;
use crate::graph::ValueId;
use crate::graph::ops::{Binary, Concat, Pad, PadMode, Reshape, Slice, Transpose};
use crate::onnx::array::{Array, checked_shape};
use crate::onnx::attributes::Reading;
use crate::onnx::fold;

/// The most pieces that a list of indices may fall into.
const MAX_PIECES: usize = 64;

impl Importer<'_> {
    pub(super) fn movement(&mut self, node: &Reading<'_>) -> Result<Option<Vec<Live>>> {
        if node.kind() == "Split" {
            return self.split(node).map(Some);
        }
        let one = match node.kind() {
            "Reshape" => {
                let x = self.live(node, 0)?;
                let to = match self.constant(node, 1)? {
                    Some(to) => to.to_i64(),
                    None => node.ints("shape").unwrap_or(&[]).to_vec(),
                };
                let to = fold::target(node, &self.shape(&x), &to)?;
                self.reshaped(node.name, &x, &to)?
            }
            "Flatten" => {
                let x = self.live(node, 0)?;
                let to = fold::flat(node, &self.shape(&x))?;
                self.reshaped(node.name, &x, &to)?
            }
            "Squeeze" => {
                let x = self.live(node, 0)?;
                let shape = self.shape(&x);
                let axes = self.constant(node, 1)?;
                let axes = fold::axes(node, axes.as_deref(), shape.len())?;
                let to = fold::squeezed(&shape, axes.as_deref());
                if num_elements(&to) != num_elements(&shape) {
                    return Err(node.wrong(format!("an axis of {shape:?} that is not 1")));
                }
                self.reshaped(node.name, &x, &to)?
            }
            "Unsqueeze" => {
                let x = self.live(node, 0)?;
                let axes = self.constant(node, 1)?;
                let to = fold::unsqueezed(node, &self.shape(&x), axes.as_deref())?;
                self.reshaped(node.name, &x, &to)?
            }
            "Transpose" => {
                let x = self.live(node, 0)?;
                let x = self.settled(node.name, &x)?;
                let order = fold::permutation(node, x.order.len())?;
                // Axis i of the result is axis order[i] of x.
                let place = |axis: &usize| order.iter().position(|a| a == axis);
                Live {
                    order: x.order.iter().filter_map(place).collect(),
                    ..x
                }
            }
            "Concat" => self.concat(node)?,
            "Slice" => {
                let x = self.live(node, 0)?;
                let shape = self.shape(&x);
                let mut operands = Vec::new();
                for i in 1..5 {
                    operands.push(self.constant(node, i)?.map(|array| array.to_i64()));
                }
                let operand = |i: usize| operands.get(i - 1).cloned().flatten();
                let taken = fold::slices(node, &shape, operand)?;
                self.slice(node, node.name, &x, &taken)?
            }
            "Gather" => self.gather(node)?,
            "Pad" => self.pad(node)?,
            "Expand" => {
                let x = self.live(node, 0)?;
                let shape = self.shape(&x);
                let to = checked_shape(&self.required(node, 1)?.to_i64())?;
                let to = fold::broadcast(node, &shape, &to)?;
                self.expanded(node, &x, &to)?
            }
            "Tile" => self.tile(node)?,
            "Resize" | "Upsample" => self.resize(node)?,
            "DepthToSpace" => {
                let x = self.live(node, 0)?;
                let block = usize::try_from(node.int("blocksize", 0)).unwrap_or(0);
                let by_channel = node.text("mode", "DCR") == "CRD";
                let image = self.image(node, &x)?;
                let y = self.pixels_of_channels(node.name, image, [block; 2], by_channel)?;
                self.off_image(node, y, 4)?
            }
            "SpaceToDepth" => self.space_to_depth(node)?,
            _ => return Ok(None),
        };
        Ok(Some(vec![one]))
    }

    fn concat(&mut self, node: &Reading<'_>) -> Result<Live> {
        let mut operands = Vec::new();
        for i in 0..node.proto.input.len() {
            operands.extend(self.operand(node, i)?);
        }
        let mut lives = operands.iter().filter_map(|operand| match operand {
            Operand::Live(live) => Some(live.clone()),
            Operand::Known(_) => None,
        });
        let first = lives
            .next()
            .ok_or_else(|| node.wrong("it has no operands"))?;
        let largest = lives.fold(first, |a, b| {
            let elements = |live: &Live| num_elements(&self.shape(live));
            if elements(&b) > elements(&a) { b } else { a }
        });
        let largest = self.settled(node.name, &largest)?;
        let order = largest.order;
        let axis = node.axis(node.int("axis", 1), order.len())?;
        let mut ids = Vec::new();
        for (i, operand) in operands.iter().enumerate() {
            ids.push(match operand {
                Operand::Live(live) => {
                    if live.order.len() != order.len() {
                        return Err(node.wrong("its operands differ in their number of axes"));
                    }
                    self.ordered(node.name, live, &order)?
                }
                Operand::Known(array) => {
                    if array.shape.len() != order.len() {
                        return Err(node.wrong("its operands differ in their number of axes"));
                    }
                    let name = self.operand_name(node, i);
                    let dtype = self.graph.value(largest.id).dtype;
                    let make = || array.transposed(&order).tensor(dtype);
                    self.param(&name, &format!("part {order:?} {dtype}"), make)?
                }
            });
        }
        if let &[only] = ids.as_slice() {
            return Ok(Live {
                id: only,
                order,
                flat: None,
            });
        }
        let at = order.iter().position(|&a| a == axis).unwrap_or(axis);
        self.push(node.name, Concat { axis: at }, &ids, order)
    }

    /// What `[start, step, size]` along every axis (of the file) takes.
    fn slice(
        &mut self,
        node: &Reading<'_>,
        name: &str,
        x: &Live,
        taken: &[[i64; 3]],
    ) -> Result<Live> {
        let shape = self.shape(x);
        if taken.iter().any(|t| t[2] < 1) {
            return Err(node.wrong(format!("it takes nothing of {shape:?}")));
        }
        if taken
            .iter()
            .zip(&shape)
            .all(|(t, &size)| *t == [0, 1, size as i64])
        {
            return Ok(x.clone());
        }
        if taken.iter().any(|t| t[1] < 0) {
            return Err(node.wrong("it runs backwards through an axis"));
        }
        let x = self.settled(name, x)?;
        let batch = x.order[0];
        if taken[batch] != [0, 1, shape[batch] as i64] {
            return Err(node.wrong("it takes a part of the batch"));
        }
        let of = |i: usize| -> Vec<usize> {
            let stored = x.order.iter().map(|&axis| taken[axis][i] as usize);
            stored.collect()
        };
        let op = Slice {
            start: of(0),
            step: of(1),
            size: of(2),
        };
        self.push(name, op, &[x.id], x.order.clone())
    }

    fn split(&mut self, node: &Reading<'_>) -> Result<Vec<Live>> {
        let x = self.live(node, 0)?;
        let shape = self.shape(&x);
        let axis = node.axis(node.int("axis", 0), shape.len())?;
        let sizes = self.constant(node, 1)?;
        let parts = fold::parts(node, sizes.as_deref(), shape[axis])?;
        let mut start = 0;
        let mut out = Vec::new();
        for (i, size) in parts.into_iter().enumerate() {
            let mut taken: Vec<[i64; 3]> = shape.iter().map(|&n| [0, 1, n as i64]).collect();
            taken[axis] = [start, 1, size as i64];
            start += size as i64;
            let name = match i {
                0 => node.name.to_owned(),
                i => self.fresh(&format!("{}:{i}", node.name)),
            };
            out.push(self.slice(node, &name, &x, &taken)?);
        }
        Ok(out)
    }

    /// Constant indices along an axis: runs of them, put together.
    fn gather(&mut self, node: &Reading<'_>) -> Result<Live> {
        let x = self.live(node, 0)?;
        let shape = self.shape(&x);
        let axis = node.axis(node.int("axis", 0), shape.len())?;
        let indices = self.required(node, 1)?;
        let size = shape[axis] as i64;
        let mut runs: Vec<[i64; 3]> = Vec::new();
        for i in indices.to_i64() {
            let i = if i < 0 { i + size } else { i };
            if !(0..size).contains(&i) {
                return Err(node.wrong(format!("index {i} of {size} elements")));
            }
            match runs.last_mut() {
                Some(run) if run[2] == 1 && i > run[0] => *run = [run[0], i - run[0], 2],
                Some(run) if i == run[0] + run[1] * run[2] && run[2] > 1 => run[2] += 1,
                _ => runs.push([i, 1, 1]),
            }
        }
        if runs.is_empty() || runs.len() > MAX_PIECES {
            let problem = format!("{} indices in no order; wizen gathers runs", indices.len());
            return Err(node.wrong(problem));
        }
        let mut parts = Vec::new();
        let single = runs.len() == 1;
        for run in runs {
            let mut taken: Vec<[i64; 3]> = shape.iter().map(|&n| [0, 1, n as i64]).collect();
            taken[axis] = run;
            let name = match single {
                true => node.name.to_owned(),
                false => self.fresh(&format!("{}/part", node.name)),
            };
            parts.push(self.slice(node, &name, &x, &taken)?);
        }
        let mut to = shape.clone();
        to[axis] = indices.len();
        let mut all = parts.remove(0);
        if !parts.is_empty() {
            let order = all.order.clone();
            let at = order.iter().position(|&a| a == axis).unwrap_or(axis);
            let mut ids = vec![all.id];
            ids.extend(parts.iter().map(|part| part.id));
            all = self.push(node.name, Concat { axis: at }, &ids, order)?;
        }
        to.splice(axis..=axis, indices.shape.iter().copied());
        self.reshaped(node.name, &all, &to)
    }

    fn pad(&mut self, node: &Reading<'_>) -> Result<Live> {
        let x = self.live(node, 0)?;
        let x = self.settled(node.name, &x)?;
        let shape = self.shape(&x);
        let rank = shape.len();
        let list = match node.opset < 11 {
            true => node
                .ints("pads")
                .or(node.ints("paddings"))
                .map(<[i64]>::to_vec),
            false => self.constant(node, 1)?.map(|array| array.to_i64()),
        };
        let list = list.ok_or_else(|| node.wrong("it does not say how much"))?;
        let value = match node.opset < 11 {
            true => node.float("value", 0.0)?,
            false => self
                .constant(node, 2)?
                .and_then(|c| c.scalar())
                .unwrap_or(0.0),
        };
        let axes = match self.constant(node, 3)? {
            Some(axes) => fold::axes(node, Some(&axes), rank)?.unwrap_or_default(),
            None => (0..rank).collect(),
        };
        if list.len() != 2 * axes.len() {
            return Err(node.wrong(format!("{} pads for {} axes", list.len(), axes.len())));
        }
        let mode = match node.text("mode", "constant") {
            "constant" => PadMode::Constant,
            "edge" => PadMode::Edge,
            "reflect" => PadMode::Reflect,
            "wrap" => PadMode::Wrap,
            other => return Err(node.wrong(format!("`mode` is {other}"))),
        };
        // Fewer than none: taken away.
        let mut taken: Vec<[i64; 3]> = shape.iter().map(|&n| [0, 1, n as i64]).collect();
        let (mut before, mut after) = (vec![0; rank], vec![0; rank]);
        for (i, &axis) in axes.iter().enumerate() {
            let (b, a) = (list[i], list[i + axes.len()]);
            if b.min(a) < -(1 << 30) {
                return Err(node.wrong(format!("pads of {b} and {a}")));
            }
            let size = shape[axis] as i64 + b.min(0) + a.min(0);
            taken[axis] = [(-b).max(0), 1, size];
            let place = x.order.iter().position(|&k| k == axis).unwrap_or(axis);
            before[place] = usize::try_from(b.max(0)).unwrap_or(usize::MAX);
            after[place] = usize::try_from(a.max(0)).unwrap_or(usize::MAX);
        }
        let x = match taken.iter().all(|t| t[0] == 0) && list.iter().all(|&n| n >= 0) {
            true => x,
            false => {
                let name = self.fresh(&format!("{}/crop", node.name));
                self.slice(node, &name, &x, &taken)?
            }
        };
        if before.iter().chain(&after).all(|&n| n == 0) {
            return Ok(x);
        }
        let image = x.order == [0, 2, 3, 1];
        let around = [
            before[1 % rank],
            before[2 % rank],
            after[1 % rank],
            after[2 % rank],
        ];
        let frame = image && before[3] == 0 && after[3] == 0;
        if mode != PadMode::Constant && !frame {
            return Err(node.wrong("only rows and columns of images can be continued at the edge"));
        }
        let zeros = mode == PadMode::Constant && value == 0.0 && frame;
        let op = Pad {
            before,
            after,
            value,
            mode,
        };
        let y = self.push(node.name, op, &[x.id], x.order)?;
        if zeros {
            self.padded.insert(y.id, (x.id, around));
        }
        Ok(y)
    }

    /// `x` broadcast to a shape.
    fn expanded(&mut self, node: &Reading<'_>, x: &Live, to: &[usize]) -> Result<Live> {
        let x = self.with_rank(node.name, x, to.len())?;
        if self.shape(&x) == to {
            return Ok(x);
        }
        let stored: Vec<usize> = x.order.iter().map(|&axis| to[axis]).collect();
        let dtype = self.dtype(&x);
        let zeros = Array::float(&stored, vec![0.0; num_elements(&stored)]).tensor(dtype)?;
        let name = self.fresh(&format!("{}/zeros", node.name));
        let zeros = self.graph.param(&name, zeros);
        self.push(node.name, Binary::ADD, &[x.id, zeros], x.order)
    }

    fn tile(&mut self, node: &Reading<'_>) -> Result<Live> {
        let x = self.live(node, 0)?;
        let mut x = self.settled(node.name, &x)?;
        let repeats = self.required(node, 1)?.to_i64();
        if repeats.len() != x.order.len() {
            return Err(node.wrong("its repeats are not one for each axis"));
        }
        for (axis, &count) in repeats.iter().enumerate() {
            if !(1..=MAX_PIECES as i64).contains(&count) {
                return Err(node.wrong(format!("{count} repeats")));
            }
            if count > 1 {
                let at = x.order.iter().position(|&a| a == axis).unwrap_or(axis);
                let ids = vec![x.id; count as usize];
                let name = self.fresh(&format!("{}/axis {axis}", node.name));
                x = self.push(&name, Concat { axis: at }, &ids, x.order)?;
            }
        }
        Ok(x)
    }

    /// `[n, h, w, o · by · bx]` to `[n, h · by, w · bx, o]`; channels ordered `(o, y, x)`, or `(y, x, o)`
    /// where not `by_channel`.
    pub(super) fn pixels_of_channels(
        &mut self,
        name: &str,
        image: ValueId,
        [by, bx]: [usize; 2],
        by_channel: bool,
    ) -> Result<ValueId> {
        if by * bx == 1 {
            return Ok(image);
        }
        let shape = self.graph.value(image).shape.clone();
        let wrong = || crate::Error::invalid(name, format!("blocks of {by} x {bx} of {shape:?}"));
        let blocks = by.checked_mul(bx).filter(|&n| n > 0).ok_or_else(wrong)?;
        if !shape[3].is_multiple_of(blocks) {
            return Err(wrong());
        }
        let [h, w, o] = [shape[1], shape[2], shape[3] / blocks];
        let (apart, order) = match by_channel {
            true => ([0, h, w, o, by, bx], [0, 1, 4, 2, 5, 3]),
            false => ([0, h, w, by, bx, o], [0, 1, 3, 2, 4, 5]),
        };
        let apart = Reshape { to: apart.to_vec() };
        let [a, b, c] = ["split", "transpose", "merge"].map(|n| format!("{name}/{n}"));
        let [a, b, c] = [self.fresh(&a), self.fresh(&b), self.fresh(&c)];
        let x = self.graph.push(&a, apart, &[image])?;
        let order = order.to_vec();
        let x = self.graph.push(&b, Transpose { order }, &[x])?;
        let to = vec![0, h * by, w * bx, o];
        self.graph.push(&c, Reshape { to }, &[x])
    }

    fn space_to_depth(&mut self, node: &Reading<'_>) -> Result<Live> {
        let x = self.live(node, 0)?;
        let image = self.image(node, &x)?;
        let shape = self.graph.value(image).shape.clone();
        let b = usize::try_from(node.int("blocksize", 0)).unwrap_or(0);
        if b == 0 || !shape[1].is_multiple_of(b) || !shape[2].is_multiple_of(b) {
            return Err(node.wrong(format!("blocks of {b} of {shape:?}")));
        }
        let [h, w, c] = [shape[1] / b, shape[2] / b, shape[3]];
        let names = ["split", "transpose", "merge"].map(|n| format!("{}/{n}", node.name));
        let [n0, n1, n2] = names.map(|n| self.fresh(&n));
        let to = vec![0, h, b, w, b, c];
        let x = self.graph.push(&n0, Reshape { to }, &[image])?;
        // Channels outermost among those of a pixel, or innermost.
        let order = match node.text("mode", "DCR") {
            "CRD" => vec![0, 1, 3, 5, 2, 4],
            _ => vec![0, 1, 3, 2, 4, 5],
        };
        let x = self.graph.push(&n1, Transpose { order }, &[x])?;
        let to = vec![0, h, w, b * b * c];
        let y = self.graph.push(&n2, Reshape { to }, &[x])?;
        self.off_image(node, y, 4)
    }
}
