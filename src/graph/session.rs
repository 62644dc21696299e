//! A plan resident on a GPU: buffers, pipelines and bind groups made once; a run is one submission.

use std::collections::HashMap;
use std::sync::Arc;

use super::plan::{Kind, Plan, PlanValue, Step};
use crate::base::{Instant, Tensor, words_for};
use crate::error::{Error, Result};
use crate::gpu::{
    Buffers, Gpu, Pending, PipelineRequest, PreparedStep, encode_steps, encode_steps_timed,
};
use crate::kernels::{Variant, tuning_key};

/// How a [`Session`] lays out and watches its buffers.
#[derive(Clone, Debug, Default)]
pub struct SessionOptions {
    /// Every value gets a buffer of its own and stays readable after a run.
    pub trace: bool,
    /// Words after every value's buffer that no kernel may touch; for tests.
    pub guard_words: usize,
    /// Fill buffers with this word before the first run; for tests.
    pub poison: Option<u32>,
    /// The application's own buffers for values, by name: used in place, nothing is copied. They need
    /// the usages `STORAGE | COPY_SRC | COPY_DST` and at least the value's size.
    pub external: HashMap<String, wgpu::Buffer>,
}

/// A plan on a device. [`Session::run`] is one encoder, one compute pass, one submission, one await.
#[derive(Debug)]
pub struct Session {
    gpu: Gpu,
    plan: Arc<Plan>,
    /// The buffer of each value; values that share a slot share the buffer. `None`: unused value.
    buffers: Vec<Option<wgpu::Buffer>>,
    steps: Vec<PreparedStep>,
    trace: bool,
    variants: Vec<Variant>,
}

/// What runs a step: what the plan says, else what the device was told to take or has measured, else what
/// the kernel thinks best.
fn variant(gpu: &Gpu, step: &Step) -> Variant {
    let offered = step.kernel.variants(gpu.caps());
    let named = |name: &str| {
        let variant = name.parse::<Variant>().ok();
        variant.filter(|variant| offered.contains(variant))
    };
    let measured = || {
        let several = offered.len() > 1;
        let tuned = several.then(|| gpu.tuned(&tuning_key(step.kernel.as_ref())));
        tuned.flatten().and_then(|name| named(&name))
    };
    step.variant
        .or_else(|| gpu.forced_variant().and_then(named))
        .or_else(measured)
        .or_else(|| offered.first().copied())
        .unwrap_or_default()
}

impl Session {
    /// Uploads constants and states, compiles every pipeline and makes all bind groups.
    ///
    /// # Errors
    /// Naming node and kernel: [`Error::Unsupported`] for limits, [`Error::Device`] for compilation,
    /// [`Error::OutOfMemory`] for buffers.
    pub async fn new(gpu: &Gpu, plan: Arc<Plan>, options: SessionOptions) -> Result<Self> {
        gpu.check()?;
        let variants: Vec<Variant> = plan.steps.iter().map(|step| variant(gpu, step)).collect();
        let launches: Vec<_> = plan
            .steps
            .iter()
            .zip(&variants)
            .map(|(step, &variant)| step.kernel.launch_as(gpu.caps(), variant))
            .collect::<Result<_>>()?;
        let requests: Vec<_> = plan
            .steps
            .iter()
            .zip(&launches)
            .map(|(step, launch)| {
                let bindings = step.kernel.bindings();
                PipelineRequest {
                    name: step.kernel.name(),
                    launch,
                    access: bindings.iter().map(|binding| binding.access).collect(),
                }
            })
            .collect();
        let pipelines = gpu.pipelines(&requests).await?;
        let batch = Buffers::new(gpu);
        let made = make_buffers(gpu, &batch, &plan, &options);
        let align = gpu.caps().uniform_alignment.max(16) as usize;
        let mut params = Vec::new();
        let mut offsets = Vec::with_capacity(launches.len());
        for launch in &launches {
            params.resize(params.len().next_multiple_of(align), 0);
            offsets.push(params.len() as u32);
            params.extend_from_slice(&launch.params);
        }
        params.resize(params.len().next_multiple_of(align), 0);
        let uniform = batch.uniform("params", &params);
        let mut steps = Vec::with_capacity(launches.len());
        if let Ok(buffers) = &made {
            for (i, (step, launch)) in plan.steps.iter().zip(&launches).enumerate() {
                let bound: Vec<&wgpu::Buffer> = step
                    .args
                    .iter()
                    .filter_map(|&a| buffers[a].as_ref())
                    .collect();
                let slot = (&uniform, offsets[i], launch.params.len() as u64);
                steps.push(PreparedStep::new(
                    gpu,
                    &pipelines[i],
                    &bound,
                    slot,
                    launch.workgroups,
                ));
            }
        }
        // The scopes must be popped whether or not a buffer was refused before.
        let finished = batch.finish("session").await;
        let buffers = made?;
        finished?;
        Ok(Self {
            gpu: gpu.clone(),
            plan,
            buffers,
            steps,
            trace: options.trace,
            variants,
        })
    }

