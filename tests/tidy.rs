//! The rules that a compiler does not check, read from the source text. Needs no GPU.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::tidy_text::{code_only, without_tests};

/// Who may use whom. `main`, `cli` and `lib` may use everything.
const ALLOWED: &[(&str, &[&str])] = &[
    ("error", &[]),
    ("atomic", &["error"]),
    ("base", &["error"]),
    ("gpu", &["base", "atomic", "error"]),
    ("kernels", &["gpu", "base", "error"]),
    ("graph", &["kernels", "gpu", "base", "error"]),
    ("data", &["base", "error"]),
    ("network", &["graph", "base", "error"]),
    ("models", &["graph", "kernels", "base", "error"]),
    ("quant", &["graph", "kernels", "base", "error"]),
    ("prune", &["graph", "kernels", "base", "error"]),
    ("train", &["graph", "kernels", "base", "error"]),
    (
        "io",
        &["network", "data", "graph", "base", "atomic", "error"],
    ),
    (
        "compress",
        &[
            "network", "data", "quant", "prune", "train", "graph", "kernels", "base", "error",
        ],
    ),
    (
        "onnx",
        &[
            "network", "io", "atomic", "graph", "kernels", "base", "error",
        ],
    ),
    (
        "open",
        &["network", "io", "onnx", "models", "graph", "base", "error"],
    ),
    ("report", &["base", "error"]),
];
const TOP: &[&str] = &["main", "cli", "lib"];

/// Edges that the crate cannot be without: a checker that misses them sees nothing.
const CERTAIN: &[(&str, &str)] = &[
    ("base", "error"),
    ("gpu", "error"),
    ("kernels", "gpu"),
    ("kernels", "base"),
    ("kernels", "error"),
    ("graph", "kernels"),
    ("graph", "gpu"),
    ("graph", "base"),
    ("graph", "error"),
];

const FORBIDDEN: &[&str] = &[
    ".unwrap()",
    "print!(",
    "println!(",
    "eprint!(",
    "eprintln!(",
    "dbg!(",
    "todo!(",
    "unimplemented!(",
    "panic!(",
];

const MAX_LINES: usize = 500;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Files under `folder` with this extension, as paths relative to the crate, sorted.
fn files(folder: &str, extension: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder of the crate") {
            let path = entry.expect("readable").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == extension) {
                let path = path.strip_prefix(root()).expect("below the crate");
                found.push(path.to_string_lossy().replace('\\', "/"));
            }
        }
    }
    found.sort();
    assert!(!found.is_empty(), "no .{extension} below {folder}/");
    found
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// `src/kernels/x.rs` → `kernels`, `src/error.rs` → `error`.
fn layer(path: &str) -> &str {
    let rest = path.strip_prefix("src/").expect("a source file");
    rest.split('/')
        .next()
        .expect("a name")
        .trim_end_matches(".rs")
}

/// How many modules below the crate root a file's own module lies.
fn depth(path: &str) -> usize {
    let parts: Vec<&str> = path.trim_end_matches(".rs").split('/').skip(1).collect();
    match parts.last() {
        Some(&"mod") => parts.len() - 1,
        Some(&"lib" | &"main") if parts.len() == 1 => 0,
        _ => parts.len(),
    }
}

/// The crate's own modules and items that a file names, after `crate::` or enough `super::`.
fn names_used(path: &str, text: &str) -> BTreeSet<String> {
    let code = without_tests(&code_only(text));
    let climb = "super::".repeat(depth(path).max(1));
    let mut used = BTreeSet::new();
    for prefix in ["crate::", climb.as_str(), "wizen::"] {
        for (at, _) in code.match_indices(prefix) {
            let before = code[..at].chars().next_back();
            let rest = &code[at + prefix.len()..];
            if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':' || c == '$') {
                continue;
            }
            match rest.strip_prefix('{') {
                Some(group) => used.extend(group_heads(group)),
                None => used.extend(identifier(rest)),
            }
        }
    }
    used
}

