//! Training as the workflows do it: batch norms that live, and masks.

use std::sync::Arc;

use wizen::Network;
use wizen::base::{DType, Rng, Tensor};
use wizen::compress::{
    Fit, FitOptions, Job, PruneOptions, QuantizeOptions, layer_weights, prune, qat, train,
};
use wizen::data::Data;
use wizen::graph::ops::{BatchNorm, Conv2d, Flatten, Linear, Map};
use wizen::graph::{Device, Graph, lower, optimize};
use wizen::kernels::Conv;
use wizen::kernels::map::Unary;
use wizen::prune::{Scope, mask_to_bools};
use wizen::train::Optimizer;

use crate::harness;

const SIDE: usize = 5;
const CIN: usize = 2;
const COUT: usize = 3;
const K: usize = 3;
const CLASSES: usize = 3;
const OUT: usize = SIDE - K + 1;
/// Half the distance from 1 to the next f32.
const U: f64 = 1.0 / (1u64 << 24) as f64;

pub fn devices() -> Vec<Device> {
    let gpu = harness::gpu().map(Device::Gpu);
    std::iter::once(Device::Cpu).chain(gpu).collect()
}

/// Names and shapes of the parameters of [`net`].
const PARAMS: [(&str, &[usize]); 8] = [
    ("conv.weight", &[COUT, K, K, CIN]),
    ("conv.bias", &[COUT]),
    ("bn.weight", &[COUT]),
    ("bn.bias", &[COUT]),
    ("bn.running_mean", &[COUT]),
    ("bn.running_var", &[COUT]),
    ("fc.weight", &[CLASSES, OUT * OUT * COUT]),
    ("fc.bias", &[CLASSES]),
];

/// Convolution, batch norm, ReLU, linear; `params` by name.
fn net(params: impl Fn(&str, &[usize]) -> Tensor) -> Network {
    let mut g = Graph::new();
    let p = PARAMS.map(|(name, shape)| g.param(name, params(name, shape)));
    let build = |g: &mut Graph| {
        let x = g.input("images", DType::F32, &[1, SIDE, SIDE, CIN]);
        let conv = Conv2d::new(Conv::square(1, 0, 1, 1));
        let x = g.push("conv", conv, &[x, p[0], p[1]])?;
        let norm = BatchNorm { eps: 1e-5 };
        let x = g.push("bn", norm, &[x, p[2], p[3], p[4], p[5]])?;
        let x = g.push("relu", Map { f: Unary::Relu }, &[x])?;
        let x = g.push("flatten", Flatten, &[x])?;
        g.push("fc", Linear { act: None }, &[x, p[6], p[7]])
    };
    let logits = build(&mut g).expect("well formed");
    g.output(logits);
    Network::new("toy", g)
}

pub fn random_net(seed: u64) -> Network {
    net(|name, shape| {
        let mut rng = Rng::new(seed).fork(name.len() as u64 * 31 + u64::from(name.as_bytes()[0]));
        let (low, high) = match name {
            "bn.weight" | "bn.running_var" => (0.5, 1.5),
            _ => (-0.4, 0.4),
        };
        uniform(shape, low, high, &mut rng)
    })
}

pub fn uniform(shape: &[usize], low: f32, high: f32, rng: &mut Rng) -> Tensor {
    let data: Vec<f32> = (0..shape.iter().product())
        .map(|_| rng.range(low, high))
        .collect();
    Tensor::from_f32(shape, &data).expect("as many as the shape says")
}

/// Random images; classes, or anything else to compare with.
pub struct Toy {
    pub images: Vec<Tensor>,
    labels: Vec<u32>,
    /// Instead of the labels.
    pub wanted: Option<Vec<Tensor>>,
}

pub fn toy(len: usize) -> Toy {
    let mut rng = Rng::new(harness::seed()).fork(4);
    let image = |rng: &mut Rng| uniform(&[1, SIDE, SIDE, CIN], -1.5, 2.0, rng);
    Toy {
        images: (0..len).map(|_| image(&mut rng)).collect(),
        labels: (0..len).map(|i| (i % CLASSES) as u32).collect(),
        wanted: None,
    }
}

impl Data for Toy {
    fn name(&self) -> &str {
        "toy"
    }
    fn len(&self) -> usize {
        self.images.len()
    }
    fn inputs(&self, items: &[usize]) -> wizen::Result<Vec<Tensor>> {
        let images = items.iter().map(|&i| &self.images[i]);
        Ok(vec![Tensor::stacked(images)?])
    }
    fn targets(&self, items: &[usize]) -> wizen::Result<Vec<Tensor>> {
        Ok(vec![match &self.wanted {
            Some(wanted) => Tensor::stacked(items.iter().map(|&i| &wanted[i]))?,
            None => {
                let labels: Vec<u32> = items.iter().map(|&i| self.labels[i]).collect();
                Tensor::from_u32(&[labels.len()], &labels)?
            }
        }])
    }
    fn labels(&self) -> Option<&[u32]> {
        Some(&self.labels)
    }
}