    /// The variant of each step that runs.
    pub fn variants(&self) -> &[Variant] {
        &self.variants
    }

    /// The plan it runs.
    pub fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    /// The device it lives on.
    pub fn gpu(&self) -> &Gpu {
        &self.gpu
    }

    /// The buffer that holds a value: fill an input's or read an output's from the application's own
    /// commands. Temporary values share buffers: only inputs, states, constants and outputs are stable.
    ///
    /// # Errors
    /// [`Error::Invalid`] if there is no such value or no step uses it.
    pub fn buffer(&self, name: &str) -> Result<&wgpu::Buffer> {
        self.buffer_at(self.plan.find(name)?)
    }

    fn buffer_at(&self, index: usize) -> Result<&wgpu::Buffer> {
        self.buffers[index].as_ref().ok_or_else(|| {
            Error::invalid(
                "session",
                format!("no step uses `{}`", self.plan.values[index].name),
            )
        })
    }

    /// Records the whole network into the caller's encoder, as one compute pass. Inputs are whatever
    /// their buffers hold.
    pub fn record(&self, encoder: &mut wgpu::CommandEncoder) {
        encode_steps(encoder, "wizen", &self.steps);
    }

    /// Uploads the inputs and submits a run without reading anything back.
    ///
    /// # Errors
    /// For inputs that do not fit; what the device reported since the last call.
    pub fn submit(&self, inputs: &[&Tensor]) -> Result<()> {
        let encoder = self.encode(inputs)?;
        self.gpu.queue().submit([encoder.finish()]);
        Ok(())
    }

    fn encode(&self, inputs: &[&Tensor]) -> Result<wgpu::CommandEncoder> {
        self.upload(inputs)?;
        let mut encoder = self
            .gpu
            .device()
            .create_command_encoder(&Default::default());
        self.record(&mut encoder);
        Ok(encoder)
    }

    fn upload(&self, inputs: &[&Tensor]) -> Result<()> {
        self.gpu.check()?;
        self.plan.check_inputs(inputs)?;
        for (&index, tensor) in self.plan.inputs.iter().zip(inputs) {
            if let Some(buffer) = &self.buffers[index] {
                self.gpu.queue().write_buffer(buffer, 0, tensor.bytes());
            }
        }
        Ok(())
    }

    /// Uploads the inputs, runs, and returns the outputs once awaited. One submission.
    ///
    /// # Errors
    /// As [`Self::submit`]; the future reports what the device reports.
    pub fn run(&self, inputs: &[&Tensor]) -> Result<Pending<Vec<Tensor>>> {
        let encoder = self.encode(inputs)?;
        self.read_values(encoder, &self.plan.outputs)
    }

