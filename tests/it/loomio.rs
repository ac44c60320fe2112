//! Loomio: its clients and its back end meet an office, as they would meet the servers they know
//! (the acceptance cases of reference/loomio.md 9).

mod app;
mod boot;
mod channels;
mod collab;
mod emitter;
mod matrix;
mod redis;
mod secrets;
mod town;
