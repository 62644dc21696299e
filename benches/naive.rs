//! Matrix products as one writes them first: four rows by four columns to an invocation, vector loads along
//! k, nothing shared. What the library's own are measured against.

use wizen::base::{Rng, Tensor};
use wizen::kernels::product::{Float, Matmul, MatmulI8};
use wizen::kernels::{Agreement, Binding, Caps, Kernel, Launch, Spec, grid_3d, params_bytes};

use crate::shapes::matmul;

/// Another program for what a kernel of the library computes.
#[derive(Debug)]
pub struct Naive<K> {
    twin: K,
    name: &'static str,
    source: &'static str,
    sizes: [usize; 3],
    /// Elements of a load along k.
    step: usize,
}

/// In f32; k is a multiple of 4.
pub fn f32([m, n, k]: [usize; 3]) -> Naive<Matmul> {
    Naive {
        twin: matmul([m, n, k], Float::F32),
        name: "naive_f32",
        source: F32,
        sizes: [m, n, k],
        step: 4,
    }
}

/// In packed f16, sums in f32; k is a multiple of 4, n is even.
pub fn f16([m, n, k]: [usize; 3]) -> Naive<Matmul> {
    Naive {
        twin: matmul([m, n, k], Float::F16),
        name: "naive_f16",
        source: F16,
        sizes: [m, n, k],
        step: 4,
    }
}

/// In int8 by `dot4I8Packed`, sums in int32; k is a multiple of 16.
pub fn i8([m, n, k]: [usize; 3]) -> Naive<MatmulI8> {
    Naive {
        twin: MatmulI8 { m, n, k, out: None },
        name: "naive_i8",
        source: I8,
        sizes: [m, n, k],
        step: 16,
    }
}

const F32: &str = "
@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;  // [m, k / 4]
@group(0) @binding(1) var<storage, read> w: array<vec4<f32>>;  // [n, k / 4]
@group(0) @binding(2) var<storage, read> bias: array<f32>;     // [n]
@group(0) @binding(3) var<storage, read_write> y: array<f32>;  // [m, n]
struct Params { m: u32, n: u32, steps: u32 }
@group(1) @binding(0) var<uniform> params: Params;
@compute @workgroup_size(8, 8)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if 4u * id.x >= params.n || 4u * id.y >= params.m { return; }
    let b = vec4(bias[4u * id.x], bias[4u * id.x + 1u], bias[4u * id.x + 2u], bias[4u * id.x + 3u]);
    var s0 = b;
    var s1 = b;
    var s2 = b;
    var s3 = b;
    for (var t = 0u; t < params.steps; t++) {
        let wr = 4u * id.x * params.steps + t;
        let q = transpose(mat4x4(
            w[wr], w[wr + params.steps], w[wr + 2u * params.steps], w[wr + 3u * params.steps]));
        let xr = 4u * id.y * params.steps + t;
        s0 += q * x[xr];
        s1 += q * x[xr + params.steps];
        s2 += q * x[xr + 2u * params.steps];
        s3 += q * x[xr + 3u * params.steps];
    }
    for (var j = 0u; j < 4u; j++) {
        let at = 4u * id.y * params.n + 4u * id.x + j;
        y[at] = s0[j];
        y[at + params.n] = s1[j];
        y[at + 2u * params.n] = s2[j];
        y[at + 3u * params.n] = s3[j];
    }
}
";

const F16: &str = "
@group(0) @binding(0) var<storage, read> x: array<vec2<u32>>;        // f16 [m, k], four to an element
@group(0) @binding(1) var<storage, read> w: array<vec2<u32>>;        // f16 [n, k], four to an element
@group(0) @binding(2) var<storage, read> bias: array<f32>;           // [n]
@group(0) @binding(3) var<storage, read_write> y: array<vec2<u32>>;  // f16 [m, n], four to an element
struct Params { m: u32, n: u32, steps: u32 }
@group(1) @binding(0) var<uniform> params: Params;
fn four(words: vec2<u32>) -> vec4<f32> {
    return vec4(unpack2x16float(words.x), unpack2x16float(words.y));
}
fn packed(v: vec4<f32>) -> vec2<u32> {
    return vec2(pack2x16float(v.xy), pack2x16float(v.zw));
}
@compute @workgroup_size(8, 8)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if 4u * id.x >= params.n || 4u * id.y >= params.m { return; }
    let b = vec4(bias[4u * id.x], bias[4u * id.x + 1u], bias[4u * id.x + 2u], bias[4u * id.x + 3u]);
    var s0 = b;
    var s1 = b;
    var s2 = b;
    var s3 = b;
    for (var t = 0u; t < params.steps; t++) {
        let wr = 4u * id.x * params.steps + t;
        let q = transpose(mat4x4(four(w[wr]), four(w[wr + params.steps]),
            four(w[wr + 2u * params.steps]), four(w[wr + 3u * params.steps])));
        let xr = 4u * id.y * params.steps + t;
        s0 += q * four(x[xr]);
        s1 += q * four(x[xr + params.steps]);
        s2 += q * four(x[xr + 2u * params.steps]);
        s3 += q * four(x[xr + 3u * params.steps]);
    }
    let row = params.n / 4u;
    let at = 4u * id.y * row + id.x;
    y[at] = packed(s0);
    y[at + row] = packed(s1);
    y[at + 2u * row] = packed(s2);
    y[at + 3u * row] = packed(s3);
}
";

