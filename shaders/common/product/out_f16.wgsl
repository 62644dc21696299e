// Four neighbouring sums of a row of y are two words; those from `end` on are not real.
//# include common/product/bind_f16.wgsl
alias Sums = vec4<f32>;
alias Columns = vec4<f32>;

fn columns_of(j: vec4<u32>) -> Columns {
    return vec4(bias[j.x], bias[j.y], bias[j.z], bias[j.w]);
}

fn put(row: u32, column: u32, end: u32, sums: Sums, ends: Columns) {
    let real = vec4(column) + vec4(0u, 1u, 2u, 3u) < vec4(end);
    let v = sums + ends;
    let at = row * params.n_words + column / 2u;
    finish(at, v.xy, real.y);
    if real.z { finish(at + 1u, v.zw, real.w); }
}
