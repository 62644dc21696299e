// y[n, i, j, c] = clamp(requant(Σ_a vh[i, a] · line[a]) + zero_point, qmin, qmax)
// line[a] = Σ_b vw[j, b] · (x[n, ih[i, a], iw[j, b], c] − x_zero_point), rounded off by SHIFT bits
//# include common/index.wgsl
//# include common/i8.wgsl
//# include common/requant.wgsl
const WORKGROUP: u32 = 64u;
const IN_H: u32 = 2u;
const IN_W: u32 = 2u;
const OUT_H: u32 = 2u;
const OUT_W: u32 = 2u;
const TAPS_H: u32 = 1u;  // entries of a row of y
const TAPS_W: u32 = 1u;  // and of a column
const WORDS: u32 = 1u;   // of the channels of a pixel
const SHIFT: u32 = 7u;

struct Params {
    words: u32, channels: u32, x_zero_point: i32, zero_point: i32, qmin: i32, qmax: i32,
    multiplier: u32, shift: u32,  // the two words of M
}
@group(0) @binding(0) var<storage, read> x: array<u32>;            // int8 x 4 [n, IN_H, IN_W, WORDS]
@group(0) @binding(1) var<storage, read> table: array<vec2<u32>>;  // [OUT_H · TAPS_H + OUT_W · TAPS_W]: place, weight
@group(0) @binding(2) var<storage, read_write> y: array<u32>;      // int8 x 4 [n, OUT_H, OUT_W, WORDS], words in all
@group(1) @binding(0) var<uniform> params: Params;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32,
        @builtin(num_workgroups) groups: vec3<u32>) {
    let i = linear_id(group, local, groups, WORKGROUP);
    if i >= params.words { return; }
    let rows = (i / (WORDS * OUT_W)) % OUT_H * TAPS_H;
    let columns = OUT_H * TAPS_H + (i / WORDS) % OUT_W * TAPS_W;
    let image = i / (WORDS * OUT_W * OUT_H) * IN_H;
    var sum = vec4<i32>();
    for (var a = 0u; a < TAPS_H; a++) {
        let h = table[rows + a];
        if h.y == 0u { continue; }
        var line = vec4<i32>();
        for (var b = 0u; b < TAPS_W; b++) {
            let w = table[columns + b];
            if w.y == 0u { continue; }
            let q = lanes_i8(x[((image + h.x) * IN_W + w.x) * WORDS + i % WORDS]);
            line += i32(w.y) * (q - vec4(params.x_zero_point));
        }
        sum += i32(h.y) * ((line + vec4(1i << (SHIFT - 1u))) >> vec4(SHIFT));
    }
    let q = vec4(out(sum.x), out(sum.y), out(sum.z), out(sum.w));
    y[i] = keep_lanes(pack_i8(q), params.channels - 4u * (i % WORDS));
}

fn out(acc: i32) -> i32 {
    return out_i8(acc, vec2(params.multiplier, params.shift), params.zero_point, params.qmin, params.qmax);
}