fn identifier(text: &str) -> Option<String> {
    let end = text
        .find(|c: char| !c.is_alphanumeric() && c != '_')
        .unwrap_or(text.len());
    (end > 0).then(|| text[..end].to_owned())
}

/// First identifiers of the members of a `use crate::{…}` group, whose text follows the brace.
fn group_heads(text: &str) -> Vec<String> {
    let (mut level, mut heads, mut start) = (0usize, Vec::new(), 0);
    for (i, c) in text.char_indices() {
        match c {
            '{' => level += 1,
            '}' if level > 0 => level -= 1,
            ',' | '}' if level == 0 => {
                heads.extend(identifier(text[start..i].trim_start()));
                start = i + 1;
                if c == '}' {
                    break;
                }
            }
            _ => {}
        }
    }
    heads
}

/// Edges between layers, and what is wrong with them.
fn layering(sources: &[(String, String)]) -> (BTreeSet<(String, String)>, Vec<String>) {
    let table: BTreeMap<&str, &[&str]> = ALLOWED.iter().copied().collect();
    let (mut edges, mut wrong) = (BTreeSet::new(), Vec::new());
    for (path, text) in sources {
        let from = layer(path);
        let allowed = table.get(from);
        if allowed.is_none() && !TOP.contains(&from) {
            wrong.push(format!(
                "{path}: `{from}` is no known layer; name it in tests/tidy.rs"
            ));
            continue;
        }
        for name in names_used(path, text) {
            // `crate::Error` and the like are re-exports.
            let to = match name.as_str() {
                "Error" | "Result" => "error",
                "Network" | "Event" | "LayerInfo" | "TrainState" => "network",
                other => other,
            };
            if to == from {
                continue;
            }
            edges.insert((from.to_owned(), to.to_owned()));
            if allowed.is_some_and(|allowed| !allowed.contains(&to)) {
                wrong.push(format!("{path}: `{from}` must not use `{to}`"));
            }
        }
    }
    (edges, wrong)
}

fn source_texts() -> Vec<(String, String)> {
    let paths = files("src", "rs");
    paths
        .into_iter()
        .map(|path| (path.clone(), read(&path)))
        .collect()
}

#[test]
fn arrows_point_down() {
    let sources = source_texts();
    let (edges, wrong) = layering(&sources);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    for &(from, to) in CERTAIN {
        let edge = (from.to_owned(), to.to_owned());
        assert!(
            edges.contains(&edge),
            "no {from} → {to} was seen: the checker is blind"
        );
    }
    let layers: BTreeSet<&str> = sources.iter().map(|(path, _)| layer(path)).collect();
    for layer in layers {
        let sees_one = edges.iter().any(|(from, _)| from == layer);
        let silent = ["error", "lib", "main"].contains(&layer);
        assert!(
            sees_one || silent,
            "no edge of `{layer}` was seen: the checker is blind"
        );
    }
}

#[test]
fn a_wrong_arrow_is_seen() {
    for (path, text) in [
        ("src/kernels/a.rs", "use crate::graph::Plan;"),
        ("src/kernels/a.rs", "use crate::{base::Tensor, graph};"),
        (
            "src/kernels/a.rs",
            "fn f() { let _ = crate::train::step(); }",
        ),
        ("src/kernels/a.rs", "use super::super::io::load;"),
        ("src/kernels/mod.rs", "use super::graph::Plan;"),
        ("src/quant/mod.rs", "use crate::prune::Mask;"),
        ("src/report/plots.rs", "pub(crate) use crate::graph::Plan;"),
        ("src/base/mod.rs", "use crate::gpu::Caps;"),
        ("src/io/onnx/read.rs", "use crate::quant::freeze;"),
        ("src/news/mod.rs", ""),
    ] {
        let (_, wrong) = layering(&[(path.to_owned(), text.to_owned())]);
        assert_eq!(wrong.len(), 1, "{path}: {text}");
    }
    for (path, text) in [
        (
            "src/kernels/a.rs",
            "// use crate::graph::Plan;\n/// [`crate::train`]\nuse crate::base::Rng;",
        ),
        (
            "src/kernels/a.rs",
            "const S: &str = \"crate::graph\"; use super::{Kernel, graph_free};",
        ),
        (
            "src/kernels/a.rs",
            "#[cfg(test)]\nmod tests {\n    use crate::graph::Plan;\n}\n",
        ),
        (
            "src/graph/passes/fold.rs",
            "use super::super::op::Op; use crate::Error;",
        ),
        ("src/cli/run.rs", "use crate::{io, train, quant};"),
    ] {
        let (_, wrong) = layering(&[(path.to_owned(), text.to_owned())]);
        assert!(wrong.is_empty(), "{path}: {wrong:?}");
    }
}

