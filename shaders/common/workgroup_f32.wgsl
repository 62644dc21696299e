// f32 as words for common/workgroup_tile.wgsl.
alias Left = f32;
alias Right = vec4<f32>;
alias Sums = vec4<f32>;
alias Columns = vec4<f32>;
const RELU: bool = false;

fn left_of(word: u32) -> Left {
    return bitcast<f32>(word);
}

fn right_of(words: vec4<u32>) -> Right {
    return bitcast<vec4<f32>>(words);
}

fn products(l: Left, r: Right) -> Sums {
    return l * r;
}

fn columns_of(j: vec4<u32>) -> Columns {
    return vec4(bias[j.x], bias[j.y], bias[j.z], bias[j.w]);
}

fn put(row: u32, column: u32, sums: Sums, ends: Columns) {
    let v = sums + ends;
    //# unroll
    for (var j = 0u; j < 4u; j++) {
        let at = row * params.n + column + j;
        if column + j < params.n {
            let result = v[j] + residual_f32(at);
            y[at] = select(result, max(result, 0.0), RELU);
        }
    }
}
