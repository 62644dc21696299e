//! Every shader as Direct3D 12 gets it: HLSL, and what Microsoft's compiler says to that where it is there.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use naga::back::hlsl;
use wizen::gpu::specialise;
use wizen::kernels::all;

use crate::shaders::{caps_to_try, parse};

/// HLSL of every program on devices with these capabilities, and who it is of. Direct3D 12 has no cooperative matrices.
fn programs() -> BTreeMap<(bool, String), String> {
    let mut found = BTreeMap::new();
    for (caps, capabilities) in caps_to_try() {
        if caps.cooperative_f16.is_some() {
            continue;
        }
        for kernel in all() {
            for variant in kernel.variants(&caps) {
                let who = format!("{kernel:?} ({variant}, {:?})", caps.subgroups);
                let launch = kernel
                    .launch_as(&caps, variant)
                    .expect("samples run anywhere");
                let text = specialise(kernel.name(), &launch.source, &launch.spec);
                let text = text.unwrap_or_else(|e| panic!("{who}: {e}"));
                let (module, info) =
                    parse(&text, capabilities).unwrap_or_else(|e| panic!("{who}: {e}"));
                let options = hlsl::Options {
                    shader_model: hlsl::ShaderModel::V6_4,
                    ..Default::default()
                };
                let mut out = String::new();
                hlsl::Writer::new(&mut out, &options, &hlsl::PipelineOptions::default())
                    .write(&module, &info, None)
                    .unwrap_or_else(|e| panic!("{who}: {e}"));
                found
                    .entry((text.contains("enable f16;"), out))
                    .or_insert(who);
            }
        }
    }
    found
}

/// The functions `ZeroValue…` that a text defines more than once.
fn defined_twice(text: &str) -> Vec<&str> {
    let mut seen = BTreeSet::new();
    text.lines()
        .filter(|line| line.contains(" ZeroValue") && line.trim_end().ends_with("() {"))
        .filter(|line| !seen.insert(*line))
        .collect()
}

/// What `compiler` (the checker of `tests/dxc_check.cpp` and its library) refuses among these files.
fn refused(compiler: &[&str], flags: &[&str], files: &[std::path::PathBuf]) -> String {
    let [checker, library] = compiler else {
        panic!("WIZEN_DXC is not `checker library`");
    };
    let chunk = files
        .len()
        .div_ceil(std::thread::available_parallelism().map_or(1, |n| n.get()));
    let runs: Vec<_> = files
        .chunks(chunk.max(1))
        .map(|files| {
            let mut command = Command::new(checker);
            let command = command.arg(library).args(flags).args(files);
            command
                .stdout(std::process::Stdio::piped())
                .spawn()
                .expect("the checker runs")
        })
        .collect();
    let mut found = String::new();
    for run in runs {
        let output = run.wait_with_output().expect("the checker ends");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() || text.contains("BAD "), "{text}");
        found.push_str(&text);
    }
    found
}

#[test]
fn direct3d_takes_every_shader() {
    let programs = programs();
    assert!(programs.len() > 200, "only {} programs", programs.len());
    let twice: Vec<String> = programs
        .iter()
        .filter_map(|((_, text), who)| Some(format!("{who}: {}", defined_twice(text).first()?)))
        .collect();
    assert!(twice.is_empty(), "defined twice:\n{}", twice.join("\n"));

    let Ok(compiler) = std::env::var("WIZEN_DXC") else {
        // Not `eprintln`: the test runner would swallow it.
        let mut stderr = std::io::stderr();
        writeln!(
            stderr,
            "SKIPPED: {} programs not compiled, WIZEN_DXC is not set",
            programs.len()
        )
        .expect("stderr");
        return;
    };
    let compiler: Vec<&str> = compiler.split_whitespace().collect();
    let folder = tempfile::tempdir().expect("a folder");
    let mut all = String::new();
    for f16 in [false, true] {
        let mut files = Vec::new();
        for (i, ((_, text), who)) in programs
            .iter()
            .filter(|((own, _), _)| *own == f16)
            .enumerate()
        {
            let path = Path::new(folder.path()).join(format!("{f16}_{i}.hlsl"));
            std::fs::write(&path, format!("// {who}\n{text}")).expect("written");
            files.push(path);
        }
        let flags: &[&str] = if f16 { &["-enable-16bit-types"] } else { &[] };
        all.push_str(&refused(&compiler, flags, &files));
    }
    assert!(all.is_empty(), "{all}");
}

#[test]
fn what_is_defined_twice_is_seen() {
    let text = "uint ZeroValueuint() {\n}\nuint4 ZeroValueuint4() {\n}\n";
    assert!(defined_twice(text).is_empty());
    let twice = format!("{text}uint ZeroValueuint() {{\n}}\n");
    assert_eq!(defined_twice(&twice), ["uint ZeroValueuint() {"]);
}
