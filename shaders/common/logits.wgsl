// Rows of logits: x[row · classes ..] or, of a teacher, what the kernel's `logit` says.

// The largest of a row, and the sum of the exponentials of the others' distance from it, in temperatures.
fn largest_and_total(row: u32, teacher: bool) -> vec2<f32> {
    let begin = row * params.classes;
    var largest = logit(begin, teacher);
    for (var i = begin + 1u; i < begin + params.classes; i++) { largest = max(largest, logit(i, teacher)); }
    var total = 0.0;
    for (var i = begin; i < begin + params.classes; i++) {
        total += exp((logit(i, teacher) - largest) * params.inv_temperature);
    }
    return vec2(largest, total);
}
