//! Every shader against naga and against the Rust side of its kernel. Needs no GPU.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::Path;

use naga::valid::{Capabilities, ModuleInfo, ValidationFlags, Validator};
use naga::{AddressSpace, Module, StorageAccess};
use wizen::gpu::{Access, Caps, Spec, specialise};
use wizen::kernels::{Kernel, Variant, all};

/// What WGSL promises on every device: pack2x16float and unpack2x16float, but no `f16` type.
const PORTABLE: Capabilities = Capabilities::SHADER_FLOAT16_IN_FLOAT32;

pub fn caps_to_try() -> Vec<(Caps, Capabilities)> {
    let portable = Caps::portable();
    let native = |lanes| Caps {
        f16: true,
        int64: true,
        subgroups: Some((lanes, lanes)),
        ..Caps::portable()
    };
    let everything = PORTABLE
        | Capabilities::SHADER_FLOAT16
        | Capabilities::SHADER_INT64
        | Capabilities::SUBGROUP;
    let cooperative = |side, backend: &str, lanes| Caps {
        backend: backend.to_owned(),
        subgroups: Some(lanes),
        cooperative_f16: Some(side),
        cooperative_f32: Some(side),
        max_workgroup_memory: 32 << 10,
        ..native(32)
    };
    let matrices = everything | Capabilities::COOPERATIVE_MATRIX;
    let without_int64 = Caps {
        int64: false,
        ..native(8)
    };
    vec![
        (portable, PORTABLE),
        (without_int64, everything - Capabilities::SHADER_INT64),
        (native(8), everything),
        (native(32), everything),
        (native(64), everything),
        (cooperative(16, "vulkan", (32, 32)), matrices),
        (cooperative(16, "vulkan", (32, 64)), matrices),
        (cooperative(8, "vulkan", (8, 8)), matrices),
        (cooperative(8, "metal", (4, 64)), matrices),
    ]
}

pub fn parse(text: &str, capabilities: Capabilities) -> Result<(Module, ModuleInfo), String> {
    let module = naga::front::wgsl::parse_str(text).map_err(|e| e.emit_to_string(text))?;
    let mut validator = Validator::new(ValidationFlags::all(), capabilities);
    let info = validator
        .validate(&module)
        .map_err(|e| e.emit_to_string(text))?;
    Ok((module, info))
}

/// Everything that is wrong with one specialised variant of a kernel, as sentences.
fn problems(
    kernel: &dyn Kernel,
    variant: Variant,
    caps: &Caps,
    capabilities: Capabilities,
) -> Vec<String> {
    let launch = match kernel.launch_as(caps, variant) {
        Ok(launch) => launch,
        Err(error) => return vec![format!("launch: {error}")],
    };
    let text = match specialise(kernel.name(), &launch.source, &launch.spec) {
        Ok(text) => text,
        Err(error) => return vec![error.to_string()],
    };
    let (module, _) = match parse(&text, capabilities) {
        Ok(parsed) => parsed,
        Err(error) => return vec![error],
    };
    let mut found = interface_problems(kernel, &launch.params, &module);
    found.extend(limit_problems(&module, &launch.workgroups, caps));
    found
}

