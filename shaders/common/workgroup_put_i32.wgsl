// Sums as they are, and the bias.
alias Columns = vec4<i32>;

fn columns_of(j: vec4<u32>) -> Columns {
    return vec4(bias[j.x], bias[j.y], bias[j.z], bias[j.w]);
}

fn put(row: u32, column: u32, sums: Sums, ends: Columns) {
    let v = sums + ends;
    //# unroll
    for (var j = 0u; j < 4u; j++) {
        if column + j < params.n { y[row * params.n + column + j] = v[j]; }
    }
}
