//! Windows without weights, and means of whole images.

use super::layers::{Window, pair, spatial};
use super::{Importer, Live};
use crate::error::Result;
use crate::graph::ops::{AvgPool, GlobalAvgPool, MaxPool, Pad, PadMode};
use crate::graph::{Op, ValueId};
use crate::kernels::Pool;
use crate::onnx::attributes::Reading;

impl Importer<'_> {
    pub(super) fn pooling(&mut self, node: &Reading<'_>) -> Result<Option<Live>> {
        Ok(Some(match node.kind() {
            "MaxPool" | "AveragePool" => self.pool(node)?,
            "GlobalAveragePool" => self.global_mean(node)?,
            "GlobalMaxPool" => {
                let x = self.live(node, 0)?;
                let shape = self.shape(&x);
                let [h, w] = spatial(node, &shape)?;
                let image = self.image(node, &x)?;
                let pool = Pool::whole(h, w);
                let y = self.graph.push(node.name, MaxPool { pool }, &[image])?;
                self.off_image(node, y, shape.len())?
            }
            _ => return Ok(None),
        }))
    }

    fn pool(&mut self, node: &Reading<'_>) -> Result<Live> {
        let x = self.live(node, 0)?;
        let shape = self.shape(&x);
        let size = spatial(node, &shape)?;
        let axes = shape.len() - 2;
        if !node.has("kernel_shape") {
            return Err(node.wrong("it has no `kernel_shape`"));
        }
        if node
            .proto
            .output
            .get(1)
            .is_some_and(|name| !name.is_empty())
        {
            return Err(node.wrong("the places of the largest elements, which wizen does not give"));
        }
        let kernel = pair(node, "kernel_shape", axes, 1)?;
        let window = Window::read(node, axes, kernel, size)?;
        let max = node.kind() == "MaxPool";
        let mut pool = Pool {
            kernel,
            stride: window.stride,
            padding: window.padding,
            dilation: window.dilation,
            ceil_mode: node.flag("ceil_mode", false),
            count_include_pad: node.flag("count_include_pad", false),
        };
        let mut image = self.image(node, &x)?;
        let wide = (0..4).any(|i| {
            let extent = (kernel[i % 2].max(1) - 1) * pool.dilation[i % 2] + 1;
            pool.padding[i] > extent / 2
        });
        if wide && (max || pool.count_include_pad) {
            // More padding than half a window: elements of their own.
            image = self.framed(node, image, pool.padding, if max { f32::MIN } else { 0.0 })?;
            pool.padding = [0; 4];
        }
        let op: Op = match max {
            true => MaxPool { pool }.into(),
            false => AvgPool { pool }.into(),
        };
        let y = self.graph.push(node.name, op, &[image])?;
        self.off_image(node, y, shape.len())
    }

    /// An image with `value` around it: above, left, below, right.
    pub(super) fn framed(
        &mut self,
        node: &Reading<'_>,
        image: ValueId,
        [top, left, bottom, right]: [usize; 4],
        value: f32,
    ) -> Result<ValueId> {
        let op = Pad {
            before: vec![0, top, left, 0],
            after: vec![0, bottom, right, 0],
            value,
            mode: PadMode::Constant,
        };
        let name = self.fresh(&format!("{}/pad", node.name));
        self.graph.push(&name, op, &[image])
    }

    /// The mean of every channel: `[n, c]` here, `[n, c, 1, 1]` in the file.
    pub(super) fn global_mean(&mut self, node: &Reading<'_>) -> Result<Live> {
        let x = self.live(node, 0)?;
        let shape = self.shape(&x);
        spatial(node, &shape)?;
        let image = self.image(node, &x)?;
        let y = self.push(node.name, GlobalAvgPool, &[image], vec![0, 1])?;
        let mut kept = vec![shape[0], shape[1]];
        kept.resize(shape.len(), 1);
        self.reshaped(node.name, &y, &kept)
    }
}