    fn read_values(
        &self,
        encoder: wgpu::CommandEncoder,
        indices: &[usize],
    ) -> Result<Pending<Vec<Tensor>>> {
        let values: Vec<PlanValue> = indices
            .iter()
            .map(|&i| self.plan.values[i].clone())
            .collect();
        let mut regions = Vec::with_capacity(indices.len());
        for &index in indices {
            regions.push((
                self.buffer_at(index)?,
                4 * self.plan.values[index].words() as u64,
            ));
        }
        let op = values
            .first()
            .map_or("read".to_owned(), |value| format!("read `{}`", value.name));
        let pending = self.gpu.submit_and_read(&op, encoder, &regions);
        Ok(Box::pin(async move {
            let bytes = pending.await?;
            values
                .iter()
                .zip(bytes)
                .map(|(value, bytes)| tensor_of(value, &bytes))
                .collect()
        }))
    }

    /// Reads a state, a constant, an output of the last run, or (with `trace`) any value.
    ///
    /// # Errors
    /// [`Error::Invalid`] for an unknown value or one whose buffer is shared.
    pub fn read(&self, name: &str) -> Result<Pending<Tensor>> {
        let index = self.plan.find(name)?;
        let value = &self.plan.values[index];
        if matches!(value.kind, Kind::Temp) && !self.trace && !self.plan.outputs.contains(&index) {
            let problem = format!(
                "`{name}` shares its buffer with other values; open the session with `trace`"
            );
            return Err(Error::invalid("read", problem));
        }
        let encoder = self
            .gpu
            .device()
            .create_command_encoder(&Default::default());
        let pending = self.read_values(encoder, &[index])?;
        Ok(Box::pin(async move { Ok(pending.await?.swap_remove(0)) }))
    }

    /// Replaces the contents of a state or a constant.
    ///
    /// # Errors
    /// [`Error::Shape`] or [`Error::DType`] if it does not fit.
    pub fn write(&self, name: &str, tensor: &Tensor) -> Result<()> {
        let index = self.plan.find(name)?;
        self.plan.check_value(index, tensor)?;
        self.gpu
            .queue()
            .write_buffer(self.buffer_at(index)?, 0, tensor.bytes());
        Ok(())
    }

    /// Every value after one run, in the order of [`Plan::values`] (`None` where no step uses it).
    /// The session must have been opened with `trace`.
    ///
    /// # Errors
    /// [`Error::Invalid`] without `trace`; otherwise as [`Self::run`].
    pub async fn trace(&self, inputs: &[&Tensor]) -> Result<Vec<Option<Tensor>>> {
        if !self.trace {
            return Err(Error::invalid(
                "trace",
                "open the session with SessionOptions { trace: true, .. }",
            ));
        }
        let used: Vec<usize> = (0..self.buffers.len())
            .filter(|&i| self.buffers[i].is_some())
            .collect();
        let tensors = self.read_values(self.encode(inputs)?, &used)?.await?;
        let mut all = vec![None; self.buffers.len()];
        for (index, tensor) in used.into_iter().zip(tensors) {
            all[index] = Some(tensor);
        }
        Ok(all)
    }

    /// Raw words of every used value's whole buffer, guards included, by position in [`Plan::values`].
    ///
    /// # Errors
    /// What the device reports.
    pub async fn raw_words(&self) -> Result<Vec<(usize, Vec<u32>)>> {
        let used: Vec<usize> = (0..self.buffers.len())
            .filter(|&i| self.buffers[i].is_some())
            .collect();
        let regions: Vec<_> = self
            .buffers
            .iter()
            .flatten()
            .map(|buffer| (buffer, buffer.size()))
            .collect();
        let encoder = self
            .gpu
            .device()
            .create_command_encoder(&Default::default());
        let bytes = self
            .gpu
            .submit_and_read("raw words", encoder, &regions)
            .await?;
        let words = bytes
            .iter()
            .map(|bytes| bytemuck::pod_collect_to_vec(bytes));
        Ok(used.into_iter().zip(words).collect())
    }

