//! Losses, learning rates by name, and runs that are stopped and go on.

use std::sync::{Arc, Mutex};

use wizen::base::{Rng, Tensor};
use wizen::compress::{
    Checkpoint, Control, Fit, FitOptions, Job, LrGroup, PruneOptions, QuantizeOptions, Update,
    prune, qat, train,
};
use wizen::data::Data;
use wizen::graph::{Device, Graph, ValueId, backward};
use wizen::io::{RunOptions, load_state, save_state};
use wizen::prune::Scope;
use wizen::train::{Distillation, Loss, Optimizer};
use wizen::{Error, Network, Result, TrainState};

use crate::training::{Toy, devices, fit, random_net, run, toy, trained, values};

fn logits(network: &Network, image: &Tensor) -> Tensor {
    run(&Device::Cpu, &network.graph, &[image]).swap_remove(0)
}

/// Statistics of batches differ from those that the teacher uses.
fn steady(options: FitOptions, loss: Loss) -> FitOptions {
    FitOptions {
        batch_statistics: false,
        loss,
        ..options
    }
}

fn distill(teacher: &Network, values: &[&str]) -> Loss {
    Loss::Distill(Distillation {
        teacher: teacher.graph.clone(),
        temperature: 2.0,
        values: values.iter().map(|name| (*name).to_owned()).collect(),
    })
}

#[test]
fn a_student_follows_its_teacher() {
    let (student, teacher) = (random_net(3), random_net(4));
    let mut wanted = toy(16);
    let own = wanted.images.iter().map(|image| logits(&teacher, image));
    wanted.wanted = Some(own.collect());
    let plain = toy(16);
    let both = Loss::Sum(vec![
        (0.5, distill(&teacher, &[])),
        (2.0, distill(&teacher, &["relu"])),
    ]);
    let losses = [
        ("mean square", Loss::MeanSquare, &wanted),
        ("outputs", distill(&teacher, &[]), &plain),
        (
            "outputs and one inside",
            distill(&teacher, &["relu"]),
            &plain,
        ),
        ("both, weighted", both, &plain),
    ];
    for device in devices() {
        let mut first = Vec::new();
        for (name, loss, data) in &losses {
            let loss_after = |epochs, lr| -> (Network, Fit) {
                let options = steady(fit(epochs, lr, 16), loss.clone());
                trained(&device, &student, data, &options)
            };
            // One step on everything: the loss before it.
            let before = loss_after(1, 0.0).1.loss;
            let (made, after) = loss_after(300, 0.02);
            assert!(
                after.loss < before / 20.0,
                "{name}: {before} to {}",
                after.loss
            );
            first.push(before);
            let (mut near, mut far) = (0.0, 0.0);
            for image in &data.images {
                let want = logits(&teacher, image).to_f64();
                for (network, sum) in [(&made, &mut near), (&student, &mut far)] {
                    let got = logits(network, image).to_f64();
                    // Softmax does not see what all logits have in common.
                    let mean = |x: &[f64]| x.iter().sum::<f64>() / x.len() as f64;
                    let off = got.iter().zip(&want);
                    let off = off.map(|(g, w)| (g - mean(&got) - w + mean(&want)).powi(2));
                    *sum += off.sum::<f64>();
                }
            }
            assert!(near < far / 10.0, "{name}: {near} of {far}");
        }
        // A sum is what its parts are, weighted, and the parts have something in common.
        let want = 0.5 * f64::from(first[1]) + 2.0 * f64::from(first[2]);
        assert!(
            (f64::from(first[3]) - want).abs() < 1e-6 * want,
            "{first:?}"
        );
        assert!(first[2] > first[1]);
    }
}

