//! LeNet-5 as PyTorch tutorials write it: two convolutions, three linear layers, ReLU, max-pool.

use super::Weights;
use crate::base::DType;
use crate::error::{Error, Result};
use crate::graph::ops::{Conv2d, Flatten, Linear, MaxPool};
use crate::graph::{Graph, ValueId};
use crate::kernels::map::Unary;
use crate::kernels::{Conv, Pool};

/// Names and shapes of the parameters: OHWI convolutions; `fc1` takes 5 × 5 × 16 features in HWC order.
pub const LENET5_PARAMS: &[(&str, &[usize])] = &[
    ("conv1.weight", &[6, 5, 5, 1]),
    ("conv1.bias", &[6]),
    ("conv2.weight", &[16, 5, 5, 6]),
    ("conv2.bias", &[16]),
    ("fc1.weight", &[120, 400]),
    ("fc1.bias", &[120]),
    ("fc2.weight", &[84, 120]),
    ("fc2.bias", &[84]),
    ("fc3.weight", &[10, 84]),
    ("fc3.bias", &[10]),
];

/// `images [n, 28, 28, 1] → logits [n, 10]`: conv 5×5 pad 2 (1→6), ReLU, max-pool 2, conv 5×5 (6→16),
/// ReLU, max-pool 2, 400→120, ReLU, 120→84, ReLU, 84→10. 61 706 parameters.
///
/// # Errors
/// [`Error::Invalid`] for a missing weight, [`Error::Shape`] for one of another shape or batch 0.
pub fn lenet5(batch: usize, weights: &Weights) -> Result<Graph> {
    let mut graph = Graph::new();
    let mut params: Vec<ValueId> = Vec::new();
    for (name, shape) in LENET5_PARAMS {
        let tensor = weights
            .get(*name)
            .ok_or_else(|| Error::invalid("lenet5", format!("the weight `{name}` is missing")))?;
        if tensor.shape() != *shape {
            return Err(Error::shape(
                "lenet5",
                *name,
                format!("{shape:?}"),
                tensor.shape(),
            ));
        }
        params.push(graph.param(name, tensor.clone()));
    }
    let conv = |padding| Conv2d::new(Conv::square(1, padding, 1, 1)).with(Unary::Relu);
    let pool = Pool::square(2, 2, 0);
    let pool = MaxPool { pool };
    let relu = Linear {
        act: Some(Unary::Relu),
    };
    let x = graph.input("images", DType::F32, &[batch, 28, 28, 1]);
    let x = graph.push("conv1", conv(2), &[x, params[0], params[1]])?;
    let x = graph.push("pool1", pool, &[x])?;
    let x = graph.push("conv2", conv(0), &[x, params[2], params[3]])?;
    let x = graph.push("pool2", pool, &[x])?;
    let x = graph.push("flatten", Flatten, &[x])?;
    let x = graph.push("fc1", relu, &[x, params[4], params[5]])?;
    let x = graph.push("fc2", relu, &[x, params[6], params[7]])?;
    let logits = graph.push("fc3", Linear::default(), &[x, params[8], params[9]])?;
    graph.output(logits);
    Ok(graph)
}
