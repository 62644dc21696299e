// Four neighbouring sums of a row (output channels) are one word of y.
//# include common/product/bind_i8.wgsl
alias Sums = vec4<i32>;
struct Columns { bias: vec4<i32>, residual: vec4<i32>, multipliers: array<vec2<u32>, 4> }

fn columns_of(j: vec4<u32>) -> Columns {
    let residual = vec4(residual_multiplier_of(j.x), residual_multiplier_of(j.y),
                        residual_multiplier_of(j.z), residual_multiplier_of(j.w));
    return Columns(vec4(bias[j.x], bias[j.y], bias[j.z], bias[j.w]), residual,
                   array(multiplier[j.x], multiplier[j.y], multiplier[j.z], multiplier[j.w]));
}

fn put(row: u32, column: u32, end: u32, sums: Sums, ends: Columns) {
    let at = row * params.n_words + column / 4u;
    let acc = sums + ends.bias + residual_word_i8(at, ends.residual);
    let m = ends.multipliers;
    let q = vec4(out(acc.x, m[0]), out(acc.y, m[1]), out(acc.z, m[2]), out(acc.w, m[3]));
    y[at] = keep_lanes(pack_i8(q), params.n - column);
}
