//! Weights of few bits that are chosen layer by layer: on a network with grouped and depthwise layers, a residual and
//! branches, without labels.

use pollster::block_on;
use wizen::Network;
use wizen::base::{DType, Rng, Tensor};
use wizen::compress::{Ends, Job, Method, QuantizeOptions, Quantized, agreement, quantize};
use wizen::data::{Data, FromFn, sample};
use wizen::graph::ops::{Binary, Concat, Conv2d, Flatten, GlobalAvgPool, Linear, Map};
use wizen::graph::{Device, Graph, ValueId, lower};
use wizen::kernels::Conv;
use wizen::quant::{LayerSchemes, Scheme};

use crate::harness;

struct Builder {
    graph: Graph,
    rng: Rng,
}

impl Builder {
    fn weights(&mut self, name: &str, shape: &[usize]) -> ValueId {
        let inputs: usize = shape[1..].iter().product();
        let spread = (3.0 / inputs as f32).sqrt();
        let count = shape.iter().product::<usize>();
        let data: Vec<f32> = (0..count)
            .map(|_| self.rng.range(-spread, spread))
            .collect();
        let tensor = Tensor::from_f32(shape, &data).expect("fits");
        self.graph.param(name, tensor)
    }

    fn conv(
        &mut self,
        name: &str,
        x: ValueId,
        out: usize,
        kernel: usize,
        groups: usize,
    ) -> ValueId {
        let channels = self.graph.value(x).shape[3];
        let w = self.weights(
            &format!("{name}.weight"),
            &[out, kernel, kernel, channels / groups],
        );
        let b = self.weights(&format!("{name}.bias"), &[out]);
        let conv = Conv2d::new(Conv::square(1, kernel / 2, 1, groups));
        self.graph.push(name, conv, &[x, w, b]).expect("fits")
    }

    fn relu(&mut self, x: ValueId) -> ValueId {
        let name = format!("{} relu", self.graph.value(x).name);
        self.graph.push(&name, Map::RELU, &[x]).expect("fits")
    }
}

/// Dense, depthwise, a residual, two branches of which one has groups, and a head.
fn network() -> Network {
    let mut b = Builder {
        graph: Graph::new(),
        rng: Rng::new(11),
    };
    let x = b.graph.input("x", DType::F32, &[1, 8, 8, 3]);
    let stem = b.conv("stem", x, 16, 3, 1);
    let stem = b.relu(stem);
    let wide = b.conv("wide", stem, 32, 1, 1);
    let wide = b.relu(wide);
    let deep = b.conv("deep", wide, 32, 3, 32);
    let deep = b.relu(deep);
    let narrow = b.conv("narrow", deep, 16, 1, 1);
    let sum = b
        .graph
        .push("sum", Binary::ADD, &[narrow, stem])
        .expect("fits");
    let sum = b.relu(sum);
    let left = b.conv("left", sum, 16, 3, 4);
    let right = b.conv("right", sum, 8, 1, 1);
    let both = b
        .graph
        .push("both", Concat { axis: 3 }, &[left, right])
        .expect("fits");
    let both = b.relu(both);
    let last = b.conv("last", both, 24, 3, 1);
    let last = b.relu(last);
    let pooled = b
        .graph
        .push("pooled", GlobalAvgPool, &[last])
        .expect("fits");
    let flat = b.graph.push("flat", Flatten, &[pooled]).expect("fits");
    let w = b.weights("head.weight", &[10, 24]);
    let y = b
        .graph
        .push("head", Linear::default(), &[flat, w])
        .expect("fits");
    b.graph.output(y);
    Network::new("branches", b.graph)
}

/// Images whose neighbouring pixels are alike, as those of photographs.
fn pictures(count: usize, seed: u64) -> impl Data {
    seeded(count, move |item| seed + item as u64)
}