pub fn values(network: &Network, name: &str) -> Vec<f64> {
    let id = network.graph.find(name).expect("a parameter");
    network.graph.tensor(id).expect("a parameter").to_f64()
}

pub fn fit(epochs: usize, lr: f32, batch: usize) -> FitOptions {
    FitOptions {
        batch,
        ..FitOptions::new(epochs, lr)
    }
}

pub fn trained(
    device: &Device,
    from: &Network,
    data: &Toy,
    options: &FitOptions,
) -> (Network, Fit) {
    pollster::block_on(train(&Job::new(device), from, data, options)).expect("trains")
}

/// `x ∗ w + b` of the convolution in f64 `[pixel, channel]`, or, of absolute values, what bounds its terms.
fn conv(network: &Network, image: &Tensor, part: fn(f64) -> f64) -> Vec<[f64; COUT]> {
    let of = |name| -> Vec<f64> { values(network, name).into_iter().map(part).collect() };
    let (w, b) = (of("conv.weight"), of("conv.bias"));
    let x: Vec<f64> = image.to_f64().into_iter().map(part).collect();
    let at = |p: usize, o: usize| {
        let mut sum = b[o];
        for tap in 0..K * K * CIN {
            let (ky, kx, c) = (tap / (K * CIN), tap / CIN % K, tap % CIN);
            let (y, column) = (p / OUT + ky, p % OUT + kx);
            sum += x[(y * SIDE + column) * CIN + c] * w[o * K * K * CIN + tap];
        }
        sum
    };
    let pixel = |p| std::array::from_fn(|o| at(p, o));
    (0..OUT * OUT).map(pixel).collect()
}

/// Running statistics after one step on all of these images, by PyTorch's formula, each with what f32 may be off.
fn after_one_step(network: &Network, images: &[Tensor]) -> [Vec<(f64, f64)>; 2] {
    let all = |part| images.iter().flat_map(move |x| conv(network, x, part));
    let (y, terms): (Vec<_>, Vec<_>) = (all(|x| x).collect(), all(f64::abs).collect());
    let n = y.len() as f64;
    let (old_mean, old_var) = (
        values(network, "bn.running_mean"),
        values(network, "bn.running_var"),
    );
    let (mut means, mut vars) = (Vec::new(), Vec::new());
    for c in 0..COUT {
        let largest = terms.iter().map(|t| t[c]).fold(0.0, f64::max);
        // A product has K·K·CIN + 1 terms, a mean n.
        let off = (n + (K * K * CIN) as f64 + 8.0) * U * largest;
        let mean = y.iter().map(|y| y[c]).sum::<f64>() / n;
        let far = y.iter().map(|y| (y[c] - mean).abs()).fold(0.0, f64::max);
        let var = y.iter().map(|y| (y[c] - mean).powi(2)).sum::<f64>() / (n - 1.0);
        let var_off = 2.0 * far * 2.0 * off + (n + 8.0) * U * var;
        let ulps = |old: f64| 4.0 * U * (old.abs() + 1.0);
        means.push((
            0.9 * old_mean[c] + 0.1 * mean,
            0.1 * off + ulps(old_mean[c]),
        ));
        vars.push((
            0.9 * old_var[c] + 0.1 * var,
            0.2 * var_off + ulps(old_var[c]),
        ));
    }
    [means, vars]
}

/// Sizes of a file of PyTorch: `[outer.., inner..]` becomes `[inner.., outer..]` for the two groups named.
fn channels_last(data: &[f32], rows: usize, channels: usize) -> Vec<f32> {
    let plane = data.len() / rows / channels;
    let at = |i: usize| {
        let (row, rest) = (i / (plane * channels), i % (plane * channels));
        data[row * plane * channels + rest % channels * plane + rest / channels]
    };
    (0..data.len()).map(at).collect()
}

