// A word is four int8, neighbours.
//# include common/i8.wgsl
//# include common/requant.wgsl
alias Lanes = vec4<i32>;
const PER_WORD: u32 = 4u;

fn lanes(word: u32) -> Lanes {
    return lanes_i8(word);
}

// The lanes before `count`; in place of the others what changes no result.
fn only(value: Lanes, count: u32) -> Lanes {
    return select(Lanes(select(value.x, 0, KIND < 2u)), value, vec4(0u, 1u, 2u, 3u) < vec4(count));
}

// All lanes in the first.
fn across(value: Lanes) -> Lanes {
    let half = combined(value, value.zwxy);
    return Lanes(combined(half, half.yxwz).x, 0, 0, 0);
}

// The word of a result, of whose row so many elements are left.
fn finished(acc: Lanes, row: u32) -> u32 {
    if KIND > 1u { return keep_lanes(pack_i8(acc), row); }
    let sum = acc - vec4(i32(params.len) * params.x_zero_point);
    return keep_lanes(pack_i8(vec4(out(sum.x), out(sum.y), out(sum.z), out(sum.w))), row);
}

fn out(acc: i32) -> i32 {
    return out_i8(acc, vec2(params.multiplier, params.shift), params.zero_point, params.qmin, params.qmax);
}
