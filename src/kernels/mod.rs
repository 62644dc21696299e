//! One file, one kernel: formula, shapes, struct, bindings, launch, CPU twin, agreement, cost, unit test.
//!
//! A kernel is a value with two faces. [`Kernel::launch`] says what a GPU runs, [`Kernel::cpu`] says
//! what must come out, and [`Kernel::agreement`] says how closely the two have to agree. Shader file,
//! Rust file, pipeline label, test and bench share one name: `<operation>_<storage dtype>`.

mod agreement;
mod approx;
pub mod binary;
mod channels;
mod elementwise;
mod frame;
pub mod loss;
pub mod map;
pub mod movement;
pub mod norm;
pub mod observe;
pub mod optimizer;
mod out_i8;
pub mod pool;
pub mod probe;
pub mod product;
pub mod quantize;
pub mod reduce;
pub mod resample;
pub mod topk;
mod variant;

pub use agreement::{Agreement, Disagreement, gamma, ulp_f16, ulp_f32};
pub use approx::{Approx, store, within_f16, within_f32};
pub use channels::chunks_for;
pub use out_i8::OutI8;
pub use pool::Pool;
pub use product::{Conv, ResidualI8};
pub use variant::Variant;

use std::fmt;

use crate::base::{DType, Rng, Shape, Tensor};
use crate::error::{Error, Result};
pub use crate::gpu::{Access, Caps, Const, Launch, Spec, grid_1d, grid_3d, params_bytes};

/// One buffer of a kernel: the single statement of its interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// The letter of the formula; also the variable's name in the shader.
    pub name: &'static str,
    /// How the kernel uses it.
    pub access: Access,
    /// Element type.
    pub dtype: DType,
    /// Sizes of the axes.
    pub shape: Shape,
}

impl Binding {
    /// A buffer that is only read.
    pub fn read(name: &'static str, dtype: DType, shape: impl Into<Shape>) -> Self {
        Self {
            name,
            access: Access::Read,
            dtype,
            shape: shape.into(),
        }
    }

    /// A buffer that is written whole.
    pub fn write(name: &'static str, dtype: DType, shape: impl Into<Shape>) -> Self {
        Self {
            name,
            access: Access::Write,
            dtype,
            shape: shape.into(),
        }
    }

    /// A buffer that is updated in place.
    pub fn update(name: &'static str, dtype: DType, shape: impl Into<Shape>) -> Self {
        Self {
            name,
            access: Access::ReadWrite,
            dtype,
            shape: shape.into(),
        }
    }
}

/// Work of one launch, for rooflines.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cost {
    /// Arithmetic operations (a multiply-accumulate counts two).
    pub operations: f64,
    /// Bytes that must move at least: every binding once.
    pub bytes: f64,
}

/// One GPU program and the truth it must reproduce. Immutable, holds no device.
pub trait Kernel: fmt::Debug + Send + Sync {
    /// Stem of `shaders/<name>.wgsl`; also pipeline label, test module and bench id.
    fn name(&self) -> &'static str;

    /// Buffers in `@group(0) @binding` order.
    fn bindings(&self) -> Vec<Binding>;

    /// What to run on a device with these capabilities, as [`Variant::Plain`]. Pure: no device is touched.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if a limit of the device is too small.
    fn launch(&self, caps: &Caps) -> Result<Launch>;

    /// The ways to run it on a device with these capabilities, never none. The first is the best guess
    /// without having timed them.
    fn variants(&self, _caps: &Caps) -> Vec<Variant> {
        vec![Variant::Plain]
    }

    /// What to run as this variant.
    ///
    /// # Errors
    /// As [`Self::launch`]; [`Error::Unsupported`] for a variant that is not among [`Self::variants`].
    fn launch_as(&self, caps: &Caps, variant: Variant) -> Result<Launch> {
        match variant {
            Variant::Plain => self.launch(caps),
            Variant::Subgroup | Variant::Workgroup | Variant::Depthwise | Variant::Cooperative => {
                Err(variant.unsupported(self.name()))
            }
        }
    }

    /// What must come out: `args` holds one tensor per binding, in order; outputs are overwritten.
    /// Written for reading: f64 or exact integers inside.
    ///
    /// # Errors
    /// Only for arguments of another dtype than [`Self::bindings`] states.
    fn cpu(&self, args: &mut [Tensor]) -> Result<()>;

    /// How closely a device must agree with [`Self::cpu`] on these arguments (as they are before the
    /// run): one entry per binding, [`Agreement::Equal`] for those only read.
    ///
    /// # Errors
    /// As [`Self::cpu`].
    fn agreement(&self, args: &[Tensor]) -> Result<Vec<Agreement>>;