fn seeded(count: usize, seed: impl Fn(usize) -> u64) -> impl Data {
    FromFn::new("pictures", count, move |item| {
        let mut rng = Rng::new(seed(item));
        let [a, b, c]: [f32; 3] = std::array::from_fn(|_| rng.range(-1.0, 1.0));
        let mut data = Vec::new();
        for y in 0..8 {
            for x in 0..8 {
                let shade = a + b * (y as f32 / 4.0 - 1.0) + c * (x as f32 / 4.0 - 1.0);
                data.extend((0..3).map(|_| shade + rng.range(-0.3, 0.3)));
            }
        }
        Ok(vec![Tensor::from_f32(&[1, 8, 8, 3], &data)?])
    })
}

fn made(device: &Device, network: &Network, scheme: &str, method: Method) -> Quantized {
    let options = QuantizeOptions {
        schemes: scheme.parse::<Scheme>().expect("known").into(),
        method: Some(method),
        ends: Some(Ends::None),
        items: 80,
        ..QuantizeOptions::default()
    };
    let job = Job::new(device);
    block_on(quantize(&job, network, &pictures(80, 1_000), &options)).expect("quantizes")
}

/// SQNR in dB on pictures that nothing has seen.
fn unseen(device: &Device, network: &Network, other: &Network) -> f64 {
    closeness(device, network, other, &pictures(64, 9_000))
}

fn closeness(device: &Device, network: &Network, other: &Network, data: &dyn Data) -> f64 {
    let (float, other) = (
        network.runnable().expect("runs"),
        other.runnable().expect("runs"),
    );
    let job = Job::new(device);
    let each = agreement(&job, &float, &other, data);
    block_on(each).expect("runs")[0]
        .sqnr_db
        .expect("they differ")
}

#[test]
fn few_bits_are_closer_than_rounded_ones() {
    let Some(gpu) = harness::gpu() else { return };
    let (device, network) = (Device::Gpu(gpu), network());
    for (scheme, gain) in [
        ("w4a8", 3.0),
        ("w3a8", 3.0),
        ("w2a8", 3.0),
        ("w4", 3.0),
        ("int8", -0.5),
    ] {
        let rounded = made(&device, &network, scheme, Method::Round);
        let ours = made(&device, &network, scheme, Method::Reconstruct);
        let [rounded, better] =
            [&rounded, &ours].map(|made| unseen(&device, &network, &made.network));
        assert!(
            better > rounded + gain,
            "{scheme}: {better} dB for {rounded} dB"
        );
        let said = ours.reconstruction.expect("it was reconstructed");
        assert_eq!((said.items, said.held_back), (72, 8));
        // What is said of those is what they give.
        let items = sample(80, 80, 1);
        let held: Vec<usize> = items.into_iter().skip(9).step_by(10).collect();
        let seeds = move |i: usize| 1_000 + held[i] as u64;
        let theirs = closeness(&device, &network, &ours.network, &seeded(8, seeds));
        // But for the last bits of floats: functions are fused here.
        let said_db = said.held_back_sqnr_db.expect("they differ");
        assert!(
            (said_db - theirs).abs() < 0.01,
            "{scheme}: {said_db} for {theirs}"
        );
        assert!(said.rounded.is_empty() && said.unrepaired.is_empty());
    }
}

/// Signs of one bit stay signs, and few images are said to be few.
#[test]
fn what_is_only_rounded_is_named() {
    let network = network();
    let schemes = LayerSchemes::from("w4a8".parse::<Scheme>().expect("known"));
    let one_bit = "w1a8".parse::<Scheme>().expect("known");
    let options = QuantizeOptions {
        schemes: schemes.with("wide", one_bit).expect("of a kind"),
        items: 6,
        ..QuantizeOptions::default()
    };
    let job = Job::new(&Device::Cpu);
    let made = block_on(quantize(&job, &network, &pictures(6, 1), &options)).expect("quantizes");
    let said = made.reconstruction.expect("it was reconstructed");
    assert_eq!((said.items, said.held_back), (6, 0));
    assert_eq!((said.sqnr_db, said.held_back_sqnr_db), (None, None));
    assert_eq!(said.rounded, ["wide"]);
    assert_eq!(said.unrepaired, ["head"]);
}