fn interface_problems(kernel: &dyn Kernel, params: &[u8], module: &Module) -> Vec<String> {
    let mut found = Vec::new();
    let bindings = kernel.bindings();
    let mut storage: Vec<(u32, String, Access)> = Vec::new();
    let mut uniforms = 0;
    let mut layouter = naga::proc::Layouter::default();
    if let Err(error) = layouter.update(module.to_ctx()) {
        return vec![error.to_string()];
    }
    for (_, global) in module.global_variables.iter() {
        let name = global.name.clone().unwrap_or_default();
        let place = global.binding.as_ref().map(|b| (b.group, b.binding));
        match global.space {
            AddressSpace::Storage { access } => {
                let access = if access.contains(StorageAccess::STORE) {
                    Access::ReadWrite
                } else {
                    Access::Read
                };
                match place {
                    Some((0, index)) => storage.push((index, name, access)),
                    other => {
                        found.push(format!("`{name}` is a buffer at {other:?}, not in group 0"))
                    }
                }
            }
            AddressSpace::Uniform => {
                uniforms += 1;
                if place != Some((1, 0)) || name != "params" {
                    found.push(format!(
                        "uniform `{name}` at {place:?} is not `params` at (1, 0)"
                    ));
                }
                let layout = layouter[global.ty];
                let size = layout.alignment.round_up(params.len() as u32);
                if params.len() < 4 || layout.size != size {
                    found.push(format!(
                        "params are {} bytes in Rust and {} in WGSL",
                        params.len(),
                        layout.size
                    ));
                }
            }
            AddressSpace::WorkGroup | AddressSpace::Private => {}
            other => found.push(format!("`{name}` lives in {other:?}")),
        }
    }
    if uniforms != 1 {
        found.push(format!("{uniforms} uniforms, expected one"));
    }
    storage.sort_by_key(|(index, ..)| *index);
    let want: Vec<(u32, String, Access)> = bindings
        .iter()
        .enumerate()
        .map(|(i, binding)| {
            let access = match binding.access {
                Access::Read => Access::Read,
                Access::Write | Access::ReadWrite => Access::ReadWrite,
            };
            (i as u32, binding.name.to_owned(), access)
        })
        .collect();
    if storage != want {
        found.push(format!("the shader binds {storage:?}, the kernel {want:?}"));
    }
    if bindings.len() > 8 {
        found.push(format!(
            "{} storage buffers, 8 are portable",
            bindings.len()
        ));
    }
    found
}

fn limit_problems(module: &Module, workgroups: &[u32; 3], caps: &Caps) -> Vec<String> {
    let mut found = Vec::new();
    match module.entry_points.as_slice() {
        [entry] if entry.name == "main" && entry.stage == naga::ShaderStage::Compute => {
            let invocations: u32 = entry.workgroup_size.iter().product();
            if invocations == 0 || invocations > caps.max_invocations {
                found.push(format!(
                    "workgroups of {:?} invocations",
                    entry.workgroup_size
                ));
            }
        }
        others => found.push(format!(
            "{} entry points, expected one `main`",
            others.len()
        )),
    }
    let mut layouter = naga::proc::Layouter::default();
    if let Err(error) = layouter.update(module.to_ctx()) {
        return vec![error.to_string()];
    }
    let shared: u32 = module
        .global_variables
        .iter()
        .filter(|(_, global)| global.space == AddressSpace::WorkGroup)
        .map(|(_, global)| layouter[global.ty].size.next_multiple_of(16))
        .sum();
    if shared > caps.max_workgroup_memory {
        found.push(format!("{shared} bytes of workgroup memory"));
    }
    if workgroups
        .iter()
        .any(|&n| n == 0 || n > caps.max_workgroups)
    {
        found.push(format!("{workgroups:?} workgroups"));
    }
    let functions = module.functions.iter().map(|(_, function)| function);
    let entries = module.entry_points.iter().map(|entry| &entry.function);
    for function in functions.chain(entries) {
        let asks_length =
            |(_, e): (_, &naga::Expression)| matches!(e, naga::Expression::ArrayLength(_));
        if function.expressions.iter().any(asks_length) {
            found.push("arrayLength(): a buffer may be larger than its value".to_owned());
        }
    }
    found
}

/// Every shader that is not there to be included: path below `shaders/` and text.
fn shader_files() -> BTreeMap<String, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("shaders");
    let mut found = BTreeMap::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("shaders/ is there") {
            let path = entry.expect("readable").path();
            let name = path.strip_prefix(&root).expect("below shaders/");
            let name = name.to_string_lossy().replace('\\', "/");
            if path.is_dir() && name != "common" {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "wgsl") {
                found.insert(name, std::fs::read_to_string(path).expect("readable"));
            }
        }
    }
    found
}

#[test]
fn every_kernel_matches_its_shader() {
    let mut found = Vec::new();
    let mut seen = HashSet::new();
    let files = shader_files();
    let mut used = BTreeSet::new();
    let mut checked = 0;
    for (caps, capabilities) in caps_to_try() {
        for kernel in all() {
            let variants = kernel.variants(&caps);
            if variants.is_empty() {
                found.push(format!("{kernel:?} has no variants"));
            }
            for variant in variants {
                checked += 1;
                if let Ok(launch) = kernel.launch_as(&caps, variant) {
                    let file = files.iter().find(|(_, text)| **text == launch.source);
                    used.extend(file.map(|(name, _)| name.clone()));
                }
                used.insert(stem_of(kernel.as_ref(), variant));
                for problem in problems(kernel.as_ref(), variant, &caps, capabilities) {
                    // One sample speaks for the others with the same problem.
                    if seen.insert((kernel.name(), variant, problem.clone())) {
                        let subgroups = caps.subgroups;
                        found.push(format!("{kernel:?} ({variant}, {subgroups:?}): {problem}"));
                    }
                }
            }
        }
    }
    assert!(checked > 0, "no kernel was checked");
    assert!(found.is_empty(), "{}", found.join("\n"));
    let unused: Vec<&String> = files.keys().filter(|name| !used.contains(*name)).collect();
    assert!(unused.is_empty(), "no variant of a kernel is {unused:?}");
}

