// dgamma[c] = inv_std[c] · Σ dy[r, c] · (x[r, c] − mean[c]);  dbeta[c] = Σ dy[r, c]
struct Params { rows: u32, channels: u32 }
@group(0) @binding(0) var<storage, read> x: array<f32>;  // [rows, channels]
@group(0) @binding(1) var<storage, read> dy: array<f32>;  // [rows, channels]
@group(0) @binding(2) var<storage, read> mean: array<f32>;  // [channels]
@group(0) @binding(3) var<storage, read> inv_std: array<f32>;  // [channels]
@group(0) @binding(4) var<storage, read_write> dgamma: array<f32>;  // [channels]
@group(0) @binding(5) var<storage, read_write> dbeta: array<f32>;  // [channels]
@group(1) @binding(0) var<uniform> params: Params;
//# include common/channel_sums.wgsl

fn run(c: u32, rows: u32, local: vec3<u32>) {
    let center = mean[c];
    var mine = vec2<f32>();
    for (var row = local.y; row < rows; row += LANES) {
        let gradient = dy[row * params.channels + c];
        mine += vec2(gradient * (x[row * params.channels + c] - center), gradient);
    }
    let sums = over_lanes(mine, local);
    if local.y != 0u || rows == 0u { return; }
    dgamma[c] = sums.x * inv_std[c];
    dbeta[c] = sums.y;
}
