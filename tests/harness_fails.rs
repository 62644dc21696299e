//! Negative controls: kernels broken on purpose, each of which the harness must catch.
//!
//! A control counts only if the report names the symptom: a shader that fails to compile catches nothing.

use std::sync::Arc;

use crate::harness;
use wizen::Result;
use wizen::base::{DType, Range, Requant, Rng, Tensor};
use wizen::gpu::{Spec, specialise};
use wizen::kernels::map::{Map, Unary, WithTable};
use wizen::kernels::norm::{BatchNorm, Statistics};
use wizen::kernels::pool::{AvgPool, Pool};
use wizen::kernels::product::{Conv2dI8, Float, Matmul, MatmulI8};
use wizen::kernels::quantize::Quantize;
use wizen::kernels::{Agreement, Binding, Caps, Conv, Kernel, Launch, OutI8, Variant};

/// What is wrong with a kernel.
#[derive(Clone, Debug)]
enum Defect {
    /// Nothing: the control of the controls.
    None,
    /// Part of the shader's code reads otherwise: every occurrence of the first, outside comments.
    Text(&'static str, &'static str),
    /// The same in the variant through workgroup memory, files that it includes among its code.
    Workgroup(&'static str, &'static str),
    /// The same in the variant for single channels.
    Depthwise(&'static str, &'static str),
    /// This word of the parameters is off by this much.
    Param(usize, i32),
    /// This many workgroups are missing along x.
    Workgroups(u32),
    /// The bound of every output is this large.
    Bound(f64),
    /// Every element of every output is called a tie.
    AllTies,
}

/// A kernel with a defect. Its CPU face is sound.
#[derive(Debug)]
struct Broken {
    inner: Arc<dyn Kernel>,
    defect: Defect,
}

impl Kernel for Broken {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn bindings(&self) -> Vec<Binding> {
        self.inner.bindings()
    }

    fn launch(&self, caps: &Caps) -> Result<Launch> {
        let variant = match self.defect {
            Defect::Workgroup(..) => Variant::Workgroup,
            Defect::Depthwise(..) => Variant::Depthwise,
            _ => Variant::Plain,
        };
        let mut launch = self.inner.launch_as(caps, variant)?;
        match self.defect {
            Defect::None | Defect::Bound(_) | Defect::AllTies => {}
            Defect::Text(from, to) | Defect::Workgroup(from, to) | Defect::Depthwise(from, to) => {
                let text = specialise(self.name(), &launch.source, &launch.spec)?;
                let broken = edited(&text, from, to);
                let broken = broken.unwrap_or_else(|| panic!("{}: no `{from}`", self.name()));
                (launch.source, launch.spec) = (broken.into(), Spec::new());
            }
            Defect::Param(word, by) => {
                let bytes = &mut launch.params[4 * word..4 * word + 4];
                let old = u32::from_le_bytes(bytes.try_into().expect("four bytes"));
                bytes.copy_from_slice(&old.wrapping_add_signed(by).to_le_bytes());
            }
            Defect::Workgroups(missing) => {
                assert!(
                    launch.workgroups[0] > missing,
                    "{}: {:?} workgroups",
                    self.name(),
                    launch.workgroups
                );
                launch.workgroups[0] -= missing;
            }
        }
        Ok(launch)
    }

    fn cpu(&self, args: &mut [Tensor]) -> Result<()> {
        self.inner.cpu(args)
    }

    fn agreement(&self, args: &[Tensor]) -> Result<Vec<Agreement>> {
        let sound = self.inner.agreement(args)?;
        Ok(match self.defect {
            Defect::Bound(bound) => args
                .iter()
                .map(|arg| Agreement::Within(vec![bound; arg.len()]))
                .collect(),
            Defect::AllTies => args
                .iter()
                .map(|arg| Agreement::NearTie {
                    near_tie: vec![true; arg.len()],
                    step: vec![1.0; arg.len()],
                })
                .collect(),
            _ => sound,
        })
    }

    fn operations(&self) -> f64 {
        self.inner.operations()
    }

    fn example_args(&self, rng: &mut Rng) -> Vec<Tensor> {
        self.inner.example_args(rng)
    }
}

