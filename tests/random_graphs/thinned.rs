//! Structured pruning of random networks.

use wizen::base::Rng;
use wizen::graph::ops::{BatchNorm, Op};
use wizen::graph::{Graph, ValueId};
use wizen::kernels::map::Unary;
use wizen::{prune, quant};

use super::generate::random_inputs;
use super::{networks, run};

/// Sets these slices of parameters to zero: those that make the channels, and with `readers` the weights
/// that read them as well.
fn zeroed<'a>(
    graph: &Graph,
    gone: impl IntoIterator<Item = &'a wizen::graph::channels::Group>,
    readers: bool,
) -> Graph {
    let mut out = graph.clone();
    let weights: Vec<ValueId> = graph.nodes().iter().filter_map(quant::weights_of).collect();
    for &((id, axis), at) in gone.into_iter().flat_map(|group| &group.slices) {
        let reads = weights.contains(&id) && axis > 0;
        let Some(tensor) = out.tensor(id).filter(|_| readers || !reads) else {
            continue;
        };
        let mut tensor = tensor.as_ref().clone();
        let shape = tensor.shape().to_vec();
        let inner: usize = shape[axis + 1..].iter().product();
        for (i, x) in tensor.as_f32_mut().expect("f32").iter_mut().enumerate() {
            if i / inner % shape[axis] == at {
                *x = 0.0;
            }
        }
        out.set_tensor(id, tensor).expect("the same shape");
    }
    out
}

/// True if nothing in the network makes something of nothing.
fn keeps_zero(graph: &Graph) -> bool {
    graph.nodes().iter().all(|node| match &node.op {
        Op::Map(map) => map.f.f64(0.0) == 0.0,
        Op::Pad(pad) => pad.value == 0.0,
        Op::Conv2d(op) => op.act.is_none_or(|f: Unary| f.f64(0.0) == 0.0),
        Op::Linear(op) => op.act.is_none_or(|f| f.f64(0.0) == 0.0),
        Op::Binary(op) => op.act.is_none_or(|f| f.f64(0.0) == 0.0),
        Op::BatchNorm(BatchNorm { .. }) => true,
        _ => true,
    })
}

/// A network without these channels gives what it gives when they and the weights that read them are zero;
/// and where no function makes something of nothing, already when only what makes them is zero. Both sums
/// have the same terms but for products with zero, which change no bit.
#[test]
fn thinned_networks_equal_those_with_zeros() {
    let (mut thinned, mut by_makers) = (0, 0);
    for (seed, graph) in networks(4) {
        let mut rng = Rng::new(seed).fork(6);
        let inputs = random_inputs(&graph, seed);
        let mut gone = Vec::new();
        let families = prune::families(&graph).expect("well formed");
        for family in &families {
            let mut groups: Vec<_> = family.groups.iter().collect();
            rng.shuffle(&mut groups);
            let some = rng.below(groups.len());
            gone.extend(groups.into_iter().take(some));
        }
        if gone.is_empty() {
            continue;
        }
        let thin = prune::thin(&graph, gone.iter().copied());
        let thin = thin.unwrap_or_else(|e| panic!("{seed}: {e}\n{graph}"));
        let want = run(&zeroed(&graph, gone.iter().copied(), true), &inputs);
        let got = run(&thin, &inputs);
        assert_eq!(got, want, "{seed}: {graph}\nthinned: {thin}");
        thinned += 1;
        if keeps_zero(&graph) {
            let want = run(&zeroed(&graph, gone.iter().copied(), false), &inputs);
            assert_eq!(got, want, "{seed}: {graph}\nthinned: {thin}");
            by_makers += 1;
        }
    }
    assert!(thinned > 10 && by_makers > 5, "{thinned} {by_makers}");
}
