// Groups start and end on words.
fn odd_groups(id: u32) {}