/// `source` with every `from` outside comments replaced; `None` if there is none.
fn edited(source: &str, from: &str, to: &str) -> Option<String> {
    let mut found = false;
    let edit = |line: &str| {
        let (code, comment) = line.split_at(line.find("//").unwrap_or(line.len()));
        found |= code.contains(from);
        code.replace(from, to) + comment + "\n"
    };
    let text: String = source.lines().map(edit).collect();
    found.then_some(text)
}

/// The harness's verdict on `inner` with this defect; `None` without a GPU.
fn verdict(inner: &Arc<dyn Kernel>, defect: Defect) -> Option<std::result::Result<(), String>> {
    let gpu = harness::gpu()?;
    let args = inner.example_args(&mut Rng::new(harness::seed()));
    let broken: Arc<dyn Kernel> = Arc::new(Broken {
        inner: Arc::clone(inner),
        defect,
    });
    Some(harness::verify(&gpu, &broken, &broken, &args))
}

/// The sound kernel passes, and with each defect the report says what the second part says.
fn catches(kernel: impl Kernel + 'static, defects: &[(Defect, &str)]) {
    let kernel: Arc<dyn Kernel> = Arc::new(kernel);
    match verdict(&kernel, Defect::None) {
        None => return,
        Some(Ok(())) => {}
        Some(Err(report)) => panic!("the sound kernel fails: {report}"),
    }
    assert!(!defects.is_empty());
    for (defect, symptom) in defects {
        match verdict(&kernel, defect.clone()) {
            Some(Err(report)) if report.contains(symptom) => {}
            other => panic!("{kernel:?} with {defect:?}: {other:?}, expected `{symptom}`"),
        }
    }
}

const WRONG: &str = "elements disagree";
const BEYOND: &str = "past its end";
const VACUOUS: &str = "is as large as it";
const TIES: &str = "is called a tie";

fn relu(len: usize) -> Map {
    Map {
        shape: vec![len],
        dtype: DType::F32,
        f: Unary::Relu,
    }
}

#[test]
fn relu_f32() {
    use Defect::{Bound, Param, Text, Workgroups};
    let store = "y[i] = bitcast<u32>(activation(bitcast<f32>(x[i])));";
    catches(
        relu(509),
        &[
            // A wrong constant.
            (
                Text(
                    store,
                    "y[i] = bitcast<u32>(max(0.001, bitcast<f32>(x[i])));",
                ),
                WRONG,
            ),
            // A skipped tail: one element, one workgroup.
            (Param(0, -1), WRONG),
            (Workgroups(1), WRONG),
            // NaN, everywhere and in one place.
            (Text(store, "y[i] = 0x7fc00000u;"), WRONG),
            (
                Text(
                    store,
                    "y[i] = select(bitcast<u32>(activation(bitcast<f32>(x[i]))), 0x7fc00000u, i == 500u);",
                ),
                WRONG,
            ),
            // An output that is not written, whole and in one place.
            (
                Text(
                    store,
                    "if i == 0xffffffffu { y[i] = bitcast<u32>(activation(bitcast<f32>(x[i]))); }",
                ),
                WRONG,
            ),
            (
                Text(
                    store,
                    "if i != 77u { y[i] = bitcast<u32>(activation(bitcast<f32>(x[i]))); }",
                ),
                WRONG,
            ),
            // An index that is off by one, on either side.
            (Text("x[i]", "x[i + 1u]"), WRONG),
            (Text("y[i] = ", "y[i + 1u] = "), BEYOND),
            // A write past the end by someone who also does the work.
            (
                Text(
                    store,
                    "y[i] = bitcast<u32>(activation(bitcast<f32>(x[i]))); if i == 0u { y[params.words] = 1u; }",
                ),
                BEYOND,
            ),
            (Param(0, 3), BEYOND),
            // The wrong half.
            (
                Text(store, "y[i] = bitcast<u32>(min(0.0, bitcast<f32>(x[i])));"),
                WRONG,
            ),
            // Bounds that nothing could violate.
            (Bound(1e3), VACUOUS),
            (Bound(8.0), VACUOUS),
            (Bound(f64::INFINITY), VACUOUS),
            (Bound(f64::NAN), VACUOUS),
        ],
    );
}