#[test]
fn the_gradient_of_a_sum_is_the_sum_of_gradients() {
    let (student, teacher) = (random_net(5), random_net(6));
    let student = student.graph.with_batch(4).expect("a batch");
    let teacher = Network::new("teacher", teacher.graph);
    let parts = [
        (0.75f32, Loss::CrossEntropy),
        (-3.0, distill(&teacher, &["conv"])),
        (0.125, Loss::MeanSquare),
    ];
    let (data, mut rng) = (toy(4), Rng::new(9));
    let x = data.inputs(&[0, 1, 2, 3]).expect("in range").swap_remove(0);
    let labels = data
        .targets(&[0, 1, 2, 3])
        .expect("in range")
        .swap_remove(0);
    let wanted = crate::training::uniform(&[4, 3], -1.0, 1.0, &mut rng);
    let names = ["conv.weight", "conv.bias", "bn.weight", "fc.weight"];
    let gradients = |device: &Device, loss: &Loss| -> Vec<Vec<f64>> {
        let mut graph: Graph = student.clone();
        let scalar = loss.append(&mut graph).expect("fits");
        let params: Vec<ValueId> = names.map(|n| graph.find(n).expect("there")).to_vec();
        let found = backward(&mut graph, scalar, &params).expect("differentiable");
        graph.set_outputs(params.iter().map(|p| found[p]).collect());
        let inputs: Vec<&Tensor> = graph
            .inputs()
            .iter()
            .map(|&id| match graph.value(id).name.as_str() {
                "images" => &x,
                "labels" => &labels,
                "wanted" => &wanted,
                other => panic!("`{other}` is no input"),
            })
            .collect();
        let out = run(device, &graph, &inputs);
        out.iter().map(Tensor::to_f64).collect()
    };
    for device in devices() {
        let got = gradients(&device, &Loss::Sum(parts.to_vec()));
        let each: Vec<_> = parts
            .iter()
            .map(|(factor, part)| (f64::from(*factor), gradients(&device, part)))
            .collect();
        for (i, name) in names.iter().enumerate() {
            let largest = |g: &[f64]| g.iter().fold(0.0, |max: f64, x| max.max(x.abs()));
            let scale: f64 = each.iter().map(|(f, g)| f.abs() * largest(&g[i])).sum();
            for (e, got) in got[i].iter().enumerate() {
                let want: f64 = each.iter().map(|(f, g)| f * g[i][e]).sum();
                // The same products in another order: some hundred roundings of the largest terms.
                let off = 512.0 * scale / f64::from(1 << 24);
                assert!(
                    (got - want).abs() <= off,
                    "{name}[{e}]: {got}, {want} ± {off:e}"
                );
            }
            for (f, g) in &each {
                assert!(
                    f.abs() * largest(&g[i]) > 1e-3 * scale,
                    "{name}: a part without a say"
                );
            }
        }
    }
}

#[test]
fn what_cannot_be_learned_is_a_sentence() {
    let (student, data) = (random_net(7), toy(8));
    let says = |options: &FitOptions, words: &str| {
        let result = pollster::block_on(train(&Job::new(&Device::Cpu), &student, &data, options));
        let error = result.expect_err(words).to_string();
        assert!(error.contains(words), "{error}");
    };
    let with = |loss| steady(fit(1, 0.1, 4), loss);
    says(&with(Loss::Sum(Vec::new())), "no losses");
    says(&with(distill(&student, &["nowhere"])), "nowhere");
    let mut two = student.clone();
    two.graph.output(two.graph.find("relu").expect("there"));
    says(&with(distill(&two, &[])), "another number of results");
    // Labels are given, this takes labels and what is wanted.
    let both = Loss::Sum(vec![(1.0, Loss::CrossEntropy), (1.0, Loss::MeanSquare)]);
    says(&with(both), "the loss takes 2");
    let group = |prefix: &str, lr_factor| FitOptions {
        groups: vec![LrGroup {
            prefix: prefix.into(),
            lr_factor,
        }],
        ..fit(1, 0.1, 4)
    };
    says(&group("cnov", 0.5), "`cnov`");
    says(&group("conv", -1.0), "-1");
}

#[test]
fn a_learning_rate_of_nothing_changes_nothing() {
    let (start, data) = (random_net(8), toy(8));
    for device in devices() {
        for optimizer in [Optimizer::SGD, Optimizer::ADAM, Optimizer::ADAMW] {
            let group = |prefix: &str, lr_factor| LrGroup {
                prefix: prefix.into(),
                lr_factor,
            };
            let options = FitOptions {
                optimizer,
                weight_decay: 0.1,
                groups: vec![group("conv", 0.0), group("fc", 0.0), group("fc.bias", 0.5)],
                ..fit(3, 0.02, 4)
            };
            let (made, _) = trained(&device, &start, &data, &options);
            let bits = |network: &Network, name: &str| -> Vec<u64> {
                values(network, name).iter().map(|x| x.to_bits()).collect()
            };
            for name in ["conv.weight", "conv.bias", "fc.weight"] {
                assert_eq!(
                    bits(&made, name),
                    bits(&start, name),
                    "{name} {optimizer:?}"
                );
            }
            for name in ["bn.weight", "bn.bias", "bn.running_mean", "fc.bias"] {
                assert_ne!(
                    bits(&made, name),
                    bits(&start, name),
                    "{name} {optimizer:?}"
                );
            }
        }
    }
}

/// Every parameter and mask, bit for bit.
fn contents(network: &Network) -> Vec<(String, Vec<u32>, Option<Vec<u32>>)> {
    let graph = &network.graph;
    let params = graph.values().filter_map(|(id, value)| {
        let mask = graph.mask(id).map(|mask| mask.words().to_vec());
        let tensor = graph.tensor(id)?;
        Some((value.name.clone(), tensor.words().to_vec(), mask))
    });
    params.collect()
}

