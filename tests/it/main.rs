//! One binary, a file per promise.

#![allow(clippy::disallowed_methods, reason = "a test measures real time")]
#![allow(clippy::expect_used, clippy::panic, clippy::print_stderr, clippy::print_stdout, clippy::unwrap_used)]

mod harness;
#[path = "../reference/socketio_reference.rs"]
#[allow(dead_code, reason = "its command line is not for the tests")]
mod reference;

mod activity;
mod api;
mod bus;
mod curia;
mod disk;
mod door;
mod durable;
mod gate;
mod hocuspocus;
mod hostile;
mod join;
mod kill;
mod lan;
mod licences;
mod loomio;
mod metrics;
mod origin;
#[cfg(unix)]
mod private;
mod recorded;
mod records;
mod recovery;
mod rooms;
mod schema;
mod scribe;
mod sio;
mod sio_clients;
mod sio_codecs;
#[cfg_attr(not(target_os = "linux"), allow(dead_code, unused_imports))]
mod sio_hostile;
mod sio_rules;
mod slow;
mod slow_socket;
mod space;
mod tidy;
mod yjs;
