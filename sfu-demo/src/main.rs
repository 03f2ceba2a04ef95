//! The `sfu-demo` binary.
fn main() {}
