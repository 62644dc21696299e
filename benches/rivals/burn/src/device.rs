//! Both libraries on one adapter.

use std::time::Duration;

use burn::tensor::Device as BurnDevice;
use wizen::gpu::Gpu;
use wizen::graph::{Device, Executor, Graph, Plan, lower};

use crate::Result;

/// A device of each library.
pub struct Both {
    pub gpu: Gpu,
    pub wizen: Device,
    pub burn: BurnDevice,
    /// The adapter that they share.
    pub name: String,
    tune: bool,
}

/// Time that wizen may spend on the variants of one network.
const TUNE: Duration = Duration::from_secs(30);

/// burn's device, and the name and API of its adapter.
pub fn open_burn() -> Result<(BurnDevice, String)> {
    let (burn, setup) = BurnDevice::wgpu_options().init_with_setup()?;
    let info = setup.adapter.get_info();
    Ok((burn, format!("{} ({})", info.name, info.backend)))
}

impl Both {
    /// Opens what each takes by itself, which has to be the same adapter.
    pub fn open(tune: bool) -> Result<Self> {
        let gpu = pollster::block_on(Gpu::open())?;
        let name = format!("{} ({})", gpu.caps().name, gpu.caps().backend);
        let (burn, other) = open_burn()?;
        if name != other {
            return Err(format!("wizen runs on {name}, burn on {other}").into());
        }
        Ok(Self {
            wizen: Device::Gpu(gpu.clone()),
            gpu,
            burn,
            name,
            tune,
        })
    }

    /// Lets wizen time its variants, if that was asked for.
    pub fn tune(&self, plan: &Plan) -> Result<()> {
        if self.tune {
            pollster::block_on(wizen::graph::tune(&self.gpu, plan, TUNE))?;
        }
        Ok(())
    }

    /// A network, resident on wizen's device.
    pub fn load(&self, graph: &Graph) -> Result<Executor> {
        let plan = lower(graph, &self.wizen.caps())?;
        self.tune(&plan)?;
        Ok(pollster::block_on(self.wizen.load(plan))?)
    }
}
