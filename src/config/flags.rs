//! What can be said on the command line and in the environment.
//!
//! Owns the names of flags and variables. Does not know what they mean together; see [`mod@super::resolve`].

use std::net::SocketAddr;
use std::path::PathBuf;

use super::Hidden;

/// The options of `townhall serve` and of the desktop program. A flag beats its variable.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Flags {
    /// Folder that holds everything [default: this computer's place for application data]
    #[arg(long, value_name = "DIR", env = "TOWNHALL_DATA")]
    pub data: Option<PathBuf>,
    /// Address and port to listen on [default: 127.0.0.1:3001]
    #[arg(long, value_name = "ADDR:PORT", env = "TOWNHALL_LISTEN")]
    pub listen: Option<SocketAddr>,
    /// Share on the office network from the start
    #[arg(long, env = "TOWNHALL_SHARE")]
    pub share: bool,
    /// Configuration file [default: townhall.yml in the data folder, when it is there]
    #[arg(long, value_name = "FILE", env = "TOWNHALL_CONFIG")]
    pub config: Option<PathBuf>,
    /// A central Redis, for example redis://user:password@redis.example:6379/0
    #[arg(long, value_name = "URL", env = "TOWNHALL_REDIS", hide_env_values = true)]
    pub redis: Option<Hidden>,
    /// The same by the name that other programs use
    #[arg(long, value_name = "URL", env = "REDIS_URL", hide = true, hide_env_values = true)]
    pub redis_url: Option<Hidden>,
    /// What is logged, for example `info` or `townhall=debug`
    #[arg(long, value_name = "FILTER", env = "TOWNHALL_LOG", hide = true)]
    pub log: Option<String>,
    /// How it is logged: `text` or `json`
    #[arg(long, value_name = "FORM", env = "TOWNHALL_LOG_FORMAT", hide = true)]
    pub log_format: Option<LogFormat>,
    /// Whether documents other than records may be made
    #[arg(long, value_name = "BOOL", env = "TOWNHALL_DOCUMENTS_FREE", hide = true)]
    pub documents_free: Option<bool>,
    /// Whether `?token=` is accepted
    #[arg(long, value_name = "BOOL", env = "TOWNHALL_AUTH_QUERY_TOKENS", hide = true)]
    pub query_tokens: Option<bool>,
    /// Where Loomio answers who may write in its documents
    #[arg(long, value_name = "URL", env = "TOWNHALL_LOOMIO_APP_URL", hide = true)]
    pub loomio_app_url: Option<String>,
    /// How long a channel token is known, in seconds
    #[arg(long, value_name = "SECONDS", env = "CACHE_REDIS_EXPIRE", hide = true)]
    pub cache_redis_expire: Option<u64>,
    /// The secret that tokens of the Curia forum are signed with
    #[arg(
        long,
        value_name = "SECRET",
        env = "TOWNHALL_CURIA_JWT_SECRET",
        hide = true,
        hide_env_values = true
    )]
    pub curia_jwt_secret: Option<Hidden>,
    /// A file with the public key of tokens of the Curia forum
    #[arg(long, value_name = "FILE", env = "TOWNHALL_CURIA_JWT_PUBLIC_KEY_FILE", hide = true)]
    pub curia_jwt_public_key_file: Option<PathBuf>,
    /// Origins, with commas between them, whose pages may use the channels
    #[arg(
        long,
        value_name = "ORIGINS",
        env = "TOWNHALL_CHANNELS_ORIGINS",
        value_delimiter = ',',
        hide = true
    )]
    pub channels_origins: Vec<String>,
}

/// The form of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum LogFormat {
    /// One line for people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}
