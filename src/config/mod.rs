//! What was written, and what it means.
//!
//! Owns reading of file, environment and flags into one resolved [`Config`] without options. Nobody else reads
//! the environment.

pub mod limits;

use std::net::SocketAddr;
use std::path::PathBuf;

/// What the server was told, resolved: every value is present.
#[derive(Debug, Clone)]
pub struct Config {
    /// The data folder.
    pub data: PathBuf,
    /// Where to listen before anybody shares.
    pub listen: SocketAddr,
    /// Whether to share on the office network from the start.
    pub share: bool,
    /// Whether documents other than records may be made (`documents.free`).
    pub documents_free: bool,
    /// Whether `?token=` is accepted (`auth.query_tokens`).
    pub query_tokens: bool,
    /// The program started as scribe: normally this very program.
    pub scribe_program: PathBuf,
}