#[test]
fn one_step_moves_running_statistics_as_pytorch() {
    let golden: serde_json::Value =
        serde_json::from_str(include_str!("torch/batch_norm_training.json")).expect("JSON");
    let numbers = |value: &serde_json::Value| -> Vec<f32> {
        let list = value.as_array().expect("a list").iter();
        list.map(|x| x.as_f64().expect("a number") as f32).collect()
    };
    let start = net(|name, shape| {
        let data = numbers(&golden["before"][name]);
        let data = match name {
            "conv.weight" => channels_last(&data, COUT, CIN),
            "fc.weight" => channels_last(&data, CLASSES, COUT),
            _ => data,
        };
        Tensor::from_f32(shape, &data).expect("as many as the shape says")
    });
    let x = numbers(&golden["x"]);
    let n = x.len() / (CIN * SIDE * SIDE);
    let x = channels_last(&x, n, CIN);
    let image = |x: &[f32]| Tensor::from_f32(&[1, SIDE, SIDE, CIN], x).expect("fits");
    let mut data = toy(n);
    data.images = x.chunks(CIN * SIDE * SIDE).map(image).collect();
    let by_formula = after_one_step(&start, &data.images);
    for device in devices() {
        let (made, _) = trained(&device, &start, &data, &fit(1, 0.1, n));
        for (name, formula) in ["bn.running_mean", "bn.running_var"]
            .iter()
            .zip(&by_formula)
        {
            let torch = numbers(&golden["after"][name]);
            let (got, before) = (values(&made, name), values(&start, name));
            for (c, &(want, off)) in formula.iter().enumerate() {
                let place = format!("{} {name}[{c}]: {} {want} ± {off:e}", device.name(), got[c]);
                assert!(
                    off < 0.01 * (before[c] - want).abs(),
                    "a blind bound: {place}"
                );
                assert!((got[c] - want).abs() <= off, "{place}");
                // PyTorch rounds like everybody.
                let torch = f64::from(torch[c]);
                assert!((torch - want).abs() <= off, "PyTorch has {torch}: {place}");
            }
        }
    }
}

/// The logits of an image by the formula in f64, batch norm with the running statistics, and what bounds the
/// terms of each.
fn forward(network: &Network, image: &Tensor) -> Vec<(f64, f64)> {
    let of = |name| values(network, name);
    let (y, bound) = (conv(network, image, |x| x), conv(network, image, f64::abs));
    let [gamma, beta, mean, var] =
        ["bn.weight", "bn.bias", "bn.running_mean", "bn.running_var"].map(of);
    let (w, bias) = (of("fc.weight"), of("fc.bias"));
    let (mut x, mut terms) = (Vec::new(), Vec::new());
    for (y, bound) in y.iter().zip(&bound) {
        for c in 0..COUT {
            let f = gamma[c] / (var[c] + 1e-5f32 as f64).sqrt();
            x.push(((y[c] - mean[c]) * f + beta[c]).max(0.0));
            terms.push((bound[c] + mean[c].abs()) * f.abs() + beta[c].abs());
        }
    }
    let row = |o: usize| {
        let w = &w[o * x.len()..][..x.len()];
        let dot = |x: &[f64], part: fn(f64) -> f64| -> f64 {
            x.iter().zip(w).map(|(x, w)| x * part(*w)).sum::<f64>() + part(bias[o])
        };
        (dot(&x, |x| x), dot(&terms, f64::abs))
    };
    (0..CLASSES).map(row).collect()
}

pub fn run(device: &Device, graph: &Graph, inputs: &[&Tensor]) -> Vec<Tensor> {
    pollster::block_on(async {
        let plan = lower(graph, &device.caps())?;
        device.load(plan).await?.run(inputs).await
    })
    .expect("runs")
}

#[test]
fn evaluation_with_moved_statistics_agrees_with_folding() {
    let (start, data) = (random_net(1), toy(12));
    for device in devices() {
        let (made, _) = trained(&device, &start, &data, &fit(5, 0.01, 4));
        for name in ["bn.running_mean", "bn.running_var"] {
            let moved = values(&made, name);
            let moved = moved.iter().zip(values(&start, name));
            assert!(moved.clone().all(|(new, old)| *new != old), "{name}");
        }
        let folded = optimize(&made.graph).expect("well formed");
        assert!(folded.nodes().len() < made.graph.nodes().len());
        // Products of K·K·CIN and OUT·OUT·COUT terms, and a dozen roundings of the norm between them.
        let roundings = (K * K * CIN + OUT * OUT * COUT + 24) as f64;
        for image in &data.images {
            let want = forward(&made, image);
            for graph in [&made.graph, &folded] {
                let got = run(&device, graph, &[image])[0].to_f64();
                for (got, (want, terms)) in got.iter().zip(&want) {
                    let off = roundings * U * terms;
                    assert!((got - want).abs() <= off, "{got}, {want} ± {off:e}");
                }
            }
        }
        // The old statistics give something else.
        let mut stale = made.clone();
        for name in ["bn.running_mean", "bn.running_var"] {
            let id = stale.graph.find(name).expect("a parameter");
            let old = Arc::clone(start.graph.tensor(id).expect("a parameter"));
            stale.graph.set_tensor(id, old).expect("same shape");
        }
        let other = forward(&stale, &data.images[0]);
        let own = forward(&made, &data.images[0]);
        assert!((other[0].0 - own[0].0).abs() > 1e3 * U * own[0].1);
    }
}