    /// Operations and bytes.
    fn cost(&self) -> Cost {
        Cost {
            operations: self.operations(),
            bytes: total_bytes(&self.bindings()),
        }
    }

    /// Arithmetic operations of one launch.
    fn operations(&self) -> f64;

    /// Random arguments that satisfy the kernel's preconditions, for tests and benches: overridden
    /// where an argument is not simply any number (labels, zero points, scales).
    fn example_args(&self, rng: &mut Rng) -> Vec<Tensor> {
        random_args(&self.bindings(), rng)
    }
}

/// What a device remembers the fastest variant of a kernel by: its name and the shapes of its buffers.
pub fn tuning_key(kernel: &dyn Kernel) -> String {
    let mut key = kernel.name().to_owned();
    for binding in kernel.bindings() {
        let sizes: Vec<String> = binding.shape.iter().map(ToString::to_string).collect();
        key.push_str(&format!(" {}[{}]", binding.name, sizes.join("x")));
    }
    key
}

/// A random tensor for every binding.
pub fn random_args(bindings: &[Binding], rng: &mut Rng) -> Vec<Tensor> {
    bindings
        .iter()
        .map(|binding| random_tensor(binding, rng))
        .collect()
}

/// Bytes of all bindings, each counted once.
pub fn total_bytes(bindings: &[Binding]) -> f64 {
    bindings
        .iter()
        .map(|b| 4.0 * crate::base::words_for(&b.shape, b.dtype) as f64)
        .sum()
}

/// A tensor of random values that fits `binding`: floats in [−2, 2) with some exact zeros, all of i8,
/// small integers.
pub fn random_tensor(binding: &Binding, rng: &mut Rng) -> Tensor {
    let mut tensor = Tensor::zeros(&binding.shape, binding.dtype);
    let len = tensor.len();
    match binding.dtype {
        DType::F32 | DType::F16 => {
            let data: Vec<f64> = (0..len)
                .map(|_| {
                    if rng.below(16) == 0 {
                        0.0
                    } else {
                        f64::from(rng.range(-2.0, 2.0))
                    }
                })
                .collect();
            tensor
                .store_f64(&data)
                .expect("a float tensor of this length");
        }
        DType::I8 => {
            let data: Vec<i8> = (0..len).map(|_| rng.next_u32() as u8 as i8).collect();
            tensor.store_i8(&data).expect("an i8 tensor of this length");
        }
        DType::I32 => {
            for word in tensor.words_mut() {
                *word = (rng.below(2001) as i32 - 1000) as u32;
            }
        }
        DType::U32 => {
            for word in tensor.words_mut() {
                *word = rng.next_u32();
            }
        }
    }
    tensor
}

/// An f32 tensor of random values in `[low, high)`.
pub fn uniform(shape: &[usize], low: f32, high: f32, rng: &mut Rng) -> Tensor {
    let mut tensor = Tensor::zeros(shape, DType::F32);
    for word in tensor.words_mut() {
        *word = rng.range(low, high).to_bits();
    }
    tensor
}

/// Checks that `args` are what `kernel` binds.
///
/// # Errors
/// [`Error::Shape`] or [`Error::DType`] naming kernel and operand.
pub fn check_args(kernel: &dyn Kernel, args: &[Tensor]) -> Result<()> {
    let bindings = kernel.bindings();
    if args.len() != bindings.len() {
        let problem = format!("{} arguments, expected {}", args.len(), bindings.len());
        return Err(Error::invalid(kernel.name(), problem));
    }
    for (binding, arg) in bindings.iter().zip(args) {
        if arg.shape() != binding.shape {
            let expected = format!("{:?}", binding.shape);
            return Err(Error::shape(
                kernel.name(),
                binding.name,
                expected,
                arg.shape(),
            ));
        }
        if arg.dtype() != binding.dtype {
            return Err(Error::DType {
                op: kernel.name().into(),
                operand: binding.name.into(),
                expected: binding.dtype.to_string(),
                got: arg.dtype().to_string(),
            });
        }
    }
    Ok(())
}

/// Sample instances of every kernel: what the harness checks, the shader test validates and the bench
/// times.
pub fn all() -> Vec<Box<dyn Kernel>> {
    [
        binary::samples(),
        map::samples(),
        movement::samples(),
        loss::samples(),
        norm::samples(),
        observe::samples(),
        optimizer::samples(),
        pool::samples(),
        probe::samples(),
        product::samples(),
        reduce::samples(),
        resample::samples(),
        topk::samples(),
        quantize::samples(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