#[test]
fn batch_norm_f32() {
    use Defect::{Bound, Param, Text};
    let store = "y[i] = (x[i] - center) * factor + shift;";
    let kernel = BatchNorm {
        rows: 37,
        channels: 5,
        statistics: Statistics::Running { eps: 0.01 },
    };
    catches(
        kernel,
        &[
            (Text("+ params.eps", ""), WRONG),
            (Text("x[i] - center", "x[i] + center"), WRONG),
            (Text("+ shift", "+ shift * 1.0001"), WRONG),
            (
                Text(store, "y[i] = (x[i] - center) * (factor * 1.0001) + shift;"),
                WRONG,
            ),
            (Text("mean[c]", "mean[(c + 1u) % params.channels]"), WRONG),
            (Param(0, -1), WRONG),
            (Param(0, 1), BEYOND),
            (Bound(1e3), VACUOUS),
        ],
    );
}

#[test]
fn avg_pool_f16() {
    use Defect::{Param, Text};
    let kernel = AvgPool {
        x: [70, 3, 5, 1],
        pool: Pool::square(3, 1, 1),
        dtype: DType::F16,
    };
    let store = "y[i] = packed(sum / f32(counted(window)));";
    catches(
        kernel,
        &[
            // One channel: the other half of the word is padding.
            (
                Text(
                    store,
                    "y[i] = packed(sum / f32(counted(window))) | 0x3c000000u;",
                ),
                "row padding is not zero",
            ),
            (Text("kh = tap.x", "kh = tap.x + 1u"), WRONG),
            (Text("h >= IN_H", "h > IN_H"), WRONG),
            (Text("sum / f32", "sum * 1.01 / f32"), WRONG),
            (Text("counted(window)", "(KERNEL_H * KERNEL_W)"), WRONG),
            (Param(0, -1), WRONG),
        ],
    );
}

#[test]
fn matmul_i8() {
    use Defect::{AllTies, Param, Text};
    let out = OutI8 {
        requant: Requant::Float,
        zero_point: 5,
        range: Range::affine(8),
    };
    let kernel = MatmulI8 {
        m: 21,
        n: 5,
        k: 30,
        out: Some(out),
    };
    let rounded = "out_i8(acc, m, params.zero_point, params.qmin, params.qmax)";
    let floored = "clamp(i32(floor(f32(acc) * bitcast<f32>(m.x))) + params.zero_point, \
                   params.qmin, params.qmax)";
    let padding = "row padding is not zero";
    catches(
        kernel,
        &[
            (Text(rounded, floored), WRONG),
            (Text("params.zero_point,", "-params.zero_point,"), WRONG),
            (Text("params.zero_point,", "params.zero_point + 1,"), WRONG),
            (Text("multiplier[j.y]", "multiplier[0]"), WRONG),
            (Text("r < params.steps", "r + 1u < params.steps"), WRONG),
            (
                Text("keep_lanes(pack_i8(q), params.n - column)", "pack_i8(q)"),
                padding,
            ),
            (Text("y[at] =", "y[at + 1u] ="), BEYOND),
            (Param(0, -1), WRONG),
            (Param(0, 1), BEYOND),
            (Param(7, -100), WRONG),
            (AllTies, TIES),
        ],
    );
}

#[test]
fn quantize_i8() {
    use Defect::{AllTies, Param, Text, Workgroups};
    let kernel = Quantize {
        shape: vec![19, 67],
        axis: Some(0),
        range: Range::affine(8),
    };
    let rounded = "round(value * inv_scale)";
    let padding = "row padding is not zero";
    catches(
        kernel,
        &[
            (Text(rounded, "floor(value * inv_scale)"), WRONG),
            (Text(rounded, "trunc(value * inv_scale)"), WRONG),
            (Text(rounded, "floor(value * inv_scale + 0.51)"), WRONG),
            (Text("+ z;", "- z;"), WRONG),
            (Text("inv_scale[ch]", "inv_scale[0]"), WRONG),
            (
                Text(
                    "keep_lanes(pack_i8(q), params.row_len - columns.x)",
                    "pack_i8(q)",
                ),
                padding,
            ),
            (Text("y[i] =", "y[i + 1u] ="), BEYOND),
            (Param(0, -1), WRONG),
            (Workgroups(1), WRONG),
            (AllTies, TIES),
        ],
    );
}

