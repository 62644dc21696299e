//! The command line of wizen.

fn main() {}