type Work<'a> = &'a dyn Fn(&Job<'_>, &FitOptions) -> Result<(Network, Option<Fit>)>;

/// A run in one go, and the same stopped after `stop` steps and taken up again, through a file.
fn stopped_and_resumed(
    device: &Device,
    what: &str,
    work: Work<'_>,
    options: &FitOptions,
    stop: usize,
) {
    let (whole, whole_fit) = work(&Job::new(device), options).expect(what);
    let kept: Arc<Mutex<Vec<TrainState>>> = Arc::default();
    let keep = |every| {
        let kept = Arc::clone(&kept);
        let save = move |state: &TrainState| {
            kept.lock().expect("not poisoned").push(state.clone());
            Ok(())
        };
        let checkpoint = Checkpoint {
            every,
            save: Arc::new(save),
        };
        FitOptions {
            checkpoint: Some(checkpoint),
            ..options.clone()
        }
    };
    let watch = |update: Update<'_>| match update.stage.starts_with(what) && update.done == stop {
        true => Control::Stop,
        false => Control::Continue,
    };
    let error = work(&Job::watched(device, watch), &keep(3)).expect_err("it was stopped");
    assert!(matches!(&error, Error::Stopped(_)), "{what}: {error}");
    let states = std::mem::take(&mut *kept.lock().expect("not poisoned"));
    let steps: Vec<usize> = states.iter().map(|state| state.step).collect();
    let every: Vec<usize> = (1..=stop).filter(|s| s % 3 == 0 || *s == stop).collect();
    assert_eq!(steps, every, "{what}: when the state was kept");

    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = dir.path().join("state.safetensors");
    for state in &states {
        let run = RunOptions::from([("--lr".to_owned(), "0.5".to_owned())]);
        save_state(&path, state, &run).expect("writable");
        let (read, options_read) = load_state(&path).expect("readable");
        assert_eq!(
            (read.step, read.unread, &options_read),
            (state.step, state.unread, &run)
        );
        let sorted = |state: &TrainState| {
            let mut tensors = state.tensors.clone();
            tensors.sort_by(|a, b| a.0.cmp(&b.0));
            tensors
        };
        assert_eq!(sorted(&read), sorted(state), "{what}");
        let resumed = FitOptions {
            resume: Some(read),
            ..options.clone()
        };
        let (again, again_fit) = work(&Job::new(device), &resumed).expect(what);
        assert_eq!(
            contents(&again),
            contents(&whole),
            "{what}, from step {}",
            state.step
        );
        let loss = |fit: &Option<Fit>| fit.map(|fit| fit.loss.to_bits());
        assert_eq!(loss(&again_fit), loss(&whole_fit), "{what}: the loss");
    }
    // The state counts: another one gives another network.
    let mut other = states[0].clone();
    other.step += 1;
    let resume = |state| FitOptions {
        resume: Some(state),
        ..options.clone()
    };
    let (again, _) = work(&Job::new(device), &resume(other.clone())).expect(what);
    assert_ne!(
        contents(&again),
        contents(&whole),
        "{what}: the state says nothing"
    );
    other.tensors.truncate(other.tensors.len() - 1);
    let error = work(&Job::new(device), &resume(other.clone())).expect_err("incomplete");
    assert!(error.to_string().contains("another run"), "{error}");
    other.step = 1000;
    let error = work(&Job::new(device), &resume(other)).expect_err("too far");
    assert!(error.to_string().contains("1000 steps"), "{error}");
}

#[test]
fn a_run_that_was_stopped_goes_on_bit_for_bit() {
    let (start, data): (Network, Toy) = (random_net(10), toy(17));
    let options = fit(4, 0.02, 4);
    for device in devices() {
        let learn: Work<'_> = &|job, options| {
            let (made, fit) = pollster::block_on(train(job, &start, &data, options))?;
            Ok((made, Some(fit)))
        };
        for optimizer in [Optimizer::SGD, Optimizer::ADAM] {
            let options = FitOptions {
                optimizer,
                ..options.clone()
            };
            stopped_and_resumed(&device, "train", learn, &options, 8);
        }
        let thin: Work<'_> = &|job, options| {
            let options = PruneOptions {
                sparsity: 0.6,
                scope: Scope::Global,
                cubic: true,
                multiple: 4,
                fit: Some(options.clone()),
            };
            pollster::block_on(prune(job, &start, Some(&data), &options))
        };
        stopped_and_resumed(&device, "prune", thin, &options, 7);
        let round: Work<'_> = &|job, options| {
            let settings = QuantizeOptions::default();
            let (made, fit) = pollster::block_on(qat(job, &start, &data, &settings, options))?;
            Ok((made.network, Some(fit)))
        };
        stopped_and_resumed(&device, "qat", round, &options, 8);
    }
}