const I8: &str = "
@group(0) @binding(0) var<storage, read> x: array<vec4<u32>>;  // int8 [m, k], 16 to an element
@group(0) @binding(1) var<storage, read> w: array<vec4<u32>>;  // int8 [n, k], 16 to an element
@group(0) @binding(2) var<storage, read> bias: array<i32>;     // [n]
@group(0) @binding(3) var<storage, read_write> y: array<i32>;  // [m, n]
struct Params { m: u32, n: u32, steps: u32 }
@group(1) @binding(0) var<uniform> params: Params;
fn dot16(a: vec4<u32>, b: vec4<u32>) -> i32 {
    return dot4I8Packed(a.x, b.x) + dot4I8Packed(a.y, b.y) + dot4I8Packed(a.z, b.z) + dot4I8Packed(a.w, b.w);
}
@compute @workgroup_size(8, 8)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if 4u * id.x >= params.n || 4u * id.y >= params.m { return; }
    let b = vec4(bias[4u * id.x], bias[4u * id.x + 1u], bias[4u * id.x + 2u], bias[4u * id.x + 3u]);
    var s0 = b;
    var s1 = b;
    var s2 = b;
    var s3 = b;
    for (var t = 0u; t < params.steps; t++) {
        let wr = 4u * id.x * params.steps + t;
        let w0 = w[wr];
        let w1 = w[wr + params.steps];
        let w2 = w[wr + 2u * params.steps];
        let w3 = w[wr + 3u * params.steps];
        let xr = 4u * id.y * params.steps + t;
        let x0 = x[xr];
        let x1 = x[xr + params.steps];
        let x2 = x[xr + 2u * params.steps];
        let x3 = x[xr + 3u * params.steps];
        s0 += vec4(dot16(x0, w0), dot16(x0, w1), dot16(x0, w2), dot16(x0, w3));
        s1 += vec4(dot16(x1, w0), dot16(x1, w1), dot16(x1, w2), dot16(x1, w3));
        s2 += vec4(dot16(x2, w0), dot16(x2, w1), dot16(x2, w2), dot16(x2, w3));
        s3 += vec4(dot16(x3, w0), dot16(x3, w1), dot16(x3, w2), dot16(x3, w3));
    }
    for (var j = 0u; j < 4u; j++) {
        let at = 4u * id.y * params.n + 4u * id.x + j;
        y[at] = s0[j];
        y[at + params.n] = s1[j];
        y[at + 2u * params.n] = s2[j];
        y[at + 3u * params.n] = s3[j];
    }
}
";

impl<K: Kernel> Kernel for Naive<K> {
    fn name(&self) -> &'static str {
        self.name
    }
    fn bindings(&self) -> Vec<Binding> {
        self.twin.bindings()
    }
    fn launch(&self, caps: &Caps) -> wizen::Result<Launch> {
        let [m, n, k] = self.sizes;
        let groups = [n.div_ceil(32), m.div_ceil(32), 1];
        Ok(Launch {
            source: self.source.into(),
            spec: Spec::new(),
            params: params_bytes(&[m, n, k / self.step].map(|size| size as u32)),
            workgroups: grid_3d(self.name, groups, caps)?,
        })
    }
    fn cpu(&self, args: &mut [Tensor]) -> wizen::Result<()> {
        self.twin.cpu(args)
    }
    fn agreement(&self, args: &[Tensor]) -> wizen::Result<Vec<Agreement>> {
        self.twin.agreement(args)
    }
    fn operations(&self) -> f64 {
        self.twin.operations()
    }
    fn example_args(&self, rng: &mut Rng) -> Vec<Tensor> {
        self.twin.example_args(rng)
    }
}