/// Which weights of every layer are left; what is not is 0.
fn left(network: &Network) -> Vec<Vec<bool>> {
    let graph = &network.graph;
    let mut out = Vec::new();
    for id in layer_weights(graph) {
        let (tensor, mask) = (graph.tensor(id).expect("weights"), graph.mask(id));
        let mask = mask.unwrap_or_else(|| panic!("`{}` has no mask", graph.value(id).name));
        let data = tensor.to_f64();
        let kept = mask_to_bools(mask, data.len()).expect("fits");
        for (x, kept) in data.iter().zip(&kept) {
            assert!(*kept || *x == 0.0, "a weight that was removed is {x}");
        }
        out.push(kept);
    }
    out
}

/// The same network out of a file.
fn stored(network: &Network) -> Network {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = dir.path().join("network.safetensors");
    network.save(&path).expect("writable");
    wizen::open(&path, None).expect("readable")
}

fn share(left: &[Vec<bool>]) -> f64 {
    let all = left.iter().flatten();
    all.clone().filter(|kept| !**kept).count() as f64 / all.count() as f64
}

#[test]
fn masks_survive_everything_that_learns() {
    let (start, data) = (random_net(2), toy(8));
    for device in devices() {
        let job = Job::new(&device);
        let options = |sparsity, fit| PruneOptions {
            sparsity,
            scope: Scope::Global,
            cubic: true,
            multiple: 4,
            fit,
        };
        let half = options(0.5, None);
        let pruned = pollster::block_on(prune(&job, &start, None, &half)).expect("prunes");
        let (pruned, _) = pruned;
        let kept = left(&pruned);
        assert!((share(&kept) - 0.5).abs() < 0.01, "{}", share(&kept));

        let learn = FitOptions {
            weight_decay: 0.1,
            optimizer: Optimizer::ADAMW,
            ..fit(4, 0.02, 4)
        };
        let (made, _) = trained(&device, &pruned, &data, &learn);
        assert_eq!(left(&made), kept, "train");
        assert_eq!(left(&stored(&made)), kept, "train, in the file");
        assert_eq!(made.sparsity(), pruned.sparsity());
        assert_ne!(values(&made, "conv.weight"), values(&pruned, "conv.weight"));

        let settings = QuantizeOptions::default();
        let quantized = qat(&job, &made, &data, &settings, &learn);
        let (quantized, _) = pollster::block_on(quantized).expect("quantizes");
        // Integers are not trained further: their zeros are all that is left of a mask.
        for network in [&quantized.network, &stored(&quantized.network)] {
            let mut removed = 0;
            for (name, kept) in ["conv.weight", "fc.weight"].iter().zip(&kept) {
                let id = network.graph.find(name).expect("weights");
                let integers = network.graph.tensor(id).expect("weights").to_i8();
                for (q, kept) in integers.expect("i8").iter().zip(kept) {
                    assert!(*kept || *q == 0, "qat: a weight that was removed is {q}");
                    removed += usize::from(!kept);
                }
            }
            assert_eq!(removed, 68, "half of 135, the even one");
            assert!(network.sparsity() >= share(&kept));
        }

        // Along a schedule, in one of two steps, in one step, and without any.
        for (epochs, batch) in [(6, 4), (1, 4), (1, 8), (0, 8)] {
            let more = options(0.7, Some(fit(epochs, 0.02, batch)));
            let again = pollster::block_on(prune(&job, &made, Some(&data), &more)).expect("prunes");
            let now = left(&again.0);
            let place = format!("{epochs} epochs: {}", share(&now));
            assert!((share(&now) - 0.7).abs() < 0.01, "{place}");
            assert!(again.0.sparsity() >= share(&now), "{place}");
            let back = |(now, before): (&bool, &bool)| *now && !*before;
            let came_back = now.iter().flatten().zip(kept.iter().flatten()).any(back);
            assert!(!came_back, "{place}");
            assert_eq!(left(&stored(&again.0)), now, "{place}");
        }
        let less = options(0.3, Some(fit(1, 0.02, 4)));
        let error = pollster::block_on(prune(&job, &made, Some(&data), &less)).expect_err("less");
        assert!(error.to_string().contains("already"), "{error}");
    }
}
