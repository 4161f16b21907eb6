//! The `shewhart` command.

fn main() {}
