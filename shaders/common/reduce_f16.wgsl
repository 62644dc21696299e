// A word is two f16, neighbours.
alias Lanes = vec2<f32>;
const PER_WORD: u32 = 2u;

fn lanes(word: u32) -> Lanes {
    return unpack2x16float(word);
}

// The lanes before `count`; in place of the others what changes no result.
fn only(value: Lanes, count: u32) -> Lanes {
    return select(Lanes(value.x, select(value.x, 0.0, KIND < 2u)), value, count > 1u);
}

// All lanes in the first.
fn across(value: Lanes) -> Lanes {
    return Lanes(combined(value, value.yx).x, 0.0);
}

// The word of a result, of whose row so many elements are left.
fn finished(acc: Lanes, row: u32) -> u32 {
    if KIND == 1u { return pack2x16float(acc / f32(params.len)); }
    return pack2x16float(acc);
}
