// Four neighbouring sums of a row of y, of which those before `end` are real.
//# include common/product/bind_i32.wgsl
alias Sums = vec4<i32>;
alias Columns = vec4<i32>;

fn columns_of(j: vec4<u32>) -> Columns {
    return vec4(bias[j.x], bias[j.y], bias[j.z], bias[j.w]);
}

fn put(row: u32, column: u32, end: u32, sums: Sums, ends: Columns) {
    let v = sums + ends;
    //# unroll
    for (var j = 0u; j < 4u; j++) {
        if column + j < end { y[row * params.n + column + j] = v[j]; }
    }
}
