// What is applied to a result: nothing.
fn activation(x: f32) -> f32 { return x; }
