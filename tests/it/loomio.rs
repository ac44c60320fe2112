//! Loomio: its clients and its back end meet an office, as they would meet the servers they know
//! (ten acceptance cases).

mod app;
mod boot;
mod channels;
mod collab;
mod emitter;
mod matrix;
mod redis;
mod secrets;
mod town;