#[test]
fn only_the_host_layer_speaks_to_wgpu() {
    let mut seen = false;
    for (path, text) in source_texts() {
        let code = without_tests(&code_only(&text));
        let speaks = code.contains("wgpu::") || code.contains("use wgpu");
        let may = path.starts_with("src/gpu/") || path == "src/graph/session.rs";
        let reexport = path == "src/lib.rs" && !code.contains("wgpu::");
        assert!(!speaks || may || reexport, "{path} speaks to wgpu");
        seen |= speaks;
    }
    assert!(seen, "nobody speaks to wgpu: the checker is blind");
}

#[test]
fn the_library_neither_panics_nor_prints() {
    let mut wrong = Vec::new();
    for (path, text) in source_texts() {
        if !["main", "cli"].contains(&layer(&path)) {
            wrong.extend(forbidden(&path, &text));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let bad = "fn f() {\n    println!(\"a\");\n    todo!();\n    x.unwrap();\n}\n";
    assert_eq!(forbidden("f.rs", bad).len(), 3);
    let good = "// panic!()\nconst A: &str = \"todo!(\"; const C: char = '\"';\n#[cfg(test)]\nmod tests { fn f() { panic!() } }\n";
    assert_eq!(forbidden("f.rs", good), Vec::<String>::new());
}

fn forbidden(path: &str, text: &str) -> Vec<String> {
    let code = without_tests(&code_only(text));
    let mut wrong = Vec::new();
    for (number, line) in code.lines().enumerate() {
        for word in FORBIDDEN {
            let found = line.match_indices(word).any(|(at, _)| {
                let before = line[..at].chars().next_back();
                word.starts_with('.') || !before.is_some_and(|c| c.is_alphanumeric() || c == '_')
            });
            if found {
                wrong.push(format!("{path}:{}: {word}", number + 1));
            }
        }
    }
    wrong
}

/// Kernels live in families: a folder of `src/kernels`, one of `shaders`, one test file.
#[test]
fn every_kernel_has_a_family() {
    let names: BTreeSet<&str> = wizen::kernels::all()
        .iter()
        .map(|kernel| kernel.name())
        .collect();
    assert!(!names.is_empty(), "no kernels");
    let declared = read("tests/kernels/mod.rs");
    let tested = |family: &str| {
        let line = format!("mod {family};");
        declared.lines().any(|l| l.trim() == line)
            && root().join(format!("tests/kernels/{family}.rs")).is_file()
    };
    let mut homes: BTreeMap<&str, String> = BTreeMap::new();
    for file in files("src/kernels", "rs") {
        let text = without_tests(&read(&file));
        if !code_only(&text).contains("impl Kernel for") {
            continue;
        }
        let rest = file.strip_prefix("src/kernels/").expect("below it");
        let family = rest.split('/').next().expect("a name");
        let family = family.trim_end_matches(".rs");
        assert!(
            tested(family),
            "{file}: tests/kernels/{family}.rs is missing"
        );
        // A label may stand in a table beside the kernel.
        let folder = format!("src/kernels/{family}/");
        let of_family = |path: &String| *path == file || path.starts_with(&folder);
        let family_files = files("src/kernels", "rs").into_iter().filter(of_family);
        let text: String = family_files
            .map(|path| without_tests(&read(&path)))
            .collect();
        let named = names
            .iter()
            .filter(|name| text.contains(&format!("\"{name}\"")));
        let named: Vec<&str> = named.copied().collect();
        assert!(!named.is_empty(), "{file} is not in kernels::all()");
        homes.extend(named.into_iter().map(|name| (name, family.to_owned())));
    }
    for name in &names {
        assert!(homes.contains_key(name), "no family has `{name}`");
    }
}

/// A file that no module declares is not compiled, and its tests do not run.
#[test]
fn every_file_is_compiled() {
    let mut orphans = Vec::new();
    for path in files("src", "rs").into_iter().chain(files("tests", "rs")) {
        let file = Path::new(&path);
        let stem = file.file_stem().expect("a name").to_string_lossy();
        let folder = file.parent().expect("a folder");
        let at = |folder: &Path, name: &str| folder.join(name).to_string_lossy().replace('\\', "/");
        // `src/a/mod.rs` is declared where `src/a.rs` would be.
        let (folder, module) = match (&*stem, folder.parent()) {
            ("main" | "lib", _) if folder.components().count() == 1 => continue,
            ("mod", Some(above)) => (above, folder.file_name().expect("a name").to_string_lossy()),
            _ => (folder, stem.clone()),
        };
        let sibling = format!("{}.rs", folder.to_string_lossy());
        let parents = [
            at(folder, "mod.rs"),
            at(folder, "lib.rs"),
            at(folder, "main.rs"),
            sibling,
        ];
        let declared = parents
            .iter()
            .filter(|parent| root().join(parent).is_file())
            .any(|parent| {
                let code = code_only(&read(parent));
                let declares = |line: &str| line.trim().ends_with(&format!("mod {module};"));
                code.lines().any(declares)
            });
        if !declared {
            orphans.push(path);
        }
    }
    assert!(
        orphans.is_empty(),
        "declared by no module: {}",
        orphans.join(", ")
    );
}

#[test]
fn files_are_short() {
    let mut long = Vec::new();
    for (folder, extension) in [("src", "rs"), ("tests", "rs"), ("shaders", "wgsl")] {
        for path in files(folder, extension) {
            let lines = read(&path).lines().count();
            if lines > MAX_LINES {
                long.push(format!("{path}: {lines} lines, {MAX_LINES} are the limit"));
            }
        }
    }
    assert!(long.is_empty(), "{}", long.join("\n"));
}

/// What an operation is and does stands in `graph/ops/`: elsewhere nothing takes operations apart, but for the
/// few passes that look for one pattern.
#[test]
fn only_the_operations_know_the_operations() {
    let may = [
        "src/graph/ops/",
        "src/graph/passes/",
        "src/graph/tape.rs",
        // Every operation as operators of a file: exhaustive, without a default.
        "src/onnx/export/",
    ];
    let mut wrong = Vec::new();
    for (path, text) in source_texts() {
        let code = without_tests(&code_only(&text));
        if !may.iter().any(|may| path.starts_with(may)) && names_operation(&code) {
            wrong.push(path);
        }
    }
    assert!(wrong.is_empty(), "they name operations: {wrong:?}");
    // No rule has a default: an operation that does not answer does not compile.
    let rules = code_only(&read("src/graph/ops/rules.rs"));
    let start = rules.find("trait Operation").expect("the rules");
    let end = start + rules[start..].find("\n}").expect("their end");
    let body = &rules[start..end];
    assert!(body.matches("fn ").count() >= 10, "the checker is blind");
    assert_eq!(body.matches('{').count(), 1, "a rule with a default");
}

fn names_operation(code: &str) -> bool {
    let mut found = code.match_indices("Op::");
    found.any(|(at, _)| {
        let before = code[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || c == '_')
    })
}
