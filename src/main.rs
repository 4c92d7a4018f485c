//! The `tixing` program.
fn main() {}
