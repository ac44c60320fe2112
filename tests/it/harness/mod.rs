//! What the tests share: an office on port 0, clients, and clean-up.

#[expect(dead_code, reason = "a vocabulary; no single test uses all of it")]
pub(crate) mod hocus;
#[expect(dead_code, reason = "a vocabulary; no single test uses all of it")]
pub(crate) mod typist;