/// Nothing to reconstruct from, and no integers to choose.
#[test]
fn what_cannot_be_reconstructed_is_said() {
    let network = network();
    let job = Job::new(&Device::Cpu);
    let quantized = |scheme: &str| {
        let options = QuantizeOptions {
            schemes: scheme.parse::<Scheme>().expect("known").into(),
            method: Some(Method::Reconstruct),
            ..QuantizeOptions::default()
        };
        block_on(quantize(&job, &network, &pictures(0, 1), &options))
    };
    let error = quantized("w4").expect_err("no data").to_string();
    assert!(error.contains("no inputs"), "{error}");
    let error = quantized("fp16").expect_err("no integers").to_string();
    assert!(error.contains("no integers"), "{error}");
}

#[test]
fn one_seed_gives_one_network_and_devices_differ_by_less_than_rounding_does() {
    let Some(gpu) = harness::gpu() else { return };
    let network = network();
    let gpu = Device::Gpu(gpu);
    let one = made(&gpu, &network, "w4a8", Method::Reconstruct).network;
    let two = made(&gpu, &network, "w4a8", Method::Reconstruct).network;
    for (id, value) in one.graph.values() {
        assert_eq!(one.graph.tensor(id), two.graph.tensor(id), "{}", value.name);
    }
    let cpu = made(&Device::Cpu, &network, "w4a8", Method::Reconstruct).network;
    // Sums differ in their last bits, so integers may: both are far from what rounding gives.
    let rounded = made(&Device::Cpu, &network, "w4a8", Method::Round).network;
    let [on_gpu, on_cpu, rounded] =
        [&one, &cpu, &rounded].map(|made| unseen(&Device::Cpu, &network, made));
    let gap = (on_gpu - on_cpu).abs();
    assert!(
        gap < on_gpu.min(on_cpu) - rounded,
        "{on_gpu}, {on_cpu}, {rounded} dB"
    );
}

#[test]
fn removed_weights_are_integers_of_zero() {
    let Some(gpu) = harness::gpu() else { return };
    let mut network = network();
    let id = network.graph.find("wide.weight").expect("its weights");
    let stored = network.graph.tensor(id).expect("stored");
    let mut data = stored.to_f32();
    data.iter_mut().step_by(2).for_each(|w| *w = 0.0);
    let pruned = Tensor::from_f32(stored.shape(), &data).expect("fits");
    network.graph.set_tensor(id, pruned).expect("fits");
    let ours = made(&Device::Gpu(gpu), &network, "w4a8", Method::Reconstruct).network;
    let id = ours.graph.find("wide.weight").expect("its weights");
    let integers = ours.graph.tensor(id).expect("stored").to_f64();
    assert!(integers.iter().step_by(2).all(|&q| q == 0.0));
    let others = integers.iter().skip(1).step_by(2);
    assert!(others.filter(|&&q| q != 0.0).count() > integers.len() / 4);
}

/// The first layer keeps 8 bits unless asked otherwise; a layer's own scheme counts for more.
#[test]
fn ends_keep_their_bits() {
    let network = network();
    let bits = |ends: Option<Ends>| -> Vec<u32> {
        let options = QuantizeOptions {
            schemes: "w4a8".parse::<Scheme>().expect("known").into(),
            ends,
            items: 8,
            ..QuantizeOptions::default()
        };
        let job = Job::new(&Device::Cpu);
        let made =
            block_on(quantize(&job, &network, &pictures(8, 1), &options)).expect("quantizes");
        assert!(lower(&made.network.graph, &Device::Cpu.caps()).is_ok());
        made.layers.iter().map(|layer| layer.bits).collect()
    };
    let both = bits(Some(Ends::Both));
    assert_eq!((both[0], both[1], both[both.len() - 1]), (8, 4, 8));
    assert_eq!(bits(Some(Ends::None)), vec![4; both.len()]);
    let default = bits(None);
    assert_eq!(
        (default[0], &default[1..]),
        (8, &vec![4; both.len() - 1][..])
    );
}
