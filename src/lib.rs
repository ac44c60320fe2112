//! Townhall: a desktop and LAN collaboration server for municipal offices.
//!
//! The map, in dependency order; a module imports only from a smaller rank (`tests/it/tidy.rs` says so).
//!
//! | rank | module | what it is |
//! |---|---|---|
//! | 0 | [`id`] | names that are valid by construction |
//! | 0 | [`clock`] | the one source of time |
//! | 0 | [`config`] | what was written, what it means, and every limit |
//! | 0 | [`lock`] | locks that a panic elsewhere does not close |
//! | 1 | [`heap`] | room for a thread's memory |
//! | 1 | [`telemetry`] | logs without secrets, metrics |
//! | 1 | [`wire`] | pure codecs: bytes to values and back |
//! | 1 | [`text`] | Markdown to a document tree and back |
//! | 2 | [`store`] | what is durable: log, snapshots, rows |
//! | 2 | [`bus`] | keys with expiry, publish and subscribe, as bytes: embedded or Redis |
//! | 2 | [`outbound`] | the only HTTP client: goes where it was allowed to |
//! | 3 | [`auth`] | credentials become grants |
//! | 3 | [`records`] | what a record is, and its rules |
//! | 3 | [`scribe`] | the disposable process that turns stored bytes into trees |
//! | 4 | [`rooms`] | the core: one task owns one shared document, or one space of channels |
//! | 5 | [`faces`] | one folder per dialect, translation only |
//! | 5 | [`follow`] | what reads the log behind everybody |
//! | 5 | [`lan`] | how the office is found on the network |
//! | 6 | [`server`] | builds every part, starts and stops them |

pub mod auth;
pub mod bus;
pub mod clock;
pub mod config;
pub mod faces;
pub mod follow;
pub mod heap;
pub mod id;
pub mod lan;
pub mod lock;
pub mod outbound;
pub mod records;
pub mod rooms;
pub mod scribe;
pub mod server;
pub mod store;
pub mod telemetry;
pub mod text;
pub mod wire;