/// Edits that any implementation of this formula has room for.
#[test]
fn matmul_f32() {
    use Defect::{Bound, Text};
    let kernel = Matmul {
        m: 13,
        n: 7,
        k: 37,
        float: Float::F32,
        act: None,
    };
    catches(
        kernel,
        &[
            (
                Text("return bitcast<f32>(", "return 1.0001 * bitcast<f32>("),
                WRONG,
            ),
            (
                Text("return bitcast<vec4<f32>>", "return -bitcast<vec4<f32>>"),
                WRONG,
            ),
            (Text("bias[", "0.001 + bias["), WRONG),
            (Text("y[", "y[1u + "), BEYOND),
            (Bound(1e4), VACUOUS),
        ],
    );
}

/// Tiles in workgroup memory: 37 words are four steps and a part of one.
#[test]
fn matmul_f32_through_workgroup_memory() {
    use Defect::Workgroup;
    let Some(gpu) = harness::gpu() else { return };
    let kernel = Matmul {
        m: 43,
        n: 39,
        k: 37,
        float: Float::F32,
        act: None,
    };
    let mut defects = vec![
        // The last step, the first step, words of the next row.
        (Workgroup("step <= steps", "step < steps"), WRONG),
        (Workgroup("if step > 0u", "if step > 1u"), WRONG),
        (Workgroup("t < params.steps", "t <= params.steps"), WRONG),
        // Another quad's rows, and columns.
        (
            Workgroup("+ own_row + 8u *", "+ (own_row ^ 1u) + 8u *"),
            WRONG,
        ),
        (
            Workgroup("4u * own_column", "4u * (7u - own_column)"),
            WRONG,
        ),
        (Workgroup("< params.n {", "< params.n || true {"), BEYOND),
        (Workgroup("at < params.m &", "at <= params.m &"), BEYOND),
    ];
    if gpu.caps().software {
        // Where subgroups take turns, a missing barrier shows every time.
        defects.push((Workgroup("workgroupBarrier();", ""), WRONG));
    }
    catches(kernel, &defects);
}

/// Kept rows, strips of rows and several outputs to a channel, in words that are not full, through a table.
#[test]
fn conv2d_i8_depthwise() {
    use Defect::Depthwise;
    let kernel = Conv2dI8 {
        x: [2, 37, 11, 17],
        w: [34, 3, 3, 1],
        conv: Conv::square(1, 1, 1, 17),
        x_zero_point: -9,
        out: Some(OutI8 {
            requant: Requant::Fixed,
            zero_point: 3,
            range: Range::affine(8),
        }),
        residual: None,
    };
    catches(
        WithTable::new(kernel),
        &[
            (Depthwise("= xs[STRIDE_H * SPAN + ", "= xs["), WRONG),
            (Depthwise("steps + WARM", "steps + WARM - 1u"), WRONG),
            (Depthwise("params.strips *", "params.strips * 2u *"), WRONG),
            (Depthwise("ix >= 0 &&", ""), WRONG),
            (Depthwise("row_inside &&", ""), WRONG),
            (Depthwise("/ MULTIPLIER % lanes", "% lanes"), WRONG),
            (Depthwise("word / MULTIPLIER", "word"), WRONG),
            (Depthwise("params.x_zero_points, x", "0u, x"), WRONG),
            (Depthwise("byte % 4u * 8u", "byte % 4u"), WRONG),
        ],
    );
}

#[test]
fn everything_called_a_tie_is_rejected() {
    catches(relu(509), &[(Defect::AllTies, TIES)]);
}

#[test]
fn a_wrong_kernel_fails_its_test() {
    // What a test writer calls, not only the function below it.
    if harness::gpu().is_none() {
        return;
    }
    let kernel: Arc<dyn Kernel> = Arc::new(Broken {
        inner: Arc::new(relu(7)),
        defect: Defect::Text("activation(b", "1.0 + activation(b"),
    });
    let args = kernel.example_args(&mut Rng::new(harness::seed()));
    let run = std::panic::AssertUnwindSafe(|| harness::check_with(kernel, args));
    let panic = std::panic::catch_unwind(run).expect_err("it must panic");
    let report = panic.downcast_ref::<String>().expect("a message");
    assert!(report.contains(WRONG), "{report}");
}
