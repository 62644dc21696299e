//! `y[i] = x[i]`, exactly from f16 to f32, rounded from f32 to f16.
//!
//! f16 is packed two to a word; rows are padded with zero.

use super::super::{
    Agreement, Binding, Caps, Kernel, Launch, Spec, grid_1d, params_bytes, ulp_f16,
};
use super::Rows;
use crate::base::{DType, Shape, Tensor, num_elements};
use crate::error::{Error, Result};

/// f16 to f32 or back. Bindings: `x`, `y`.
#[derive(Clone, Debug)]
pub struct Cast {
    /// Shape of `x` and `y`.
    pub shape: Shape,
    /// Element type of `x`.
    pub from: DType,
    /// Element type of `y`.
    pub to: DType,
}

impl Kernel for Cast {
    fn name(&self) -> &'static str {
        if self.to == DType::F16 {
            "cast_f32_f16"
        } else {
            "cast_f16_f32"
        }
    }

    fn bindings(&self) -> Vec<Binding> {
        vec![
            Binding::read("x", self.from, self.shape.clone()),
            Binding::write("y", self.to, self.shape.clone()),
        ]
    }

    fn launch(&self, caps: &Caps) -> Result<Launch> {
        let halves = [(DType::F32, DType::F16), (DType::F16, DType::F32)];
        if !halves.contains(&(self.from, self.to)) {
            let problem = format!("no kernel from {} to {}", self.from, self.to);
            return Err(Error::invalid("cast", problem));
        }
        let rows = Rows::of(&self.shape, DType::F16);
        Ok(Launch {
            source: include_str!("../../../shaders/map/cast.wgsl").into(),
            spec: Spec::new().with("TO_HALF", self.to == DType::F16),
            params: params_bytes(&rows),
            workgroups: grid_1d(rows.words(), 64, caps),
        })
    }

    fn cpu(&self, args: &mut [Tensor]) -> Result<()> {
        let x = args[0].to_f64();
        args[1].store_f64(&x)
    }

    fn agreement(&self, args: &[Tensor]) -> Result<Vec<Agreement>> {
        if self.to == DType::F32 {
            return Ok(vec![Agreement::Equal; 2]);
        }
        // WGSL does not say how `pack2x16float` rounds: either neighbour.
        let bound = args[0].to_f64().into_iter().map(ulp_f16).collect();
        Ok(vec![Agreement::Equal, Agreement::Within(bound)])
    }

    fn operations(&self) -> f64 {
        num_elements(&self.shape) as f64
    }
}

/// Shapes that hurt: odd rows, just over a workgroup of words.
pub(super) fn samples() -> Vec<Box<dyn Kernel>> {
    let mut out: Vec<Box<dyn Kernel>> = Vec::new();
    for (from, to) in [(DType::F32, DType::F16), (DType::F16, DType::F32)] {
        for shape in [vec![7, 13], vec![129]] {
            out.push(Box::new(Cast { shape, from, to }));
        }
    }
    out
}
