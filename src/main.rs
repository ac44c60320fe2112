//! The headless program `townhall`.

fn main() {}