/// The file of a variant: `<kernel>`, or `<kernel>_<variant>`.
fn stem_of(kernel: &dyn Kernel, variant: Variant) -> String {
    match variant {
        Variant::Plain => format!("{}.wgsl", kernel.name()),
        Variant::Subgroup | Variant::Workgroup | Variant::Depthwise | Variant::Cooperative => {
            format!("{}_{variant}.wgsl", kernel.name())
        }
    }
}

/// What a file may use as it stands.
fn capabilities_of(name: &str) -> Capabilities {
    let mut capabilities = PORTABLE | Capabilities::SUBGROUP;
    if name.ends_with("cooperative.wgsl") {
        capabilities |= Capabilities::COOPERATIVE_MATRIX | Capabilities::SHADER_FLOAT16;
    }
    capabilities
}

#[test]
fn every_file_is_valid_as_it_stands() {
    let mut found = Vec::new();
    for (name, source) in shader_files() {
        let result = specialise(&name, &source, &Spec::new())
            .map_err(|e| e.to_string())
            .and_then(|text| parse(&text, capabilities_of(&name)));
        if let Err(error) = result {
            found.push(format!("{name}: {error}"));
        }
        let undocumented = source
            .lines()
            .filter(|line| line.contains("var<storage"))
            .filter(|line| {
                !line
                    .split("//")
                    .nth(1)
                    .is_some_and(|comment| comment.contains('['))
            });
        found.extend(undocumented.map(|line| format!("{name}: no shape beside `{line}`")));
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// The checks above can fail: a shader with one thing wrong at a time.
mod controls {
    use super::*;
    use wizen::base::DType;
    use wizen::kernels::map::{Map, Unary};

    fn broken(from: &str, to: &str) -> Vec<String> {
        let (shape, dtype, f) = (vec![5], DType::F32, Unary::Relu);
        let kernel = Map { shape, dtype, f };
        let caps = Caps::portable();
        let launch = kernel.launch(&caps).expect("fits");
        let text = specialise("relu_f32", &launch.source, &launch.spec).expect("no constants");
        assert!(text.contains(from), "no `{from}` to break");
        let module = match parse(&text.replace(from, to), PORTABLE) {
            Ok((module, _)) => module,
            Err(error) => return vec![error],
        };
        let mut found = interface_problems(&kernel, &launch.params, &module);
        found.extend(limit_problems(&module, &launch.workgroups, &caps));
        found
    }

    #[test]
    fn each_mistake_is_found() {
        assert_eq!(broken("y[i]", "y[i]"), Vec::<String>::new());
        for (from, to, symptom) in [
            (
                "@binding(0) var<storage, read> x",
                "@binding(2) var<storage, read> x",
                "binds",
            ),
            (
                "var<storage, read> x",
                "var<storage, read_write> x",
                "binds",
            ),
            ("row: u32 }", "row: u32, more: u32 }", "bytes in Rust"),
            (
                "@group(1) @binding(0)",
                "@group(1) @binding(1)",
                "is not `params`",
            ),
            (
                "WORKGROUP: u32 = 64u",
                "WORKGROUP: u32 = 512u",
                "invocations",
            ),
            (
                "const WORKGROUP",
                "var<workgroup> w: array<vec4f, 1025>;\nconst WORKGROUP",
                "workgroup memory",
            ),
            ("params.words {", "arrayLength(&x) {", "arrayLength"),
            ("fn main", "fn other", "entry points"),
            ("(x[i])));", "(x[i]) + f32(f16(1.0))));", "f16"),
            ("max(x,", "max(x x,", "expected"),
        ] {
            let found = broken(from, to).join("\n");
            assert!(found.contains(symptom), "{from} → {to}: {found:?}");
        }
    }
}
