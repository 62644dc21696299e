// mean[c] = 1 / rows · Σ x[r, c];  variance = 1 / rows · Σ (x[r, c] − mean[c])²
// inv_std[c] = 1 / sqrt(variance + eps)
// running_mean[c]     = (1 − momentum) · running_mean[c]     + momentum · mean[c]
// running_variance[c] = (1 − momentum) · running_variance[c] + momentum · variance · rows / (rows − 1)
const CHANNELS: u32 = 8u;  // channels of one workgroup
const LANES: u32 = 32u;    // invocations that share the rows of a channel

struct Params { rows: u32, channels: u32, inv_rows: f32, inv_rows_less_one: f32, keep: f32, momentum: f32, eps: f32 }
@group(0) @binding(0) var<storage, read> x: array<f32>;  // [rows, channels]
@group(0) @binding(1) var<storage, read_write> running_mean: array<f32>;  // [channels]
@group(0) @binding(2) var<storage, read_write> running_variance: array<f32>;  // [channels]
@group(0) @binding(3) var<storage, read_write> mean: array<f32>;  // [channels]
@group(0) @binding(4) var<storage, read_write> inv_std: array<f32>;  // [channels]
@group(1) @binding(0) var<uniform> params: Params;

var<workgroup> sums: array<f32, CHANNELS * LANES>;
var<workgroup> squares: array<f32, CHANNELS * LANES>;

@compute @workgroup_size(CHANNELS, LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>,
        @builtin(num_workgroups) groups: vec3<u32>) {
    let c = (group.y * groups.x + group.x) * CHANNELS + local.x;
    let inside = c < params.channels;
    // A channel too many reads nothing; it must still reach the barriers.
    let rows = select(0u, params.rows, inside);
    let slot = local.y * CHANNELS + local.x;
    var sum = 0.0;
    for (var row = local.y; row < rows; row += LANES) {
        sum += x[row * params.channels + c];
    }
    sums[slot] = sum;
    workgroupBarrier();
    // Every lane adds up the same partial sums: one barrier instead of a tree of them.
    sum = 0.0;
    for (var lane = 0u; lane < LANES; lane++) {
        sum += sums[lane * CHANNELS + local.x];
    }
    let center = sum * params.inv_rows;

    var square = 0.0;
    for (var row = local.y; row < rows; row += LANES) {
        let distance = x[row * params.channels + c] - center;
        square += distance * distance;
    }
    squares[slot] = square;
    workgroupBarrier();
    if local.y != 0u || !inside { return; }
    square = 0.0;
    for (var lane = 0u; lane < LANES; lane++) {
        square += squares[lane * CHANNELS + local.x];
    }
    mean[c] = center;
    inv_std[c] = inverseSqrt(square * params.inv_rows + params.eps);
    running_mean[c] = params.keep * running_mean[c] + params.momentum * center;
    running_variance[c] = params.keep * running_variance[c]
        + params.momentum * (square * params.inv_rows_less_one);
}
