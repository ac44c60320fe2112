//! What the tests share: an office on port 0, clients, and clean-up.

#[allow(dead_code, reason = "a vocabulary; no single test uses all of it")]
pub(crate) mod hocus;
#[allow(dead_code, reason = "a vocabulary; no single test uses all of it")]
pub(crate) mod member;
#[allow(dead_code, reason = "a vocabulary; no single test uses all of it")]
pub(crate) mod typist;
