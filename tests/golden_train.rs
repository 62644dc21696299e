//! Optimisers step by step, and a network in training.

use std::collections::BTreeMap;

use wizen::base::{DType, Tensor};
use wizen::graph::ops::SoftmaxCrossEntropy;
use wizen::graph::{Device, backward, lower};
use wizen::kernels::optimizer::{Adam, Sgd};
use wizen::models::{Weights, build};
use wizen::train::{Loss, Optimizer, ParamGroup, Trainer};

use crate::golden::{Outputs, run_kernel};
use crate::golden_array::Array;
use crate::golden_case::{CaseResult, Reader};

pub fn sgd(case: &Reader, device: &Device) -> CaseResult<Outputs> {
    let w0 = case.input("w0")?;
    let lr = Tensor::from_f32(&[1], &[case.number("lr")? as f32]).map_err(|e| e.to_string())?;
    let kernel = Sgd {
        len: w0.len(),
        momentum: case.number_or("momentum", 0.0)? as f32,
        weight_decay: case.number_or("weight_decay", 0.0)? as f32,
        nesterov: case.flag("nesterov")?,
    };
    let mut state = BTreeMap::from([
        ("w".to_owned(), w0.f32()),
        ("v".to_owned(), Tensor::zeros(&w0.shape, DType::F32)),
    ]);
    let mut found = Outputs::new();
    for (step, g) in case.numbered("g", 1)?.into_iter().enumerate() {
        let given = [
            ("w", state["w"].clone()),
            ("g", g.f32()),
            ("v", state["v"].clone()),
            ("lr", lr.clone()),
        ];
        state = run_kernel(device, kernel.clone(), &given)?;
        found.insert(format!("w{}", step + 1), Array::of(&state["w"]));
    }
    Ok(found)
}

pub fn adam(case: &Reader, device: &Device) -> CaseResult<Outputs> {
    let w0 = case.input("w0")?;
    let lr = case.number("lr")? as f32;
    let (beta1, beta2) = (case.number("beta1")? as f32, case.number("beta2")? as f32);
    let eps = case.number("eps")? as f32;
    let decoupled = case.op() == "optimizer_adamw";
    let weight_decay = case.number_or("weight_decay", 0.0)? as f32;
    let kernel = Adam {
        len: w0.len(),
        beta1,
        beta2,
        eps,
        weight_decay,
        decoupled,
    };
    let optimizer = Optimizer::Adam {
        beta1,
        beta2,
        eps,
        decoupled,
    };
    let zeros = Tensor::zeros(&w0.shape, DType::F32);
    let mut state = BTreeMap::from([
        ("w".to_owned(), w0.f32()),
        ("m".to_owned(), zeros.clone()),
        ("v".to_owned(), zeros),
    ]);
    let mut found = Outputs::new();
    for (step, g) in case.numbered("g", 1)?.into_iter().enumerate() {
        let hyper = optimizer.hyper(lr, step as u32 + 1);
        let given = [
            ("w", state["w"].clone()),
            ("g", g.f32()),
            ("m", state["m"].clone()),
            ("v", state["v"].clone()),
            (
                "step",
                Tensor::from_f32(&[3], &hyper).map_err(|e| e.to_string())?,
            ),
        ];
        state = run_kernel(device, kernel.clone(), &given)?;
        found.insert(format!("w{}", step + 1), Array::of(&state["w"]));
    }
    Ok(found)
}

/// A parameter of LeNet-5 in wizen's layout. The columns of `fc1` are pixels of 16 channels, in CHW order
/// there and in HWC order here.
fn to_wizen(name: &str, array: &Array) -> Array {
    match (name, array.shape.as_slice()) {
        (_, [_, _, _, _]) => array.channels_last(),
        ("fc1.weight", &[n, k]) => array
            .clone()
            .reshaped(&[n, 16, 5, 5])
            .channels_last()
            .reshaped(&[n, k]),
        _ => array.clone(),
    }
}

fn to_torch(name: &str, array: &Array) -> Array {
    match (name, array.shape.as_slice()) {
        (_, [_, _, _, _]) => array.channels_first(),
        ("fc1.weight", &[n, k]) => array
            .clone()
            .reshaped(&[n, 5, 5, 16])
            .channels_first()
            .reshaped(&[n, k]),
        _ => array.clone(),
    }
}

/// First step's logits and gradients from `backward`, every step's loss from the trainer.
pub fn lenet5(case: &Reader, device: &Device) -> CaseResult<Outputs> {
    let images = case.input("x")?.channels_last().f32();
    let labels = case.input("labels")?.u32();
    let (lr, steps) = (case.number("lr")? as f32, case.count("steps")?);
    let momentum = case.number("momentum")? as f32;
    let params = case.prefixed("param.");
    let weights: Weights = params
        .iter()
        .map(|(name, w)| ((*name).to_owned(), to_wizen(name, w).f32()))
        .collect();
    let run = async {
        let mut found = Outputs::new();
        let forward = build("lenet5", images.shape()[0], &weights)?;
        let ids: Vec<_> = params
            .keys()
            .map(|name| forward.find(name))
            .collect::<wizen::Result<_>>()?;

        let mut graph = forward.clone();
        let logits = graph.outputs()[0];
        let labels_in = graph.input("labels", DType::U32, labels.shape());
        let loss = graph.push("loss", SoftmaxCrossEntropy, &[logits, labels_in])?;
        let gradients = backward(&mut graph, loss, &ids)?;
        let mut wanted = vec![logits];
        wanted.extend(ids.iter().filter_map(|id| gradients.get(id)));
        graph.set_outputs(wanted);
        let mut executor = device.load(lower(&graph, &device.caps())?).await?;
        let outputs = executor.run(&[&images, &labels]).await?;
        found.insert("logits".to_owned(), Array::of(&outputs[0]));
        let with_gradient = params
            .keys()
            .zip(&ids)
            .filter(|(_, id)| gradients.contains_key(id));
        for ((name, id), gradient) in with_gradient.zip(&outputs[1..]) {
            let shape = &forward.value(*id).shape;
            let gradient = to_torch(name, &Array::of(gradient).reshaped(shape));
            found.insert(format!("grad.{name}"), gradient);
        }

        let optimizer = Optimizer::Sgd {
            momentum,
            nesterov: false,
        };
        let groups = [ParamGroup::weights(ids)];
        let mut forward = forward;
        let loss = Loss::CrossEntropy.append(&mut forward)?;
        let mut trainer = Trainer::new(device, forward, loss, optimizer, &groups).await?;
        let mut losses = Vec::new();
        for _ in 0..steps {
            trainer.step(&[&images, &labels], lr).await?;
            losses.push(f64::from(trainer.mean_loss().await?));
        }
        found.insert("losses".to_owned(), Array::new(&[steps], losses));
        Ok::<_, wizen::Error>(found)
    };
    pollster::block_on(run).map_err(|e| e.to_string())
}
