//! Compiling many pipelines at once, and keeping them from one process to the next.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use wizen::Error;
use wizen::base::{DType, Tensor};
use wizen::gpu::{Access, Gpu, GpuOptions, Launch, PipelineRequest, Spec};
use wizen::graph::{Plan, Session, SessionOptions};
use wizen::kernels::map::{Map, Unary};

use crate::harness::gpu;

const SCALE: &str = "
const FACTOR = 2u;
@group(0) @binding(0) var<storage, read_write> data: array<u32>; // [64]
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) { data[id.x] *= FACTOR; }
";

fn launch(source: &'static str, factor: Option<u32>) -> Launch {
    let spec = factor.map_or(Spec::new(), |factor| Spec::new().with("FACTOR", factor));
    Launch {
        source: source.into(),
        spec,
        params: Vec::new(),
        workgroups: [1, 1, 1],
    }
}

fn compile(gpu: &Gpu, launches: &[(&str, Launch)]) -> Result<usize, Error> {
    let requests: Vec<_> = launches
        .iter()
        .map(|(name, launch)| PipelineRequest {
            name,
            launch,
            access: vec![Access::ReadWrite],
        })
        .collect();
    Ok(pollster::block_on(gpu.pipelines(&requests))?.len())
}

#[test]
fn every_request_gets_a_pipeline() {
    let Some(gpu) = gpu() else { return };
    // 2 is the default: seven requests, four programs.
    let factors = [None, Some(2), Some(3), Some(3), Some(4), Some(5), Some(3)];
    let launches: Vec<_> = factors
        .map(|factor| ("scale", launch(SCALE, factor)))
        .into();
    assert_eq!(compile(&gpu, &launches).expect("valid"), 7);
    assert_eq!(compile(&gpu, &[]).expect("nothing to do"), 0);
}

/// Errors are caught on many threads at once: each must name the kernel that it is about.
#[test]
fn errors_name_their_kernel() {
    let Some(gpu) = gpu() else { return };
    for (culprit, wrong) in [
        ("typo", SCALE.replace("FACTOR;", "FACTER;")),
        ("too many", SCALE.replace("size(64)", "size(1000000)")),
    ] {
        let wrong: &'static str = Box::leak(wrong.into_boxed_str());
        for at in 0..6 {
            let mut launches: Vec<_> = (0..6)
                .map(|i| ("fine", launch(SCALE, Some(100 + 10 * at + i))))
                .collect();
            launches.insert(at as usize, (culprit, launch(wrong, None)));
            match compile(&gpu, &launches) {
                Err(Error::Device { op, problem }) => {
                    assert_eq!(op, culprit);
                    assert!(!problem.is_empty());
                }
                other => panic!("{culprit} at {at}: {other:?}"),
            }
            // The others were compiled, and nothing is left for the next call to report.
            launches.remove(at as usize);
            assert_eq!(compile(&gpu, &launches).expect("valid"), 6);
            gpu.check().expect("no error is left");
        }
    }
    // Of two, the first.
    let wrong =
        |what: &str| -> &'static str { Box::leak(SCALE.replace("FACTOR;", what).into_boxed_str()) };
    let launches = [
        ("first", launch(wrong("a;"), None)),
        ("second", launch(wrong("b;"), None)),
    ];
    let error = compile(&gpu, &launches).expect_err("both are wrong");
    assert!(error.to_string().contains("first"), "{error}");
}

/// Opens a GPU that keeps its pipelines in `folder`, computes with it, closes it.
fn compute(folder: &Path) -> bool {
    let options = GpuOptions {
        cache_dir: Some(folder.into()),
        ..GpuOptions::default()
    };
    pollster::block_on(async {
        let gpu = Gpu::open_with(&options).await.expect("it opened before");
        let (shape, dtype, f) = (vec![4], DType::F32, Unary::Relu);
        let plan = Plan::single(Arc::new(Map { shape, dtype, f })).expect("valid");
        let session = Session::new(&gpu, plan.into(), SessionOptions::default())
            .await
            .expect("valid");
        let x = Tensor::from_f32(&[4], &[-1.0, 2.0, -0.5, 3.0]).expect("shape");
        let run = session.run(&[&x]).expect("fits");
        let y = run.await.expect("no error").swap_remove(0);
        assert_eq!(y.to_f32(), [0.0, 2.0, 0.0, 3.0]);
        gpu.device()
            .features()
            .contains(wizen::wgpu::Features::PIPELINE_CACHE)
    })
}

