//! The desktop program: a thin shell over the same server.

fn main() {}
