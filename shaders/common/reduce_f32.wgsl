// A word is one f32.
alias Lanes = f32;
const PER_WORD: u32 = 1u;

fn lanes(word: u32) -> Lanes {
    return bitcast<f32>(word);
}

fn only(value: Lanes, count: u32) -> Lanes {
    return value;
}

fn across(value: Lanes) -> Lanes {
    return value;
}

fn finished(acc: Lanes, row: u32) -> u32 {
    if KIND == 1u { return bitcast<u32>(acc / f32(params.len)); }
    return bitcast<u32>(acc);
}
