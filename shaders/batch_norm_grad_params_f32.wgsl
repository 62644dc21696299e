// dgamma[c] = inv_std[c] · Σ dy[r, c] · (x[r, c] − mean[c]);  dbeta[c] = Σ dy[r, c]
const CHANNELS: u32 = 8u;  // channels of one workgroup
const LANES: u32 = 32u;    // invocations that share the rows of a channel

struct Params { rows: u32, channels: u32 }
@group(0) @binding(0) var<storage, read> x: array<f32>;  // [rows, channels]
@group(0) @binding(1) var<storage, read> dy: array<f32>;  // [rows, channels]
@group(0) @binding(2) var<storage, read> mean: array<f32>;  // [channels]
@group(0) @binding(3) var<storage, read> inv_std: array<f32>;  // [channels]
@group(0) @binding(4) var<storage, read_write> dgamma: array<f32>;  // [channels]
@group(0) @binding(5) var<storage, read_write> dbeta: array<f32>;  // [channels]
@group(1) @binding(0) var<uniform> params: Params;

var<workgroup> products: array<f32, CHANNELS * LANES>;
var<workgroup> sums: array<f32, CHANNELS * LANES>;

@compute @workgroup_size(CHANNELS, LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>,
        @builtin(num_workgroups) groups: vec3<u32>) {
    let c = (group.y * groups.x + group.x) * CHANNELS + local.x;
    let inside = c < params.channels;
    // A channel too many reads nothing; it must still reach the barriers.
    let rows = select(0u, params.rows, inside);
    let slot = local.y * CHANNELS + local.x;
    let center = mean[min(c, params.channels - 1u)];
    var product = 0.0;
    var sum = 0.0;
    for (var row = local.y; row < rows; row += LANES) {
        let gradient = dy[row * params.channels + c];
        product += gradient * (x[row * params.channels + c] - center);
        sum += gradient;
    }
    products[slot] = product;
    sums[slot] = sum;
    workgroupBarrier();
    if local.y != 0u || !inside { return; }
    product = 0.0;
    sum = 0.0;
    for (var lane = 0u; lane < LANES; lane++) {
        product += products[lane * CHANNELS + local.x];
        sum += sums[lane * CHANNELS + local.x];
    }
    dgamma[c] = product * inv_std[c];
    dbeta[c] = sum;
}
