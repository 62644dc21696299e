// y[n, i, j, c] = Σ_a Σ_b wh[i, a] · ww[j, b] · x[n, ih[i, a], iw[j, b], c], in f32
// The padding of a word is zero in x, and hence in y.
//# include common/index.wgsl
//# part lanes common/lanes_f32.wgsl
const WORKGROUP: u32 = 64u;
const IN_H: u32 = 2u;
const IN_W: u32 = 2u;
const OUT_H: u32 = 2u;
const OUT_W: u32 = 2u;
const TAPS_H: u32 = 1u;     // entries of a row of y
const TAPS_W: u32 = 1u;     // and of a column
const WORDS: u32 = 1u;      // of the channels of a pixel
const MOVES: bool = false;  // every result is one element: words are copied

struct Params { words: u32 }
@group(0) @binding(0) var<storage, read> x: array<Word>;          // [n, IN_H, IN_W, WORDS]
@group(0) @binding(1) var<storage, read> table: array<vec2<u32>>; // [OUT_H · TAPS_H + OUT_W · TAPS_W]: place, bits of the weight
@group(0) @binding(2) var<storage, read_write> y: array<Word>;    // [n, OUT_H, OUT_W, WORDS], words in all
@group(1) @binding(0) var<uniform> params: Params;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32,
        @builtin(num_workgroups) groups: vec3<u32>) {
    let i = linear_id(group, local, groups, WORKGROUP);
    if i >= params.words { return; }
    let rows = (i / (WORDS * OUT_W)) % OUT_H * TAPS_H;
    let columns = OUT_H * TAPS_H + (i / WORDS) % OUT_W * TAPS_W;
    let image = i / (WORDS * OUT_W * OUT_H) * IN_H;
    if MOVES {
        y[i] = x[((image + table[rows].x) * IN_W + table[columns].x) * WORDS + i % WORDS];
        return;
    }
    var sum = lanes(Word(0u));
    for (var a = 0u; a < TAPS_H; a++) {
        let h = table[rows + a];
        if h.y == 0u { continue; }
        var line = lanes(Word(0u));
        for (var b = 0u; b < TAPS_W; b++) {
            let w = table[columns + b];
            if w.y == 0u { continue; }
            line += bitcast<f32>(w.y) * lanes(x[((image + h.x) * IN_W + w.x) * WORDS + i % WORDS]);
        }
        sum += bitcast<f32>(h.y) * line;
    }
    y[i] = packed(sum);
}