/// The file of pipelines; beside it lies at most the one of what was timed.
fn only_file(folder: &Path) -> PathBuf {
    let files = fs::read_dir(folder).expect("created");
    let files = files.map(|file| file.expect("readable").path());
    let timed = |path: &PathBuf| path.extension().is_some_and(|e| e == "json");
    let (timed, mut others): (Vec<_>, Vec<_>) = files.partition(timed);
    assert!(
        timed.len() <= 1 && others.len() == 1,
        "temporary files are left"
    );
    others.swap_remove(0)
}

/// The file with these data: magic, length, CRC-32, data.
fn with_header(data: &[u8]) -> Vec<u8> {
    let mut crc = flate2::Crc::new();
    crc.update(data);
    let length = (data.len() as u64).to_le_bytes();
    [&b"wizenPC1"[..], &length, &crc.sum().to_le_bytes(), data].concat()
}

#[test]
fn compiled_pipelines_survive_what_happens_to_files() {
    if gpu().is_none() {
        return;
    }
    let dir = tempfile::tempdir().expect("temporary folder");
    let folder = dir.path().join("not/yet");
    if !compute(&folder) {
        assert!(!folder.exists(), "a file that nothing can use");
        return;
    }
    let file = only_file(&folder);
    let whole = fs::read(&file).expect("written");
    let data = &whole[20..];
    assert_eq!(whole, with_header(data));
    compute(&folder);
    assert!(fs::read(&file).expect("still there").len() >= whole.len());

    let changed = |at: usize| {
        let mut file = whole.clone();
        file[at] ^= 0x55;
        file
    };
    // Bytes 32 to 48 of wgpu's header tell the driver's version.
    let mut other_driver = data.to_vec();
    other_driver[32..48].fill(0xab);
    let damaged = [
        ("damaged", changed(whole.len() - 1)),
        ("another version of the format", changed(7)),
        ("truncated", whole[..whole.len() - 3].to_vec()),
        ("empty", Vec::new()),
        ("of another driver", with_header(&other_driver)),
        ("no data of wgpu's", with_header(b"anything")),
    ];
    for (what, bytes) in damaged {
        fs::write(&file, &bytes).expect("writable");
        compute(&folder);
        let now = fs::read(only_file(&folder)).expect("still there");
        assert_ne!(now, bytes, "{what}: it was not replaced");
        assert_eq!(now, with_header(&now[20..]), "{what}");
        assert_eq!(now[20..][..56], data[..56], "{what}: wgpu's header");
    }

    // A folder that cannot be made, and a file that cannot be read.
    let blocked = dir.path().join("a file");
    fs::write(&blocked, b"mine").expect("writable");
    compute(&blocked);
    assert_eq!(fs::read(&blocked).expect("still there"), b"mine");
    fs::remove_file(&file).expect("ours");
    fs::create_dir(&file).expect("writable");
    compute(&folder);
    assert!(only_file(&folder).is_dir());
}

#[test]
fn two_processes_share_the_file_or_none() {
    if gpu().is_none() {
        return;
    }
    let dir = tempfile::tempdir().expect("temporary folder");
    let start = |cache: &Path, more: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_wizen"))
            .args(["bench", "--batch", "1", "--runs", "1", "--json"])
            .args(more)
            .env("WIZEN_CACHE", cache)
            .stdout(std::process::Stdio::null())
            .spawn()
            .expect("the binary was built")
    };
    let shared = dir.path().join("shared");
    let both = [start(&shared, &[]), start(&shared, &[])];
    for mut process in both {
        assert!(process.wait().expect("it ran").success());
    }
    let kept = compute(&dir.path().join("probe"));
    assert_eq!(shared.exists(), kept);
    if kept {
        let bytes = fs::read(only_file(&shared)).expect("readable");
        assert_eq!(bytes, with_header(&bytes[20..]));
    }
    let none = dir.path().join("none");
    let mut process = start(&none, &["--no-cache"]);
    assert!(process.wait().expect("it ran").success());
    assert!(!none.exists());
}
