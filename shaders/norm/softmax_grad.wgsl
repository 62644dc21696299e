// dx[r, c] = y[r, c] · (dy[r, c] − Σ_k y[r, k] · dy[r, k])
struct Params { rows: u32, cols: u32 }
@group(0) @binding(0) var<storage, read> y: array<f32>;  // [rows, cols]
@group(0) @binding(1) var<storage, read> dy: array<f32>;  // [rows, cols]
@group(0) @binding(2) var<storage, read_write> dx: array<f32>;  // [rows, cols]
@group(1) @binding(0) var<uniform> params: Params;
//# include common/row_team.wgsl

fn run(row: u32, inside: bool, lane: u32, local: u32) {
    let begin = row * params.cols;
    var sum = 0.0;
    for (var i = begin + lane; i < begin + params.cols; i += LANES) { sum += y[i] * dy[i]; }
    sum = team_sum(sum, local);
    if !inside { return; }
    for (var i = begin + lane; i < begin + params.cols; i += LANES) { dx[i] = y[i] * (dy[i] - sum); }
}
