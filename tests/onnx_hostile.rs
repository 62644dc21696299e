//! Files that are no network, or a broken one.

use wizen::base::Rng;
use wizen::onnx;

/// A message of a file: the number of a field, and its bytes.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![number << 3 | 2];
    let mut length = bytes.len();
    while length >= 128 {
        out.push(length as u8 | 128);
        length >>= 7;
    }
    out.push(length as u8);
    out.extend_from_slice(bytes);
    out
}

fn number(number: u8, mut value: u64) -> Vec<u8> {
    let mut out = vec![number << 3];
    while value >= 128 {
        out.push(value as u8 | 128);
        value >>= 7;
    }
    out.push(value as u8);
    out
}

fn node(kind: &str, inputs: &[&str], output: &str) -> Vec<u8> {
    let mut bytes: Vec<u8> = inputs
        .iter()
        .flat_map(|name| field(1, name.as_bytes()))
        .collect();
    bytes.extend(field(2, output.as_bytes()));
    bytes.extend(field(4, kind.as_bytes()));
    field(1, &bytes)
}

fn value(field_number: u8, name: &str, dims: &[u64]) -> Vec<u8> {
    let dims: Vec<u8> = dims.iter().flat_map(|&d| field(1, &number(1, d))).collect();
    let tensor = [number(1, 1), field(2, &dims)].concat();
    let ty = field(1, &tensor);
    field(
        field_number,
        &[field(1, name.as_bytes()), field(2, &ty)].concat(),
    )
}

fn model(graph: &[Vec<u8>]) -> Vec<u8> {
    let opset = number(2, 13);
    [number(1, 7), field(7, &graph.concat()), field(8, &opset)].concat()
}

#[test]
fn hostile_files_get_a_sentence() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("network.onnx");
    let error = |bytes: &[u8]| {
        std::fs::write(&path, bytes).expect("writable");
        onnx::read(&path, &[]).expect_err("refused").to_string()
    };
    let (x, y) = (value(11, "x", &[1, 4]), value(12, "y", &[1, 4]));
    let good = [node("Relu", &["x"], "y"), x.clone(), y.clone()];
    std::fs::write(&path, model(&good)).expect("writable");
    assert!(onnx::read(&path, &[]).is_ok());
    let tensor = |dims: u64| {
        let tensor = [number(1, dims), number(2, 1), field(8, b"w")].concat();
        field(5, &tensor)
    };
    for (graph, words) in [
        (
            vec![node("Relu", &["z"], "y"), x.clone(), y.clone()],
            "it uses `z`",
        ),
        // A circle: whichever comes first uses what is not there yet.
        (
            vec![
                node("Relu", &["b"], "a"),
                node("Relu", &["a"], "b"),
                x.clone(),
                value(12, "b", &[1, 4]),
            ],
            "it uses `b`",
        ),
        (
            vec![node("Relu", &["x"], "x"), x.clone(), value(12, "x", &[1])],
            "`x` is made twice",
        ),
        (
            vec![node("Gru", &["x"], "y"), x.clone(), y.clone()],
            "does not know the operator Gru",
        ),
        (
            vec![
                node("Add", &["x", "w"], "y"),
                x.clone(),
                y.clone(),
                tensor(1 << 63),
            ],
            "elements",
        ),
        (
            vec![
                node("Add", &["x", "w"], "y"),
                x.clone(),
                y.clone(),
                tensor(4),
            ],
            "tensor `w`",
        ),
        (
            vec![tensor(1), tensor(1), x.clone(), y.clone()],
            "two initializers are called `w`",
        ),
        (
            vec![
                node("Relu", &["x"], "y"),
                value(11, "x", &[1, 1 << 62]),
                y.clone(),
            ],
            "cannot have the shape",
        ),
        (
            vec![node("Relu", &["x"], "y"), x.clone(), value(12, "q", &[1])],
            "no node makes it",
        ),
        (
            vec![node("Conv", &["x", "x"], "y"), x.clone(), y.clone()],
            "expected a constant",
        ),
    ] {
        let error = error(&model(&graph));
        assert!(error.contains(words), "{words}: {error}");
    }
    // Cut anywhere, and with any byte changed: a sentence or a network, nothing else.
    let whole = model(&good);
    let mut rng = Rng::new(7);
    for cut in 0..whole.len() {
        std::fs::write(&path, &whole[..cut]).expect("writable");
        let _ = onnx::read(&path, &[]);
        for _ in 0..8 {
            let mut changed = whole.clone();
            changed[cut] = rng.range(0.0, 256.0) as u8;
            std::fs::write(&path, &changed).expect("writable");
            let _ = onnx::read(&path, &[]);
        }
    }
}
