// Where word i of y has its operands; params.axes, innermost first, are [size, step in a, step in b, 0] in words.
fn operands_of(i: u32) -> vec2<u32> {
    var at = vec2<u32>();
    var rest = i;
    for (var k = 0u; k + 1u < params.rank; k++) {
        let outer = rest / params.axes[k].x;
        at += (rest - outer * params.axes[k].x) * params.axes[k].yz;
        rest = outer;
    }
    return at + rest * params.axes[params.rank - 1u].yz;
}
