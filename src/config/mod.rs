//! What was written, and what it means.
//!
//! Owns reading of file, environment and flags into one resolved [`Config`] without options. Nobody else reads
//! the environment.

mod central;
mod curia;
mod flags;
pub mod limits;
mod loomio;
mod resolve;
mod written;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

pub use central::{CentralUrl, CentralUrlError, Hidden, Layout};
pub use curia::Curia;
pub use flags::{Flags, LogFormat};
pub use loomio::Loomio;
pub use resolve::{ConfigError, resolve};

/// What the server was told, resolved: every value is present.
#[derive(Debug, Clone)]
pub struct Config {
    /// The data folder.
    pub data: PathBuf,
    /// Where to listen before anybody shares. An address other than loopback was asked for by name, and shares.
    pub listen: SocketAddr,
    /// Whether to share on the office network from the start.
    pub share: bool,
    /// Whether documents other than records may be made (`documents.free`).
    pub documents_free: bool,
    /// Whether `?token=` is accepted (`auth.query_tokens`).
    pub query_tokens: bool,
    /// Names besides our own that the server may be called by (`auth.hosts`): a reverse proxy's, for example.
    pub hosts: Vec<String>,
    /// Origins besides our own whose pages may talk to the server (`auth.origins`).
    pub origins: Vec<String>,
    /// Hosts, or `host:port`, that are asked wherever they are, also without TLS (`outbound.allow`): a Matrix server of
    /// the office's own, for example.
    pub outbound_allow: Vec<String>,
    /// Loomio.
    pub loomio: Loomio,
    /// What is said about the Curia forum (`curia`).
    pub curia: Curia,
    /// Origins besides our own whose pages may use the channels, and only these (`channels.origins`).
    pub channels_origins: Vec<String>,
    /// How long a message is kept for who was cut off (`channels.window_s`).
    pub channels_window: Duration,
    /// The central Redis (`--redis`, `TOWNHALL_REDIS`, `REDIS_URL`, `redis.url`). Where nobody says, the settings page
    /// may.
    pub central: Option<CentralUrl>,
    /// The published realtime settings.
    pub realtime: Realtime,
    /// What is logged.
    pub log: String,
    /// The form of log lines.
    pub log_format: LogFormat,
    /// The program started as scribe: normally this very program.
    pub scribe_program: PathBuf,
}

/// The published `realtime:` section, resolved (CivicPress' own realtime.yml).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Realtime {
    /// Open rooms at once.
    pub max_rooms: usize,
    /// A room nobody is in stays loaded this long.
    pub room_grace: Duration,
    /// A snapshot is due this long after the first change.
    pub snapshot_interval: Duration,
    /// A snapshot is due after this many updates.
    pub snapshot_updates: usize,
    /// Connections of one address.
    pub connections_per_ip: usize,
    /// Keys that were given and change nothing: this program bounds the same in its own way.
    pub without_effect: Vec<&'static str>,
}

impl Default for Realtime {
    fn default() -> Self {
        Self {
            max_rooms: limits::ROOMS_OPEN_MAX,
            room_grace: limits::ROOM_GRACE,
            snapshot_interval: limits::SNAPSHOT_INTERVAL,
            snapshot_updates: limits::SNAPSHOT_UPDATES,
            connections_per_ip: limits::CONNECTIONS_PER_ADDRESS_MAX,
            without_effect: Vec::new(),
        }
    }
}

impl Config {
    /// A configuration for a folder, with every default, on a free loopback port: for tests and embedding.
    #[must_use]
    pub fn in_folder(data: PathBuf, scribe_program: PathBuf) -> Self {
        Self {
            data,
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            share: false,
            documents_free: true,
            query_tokens: true,
            hosts: Vec::new(),
            origins: Vec::new(),
            outbound_allow: Vec::new(),
            loomio: Loomio::default(),
            curia: Curia::default(),
            channels_origins: Vec::new(),
            channels_window: limits::SPACE_WINDOW,
            central: None,
            realtime: Realtime::default(),
            log: resolve::LOG_DEFAULT.to_owned(),
            log_format: LogFormat::Text,
            scribe_program,
        }
    }
}
