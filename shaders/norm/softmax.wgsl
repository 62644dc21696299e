// y[r, c] = exp(scale · (x[r, c] − m)) / Σ_k exp(scale · (x[r, k] − m)), m the largest of row r, or its logarithm
//# part element common/element_f32.wgsl
const LOG: bool = false;

struct Params { rows: u32, cols: u32, row_words: u32, scale: f32 }
@group(0) @binding(0) var<storage, read> x: array<u32>;  // [rows, row_words], PER_WORD elements to a word
@group(0) @binding(1) var<storage, read_write> y: array<u32>;  // [rows, row_words]
@group(1) @binding(0) var<uniform> params: Params;
//# include common/row_team.wgsl

fn run(row: u32, inside: bool, lane: u32, local: u32) {
    let begin = row * params.row_words;
    var largest = element(x[begin], 0u);
    for (var c = lane; c < params.cols; c += LANES) {
        largest = max(largest, element(x[begin + c / PER_WORD], c % PER_WORD));
    }
    largest = team_max(largest, local);
    var total = 0.0;
    for (var c = lane; c < params.cols; c += LANES) {
        total += exp(below(begin, c, largest));
    }
    total = team_sum(total, local);
    let inv_total = 1.0 / total;
    let log_total = log(total);
    if !inside { return; }
    for (var word = lane; word < params.row_words; word += LANES) {
        var bits = 0u;
        for (var k = 0u; k < min(PER_WORD, params.cols - word * PER_WORD); k++) {
            let c = word * PER_WORD + k;
            if LOG {
                bits |= stored(below(begin, c, largest) - log_total, k);
            } else {
                bits |= stored(exp(below(begin, c, largest)) * inv_total, k);
            }
        }
        y[begin + word] = bits;
    }
}

fn below(begin: u32, c: u32, largest: f32) -> f32 {
    return (element(x[begin + c / PER_WORD], c % PER_WORD) - largest) * params.scale;
}
