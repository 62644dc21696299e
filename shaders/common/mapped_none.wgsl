// What an int8 result goes through: nothing.
fn mapped(q: i32) -> i32 { return q; }
