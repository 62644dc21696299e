// partial[j, ch] = grad_factor · Σ term(x, dy) over chunk j of channel ch; one workgroup each
//# include common/index.wgsl
//# include common/fake_quant.wgsl
const WORKGROUP: u32 = 64u;
const CONTIGUOUS: bool = false;     // the elements of a channel lie side by side
const QMIN: i32 = -128i;
const QMAX: i32 = 127i;

struct Params {
    channels: u32,
    inner: u32,                     // neighbours that share a channel
    len: u32,                       // elements of a channel
    chunk: u32,                     // elements of a chunk
    chunks: u32,
    grad_factor: f32,
}
@group(0) @binding(0) var<storage, read> x: array<f32>;              // [outer, channels, inner]
@group(0) @binding(1) var<storage, read> scale: array<f32>;          // [channels]
@group(0) @binding(2) var<storage, read> inv_scale: array<f32>;      // [channels]
@group(0) @binding(3) var<storage, read> zero_point: array<i32>;     // [channels]
@group(0) @binding(4) var<storage, read> dy: array<f32>;             // [outer, channels, inner]
@group(0) @binding(5) var<storage, read_write> partial: array<f32>;  // [chunks, channels]
@group(1) @binding(0) var<uniform> params: Params;

var<workgroup> sums: array<f32, WORKGROUP>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32,
        @builtin(num_workgroups) groups: vec3<u32>) {
    // The fold of the grid may launch a few groups too many: they sum nothing and write nothing.
    let job = linear_id(group, 0u, groups, 1u);
    let chunk = job / params.channels;
    let ch = job - chunk * params.channels;
    let end = select(0u, min((chunk + 1u) * params.chunk, params.len), chunk < params.chunks);
    let s = scale[ch];
    let inv = inv_scale[ch];
    let z = zero_point[ch];
    let below = f32(QMIN - z);
    let above = f32(QMAX - z);

    var sum = 0.0;
    for (var e = chunk * params.chunk + local; e < end; e += WORKGROUP) {
        var i = ch * params.inner + e;
        if !CONTIGUOUS {
            let row = e / params.inner;
            i = (row * params.channels + ch) * params.inner + (e - row * params.inner);
        }
        let v = x[i];
        let u = unclamped(v, inv, z);
        let inside = (f32(u - z) * s - v) * inv;
        sum += dy[i] * select(select(inside, above, u > QMAX), below, u < QMIN);
    }
    sums[local] = sum;
    workgroupBarrier();
    if local < 8u {
        for (var k = local + 8u; k < WORKGROUP; k += 8u) { sum += sums[k]; }
        sums[local] = sum;          // nobody reads the first eight before the next barrier
    }
    workgroupBarrier();
    if local == 0u && chunk < params.chunks {
        for (var k = 1u; k < 8u; k++) { sum += sums[k]; }
        partial[job] = params.grad_factor * sum;
    }
}