    /// Seconds that one run takes, of `runs` in one submission, by the clock: inputs are whatever their
    /// buffers hold, and nothing is read back. What a submission costs is spread over the runs.
    ///
    /// # Errors
    /// What the device reports.
    pub async fn time_runs(&self, runs: usize) -> Result<f64> {
        let idle = || {
            self.gpu
                .device()
                .create_command_encoder(&Default::default())
        };
        // What was submitted before, uploads for example, is not part of it.
        self.gpu.submit_and_read("time", idle(), &[]).await?;
        let start = Instant::now();
        let mut encoder = idle();
        for _ in 0..runs {
            self.record(&mut encoder);
        }
        self.gpu.submit_and_read("time", encoder, &[]).await?;
        Ok(start.elapsed().as_secs_f64() / runs.max(1) as f64)
    }

    /// One run with a pass and two timestamps per step: seconds of each step, in order.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if the device has no timestamps; otherwise as [`Self::run`].
    pub async fn profile(&self, inputs: &[&Tensor]) -> Result<Vec<f64>> {
        if !self.gpu.caps().timestamps {
            let problem = "it has no timestamp queries".into();
            return Err(Error::Unsupported {
                op: "profile".into(),
                problem,
            });
        }
        self.upload(inputs)?;
        let mut encoder = self
            .gpu
            .device()
            .create_command_encoder(&Default::default());
        let timings = encode_steps_timed(&self.gpu, &mut encoder, &self.steps);
        let size = timings.buffer.size();
        let bytes = self
            .gpu
            .submit_and_read("profile", encoder, &[(&timings.buffer, size)])
            .await?;
        let ticks: Vec<u64> = bytemuck::pod_collect_to_vec(&bytes[0]);
        let pairs = ticks.chunks_exact(2).take(self.steps.len());
        Ok(pairs
            .map(|pair| pair[1].saturating_sub(pair[0]) as f64 * timings.period * 1e-9)
            .collect())
    }
}

fn tensor_of(value: &PlanValue, bytes: &[u8]) -> Result<Tensor> {
    Tensor::from_words(
        &value.shape,
        value.dtype,
        bytemuck::pod_collect_to_vec(bytes),
    )
}

fn make_buffers(
    gpu: &Gpu,
    batch: &Buffers<'_>,
    plan: &Plan,
    options: &SessionOptions,
) -> Result<Vec<Option<wgpu::Buffer>>> {
    let mut used = vec![false; plan.values.len()];
    for &arg in plan
        .steps
        .iter()
        .flat_map(|step| &step.args)
        .chain(&plan.outputs)
    {
        used[arg] = true;
    }
    let guard = options.guard_words;
    let make = |label: &str, words: usize| -> Result<wgpu::Buffer> {
        let buffer = batch.storage(label, 4 * (words + guard) as u64)?;
        if let Some(word) = options.poison {
            gpu.queue().write_buffer(
                &buffer,
                0,
                bytemuck::cast_slice(&vec![word; (words + guard).max(1)]),
            );
        }
        Ok(buffer)
    };
    let mut slots: Vec<Option<wgpu::Buffer>> = vec![None; plan.slots.len()];
    let mut buffers = Vec::with_capacity(plan.values.len());
    for (value, used) in plan.values.iter().zip(used) {
        if !used {
            buffers.push(None);
            continue;
        }
        let words = words_for(&value.shape, value.dtype);
        let external = options.external.get(&value.name);
        let buffer = match (external, value.slot) {
            (Some(buffer), _) => {
                let needed = 4 * words as u64;
                if buffer.size() < needed {
                    let problem = format!(
                        "the buffer given has {} bytes, it needs {needed}",
                        buffer.size()
                    );
                    return Err(Error::invalid(&value.name, problem));
                }
                buffer.clone()
            }
            (None, Some(slot)) if !options.trace => match &slots[slot] {
                Some(buffer) => buffer.clone(),
                None => slots[slot]
                    .insert(make(&format!("slot {slot}"), plan.slots[slot])?)
                    .clone(),
            },
            (None, _) => make(&value.name, words)?,
        };
        if let Kind::Const(tensor) | Kind::State(tensor) = &value.kind
            && external.is_none()
        {
            gpu.queue().write_buffer(&buffer, 0, tensor.bytes());
        }
        buffers.push(Some(buffer));
    }
    Ok(buffers)
}
