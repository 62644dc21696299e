// Words of two f16 for common/workgroup_tile.wgsl; f32 sums.
// What a product is computed in: f32 on every device, f16 where there is native f16.
alias Factor = f32;
alias Left = vec2<Factor>;
alias Sums = vec4<f32>;
alias Columns = vec4<f32>;
const RELU: bool = false;

// The first f16 of four columns, and the second.
struct Right { first: vec4<Factor>, second: vec4<Factor> }

fn left_of(word: u32) -> Left {
    return vec2<Factor>(unpack2x16float(word));
}

fn right_of(words: vec4<u32>) -> Right {
    let a = left_of(words.x);
    let b = left_of(words.y);
    let c = left_of(words.z);
    let d = left_of(words.w);
    return Right(vec4<Factor>(a.x, b.x, c.x, d.x), vec4<Factor>(a.y, b.y, c.y, d.y));
}

fn products(l: Left, r: Right) -> Sums {
    return vec4<f32>(l.x * r.first) + vec4<f32>(l.y * r.second);
}

fn columns_of(j: vec4<u32>) -> Columns {
    return vec4(bias[j.x], bias[j.y], bias[j.z], bias[j.w]);
}

// Two words of y. Past the last column the sums are those of the last one again.
fn put(row: u32, column: u32, sums: Sums, ends: Columns) {
    let real = vec4(column) + vec4(0u, 1u, 2u, 3u) < vec4(params.n);
    let v = select(vec4<f32>(0.0), sums + ends, real);
    let at = row * params.n_words + column / 2u;
    put_word(at, v.xy);
    if real.z { put_word(at + 1u, v.zw); }
}

fn put_word(at: u32, v: vec2<f32>) {
    let result = v + residual_f16(at);
    y[at] = pack2x16float(select(result, max(result, vec2<f32>(0.0)), vec2<bool>(RELU)));
}
