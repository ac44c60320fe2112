//! Flags, environment and file become one [`Config`].
//!
//! Owns precedence (flags, then environment, then file, then defaults) and the checks that need more than one
//! value. Every complaint names the line, the key and what was expected.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::limits::CONFIG_FILE_MAX_BYTES;
use super::written::Written;
use super::{CentralUrl, CentralUrlError, Config, Flags, Realtime, curia, limits, loomio};

/// What is logged when nobody says: joins, leaves, refusals and faults.
pub(super) const LOG_DEFAULT: &str = "info";
/// The published port.
const PORT_DEFAULT: u16 = 3001;
/// The file that is read from the data folder when no other is named.
const FILE_NAME: &str = "townhall.yml";

/// Why the configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("the configuration file {path} cannot be read: {why}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        why: String,
    },
    /// The file says something that is not understood.
    #[error("{path}, line {line}: {key}{why}")]
    Written {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: u64,
        /// The key and a colon, where it is known.
        key: String,
        /// What is wrong, and what was expected.
        why: String,
    },
    /// The central Redis' address is not understood; what it is stays unsaid, since it may hold a password.
    #[error("{from}: {why}")]
    Central {
        /// Where it was said.
        from: &'static str,
        /// What was expected.
        why: CentralUrlError,
    },
    /// This computer has no place for application data.
    #[error("no data folder: name one with --data")]
    NoDataFolder,
    /// The program does not know its own file.
    #[error("the program's own file is not known: {0}")]
    NoProgram(String),
}

/// Resolves flags (which already carry the environment) and the file.
///
/// # Errors
/// See [`ConfigError`].
pub fn resolve(flags: &Flags) -> Result<Config, ConfigError> {
    let data = match &flags.data {
        Some(data) => data.clone(),
        None => directories::ProjectDirs::from("", "", "Townhall")
            .map(|dirs| dirs.data_dir().to_path_buf())
            .ok_or(ConfigError::NoDataFolder)?,
    };
    let beside = data.join(FILE_NAME);
    let (path, text) = match &flags.config {
        Some(path) => (path.clone(), read(path)?),
        None if beside.is_file() => (beside.clone(), read(&beside)?),
        None => (beside, String::new()),
    };
    let written = parse(&path, &text)?;
    let complain = |key: &str, expected: &str| ConfigError::Written {
        path: path.clone(),
        line: line_of(&text, key),
        key: format!("{key}: "),
        why: format!("expected {expected}"),
    };
    let realtime = realtime(&written, &complain)?;
    let app_url = flags.loomio_app_url.as_ref();
    let loomio = loomio::resolve(&written.loomio, app_url, flags.cache_redis_expire, &complain)?;
    let listen = match flags.listen {
        Some(listen) => listen,
        None => SocketAddr::new(
            host(written.realtime.host.as_deref(), &complain)?,
            written.realtime.port.unwrap_or(PORT_DEFAULT),
        ),
    };
    let scribe_program = std::env::current_exe().map_err(|e| ConfigError::NoProgram(e.to_string()))?;
    Ok(Config {
        data,
        listen,
        share: flags.share || !listen.ip().is_loopback(),
        documents_free: flags.documents_free.or(written.documents.free).unwrap_or(true),
        query_tokens: flags.query_tokens.or(written.auth.query_tokens).unwrap_or(true),
        hosts: hosts(&written, &complain)?,
        origins: origins("auth.origins", &written.auth.origins, &complain)?,
        channels_origins: origins(
            "channels.origins",
            if flags.channels_origins.is_empty() {
                &written.channels.origins
            } else {
                &flags.channels_origins
            },
            &complain,
        )?,
        channels_window: window(written.channels.window_s, &complain)?,
        outbound_allow: loomio::outbound(&written.outbound.allow, &complain)?,
        loomio,
        central: central(flags, &written, &complain)?,
        curia: curia::resolve(&written.curia, flags, &complain)?,
        realtime,
        log: flags.log.clone().unwrap_or_else(|| LOG_DEFAULT.to_owned()),
        log_format: flags.log_format.unwrap_or_default(),
        scribe_program,
    })
}

fn window(window_s: Option<u64>, complain: Complain<'_>) -> Result<Duration, ConfigError> {
    match window_s.map(Duration::from_secs) {
        None => Ok(limits::SPACE_WINDOW),
        Some(window) if (Duration::from_secs(1)..=limits::SPACE_WINDOW_MAX).contains(&window) => Ok(window),
        Some(_) => Err(complain("channels.window_s", "seconds, at least 1 and at most a day")),
    }
}

fn read(path: &Path) -> Result<String, ConfigError> {
    let unreadable = |why: String| ConfigError::Unreadable { path: path.to_path_buf(), why };
    let size = std::fs::metadata(path).map_err(|e| unreadable(e.to_string()))?.len();
    if size > CONFIG_FILE_MAX_BYTES {
        return Err(unreadable(format!("it is larger than {CONFIG_FILE_MAX_BYTES} bytes")));
    }
    std::fs::read_to_string(path).map_err(|e| unreadable(e.to_string()))
}

fn parse(path: &Path, text: &str) -> Result<Written, ConfigError> {
    if text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#')) {
        return Ok(Written::default());
    }
    serde_saphyr::from_str(text).map_err(|error| {
        let line = error.location().map_or(1, |at| at.line());
        let key = text
            .lines()
            .nth(line.saturating_sub(1) as usize)
            .and_then(|line| line.split_once(':'))
            .map_or(String::new(), |(key, _)| format!("{}: ", key.trim()));
        ConfigError::Written { path: path.to_path_buf(), line, key, why: plain(&error) }
    })
}

/// The parser's complaint without its picture of the file.
fn plain(error: &serde_saphyr::Error) -> String {
    let text = error.without_snippet().to_string();
    let line = text.lines().next().unwrap_or("not understood");
    let line = line.split(" at line ").next().unwrap_or(line);
    match line {
        "invalid u16" => "expected a whole number from 0 to 65535".to_owned(),
        "invalid u32" | "invalid u64" => "expected a whole number, not negative".to_owned(),
        _ if line.contains("bool") => "expected true or false".to_owned(),
        other => other.to_owned(),
    }
}

/// The line a dotted key stands on: its parts are looked for one after the other.
fn line_of(text: &str, key: &str) -> u64 {
    let mut parts = key.split('.').peekable();
    for (number, line) in text.lines().enumerate() {
        let Some(part) = parts.peek() else { break };
        if line.trim_start().strip_prefix(part).is_some_and(|rest| rest.trim_start().starts_with(':')) {
            parts.next();
            if parts.peek().is_none() {
                return number as u64 + 1;
            }
        }
    }
    1
}

pub(super) type Complain<'a> = &'a dyn Fn(&str, &str) -> ConfigError;

fn realtime(written: &Written, complain: Complain<'_>) -> Result<Realtime, ConfigError> {
    let section = &written.realtime;
    if section.enabled == Some(false) {
        return Err(complain("realtime.enabled", "true: with false there would be nothing to serve"));
    }
    if section.path.as_deref().is_some_and(|path| path != "/realtime") {
        return Err(complain("realtime.path", "\"/realtime\", the only path that clients know"));
    }
    if section.snapshots.storage.as_deref().is_some_and(|storage| storage != "database") {
        return Err(complain("realtime.snapshots.storage", "\"database\""));
    }
    if section.snapshots.enabled == Some(false) {
        return Err(complain("realtime.snapshots.enabled", "true: without snapshots documents open slowly"));
    }
    let defaults = Realtime::default();
    let at_least_one = |key: &str, value: Option<u32>, default: usize| match value {
        Some(0) => Err(complain(key, "a number of at least 1")),
        Some(value) => Ok(value as usize),
        None => Ok(default),
    };
    let rooms_max = at_least_one("realtime.rooms.max_rooms", section.rooms.max_rooms, defaults.max_rooms)?;
    at_least_one("realtime.rate_limiting.messages_per_second", section.rate_limiting.messages_per_second, 1)?;
    at_least_one(
        "realtime.rate_limiting.connections_per_user",
        section.rate_limiting.connections_per_user,
        1,
    )?;
    let (limits_of, cleanup) = (&section.rate_limiting, &section.connection_cleanup);
    // Accepted since the published file carries them.
    let without_effect = [
        ("realtime.rate_limiting.messages_per_second", limits_of.messages_per_second.is_some()),
        ("realtime.rate_limiting.connections_per_user", limits_of.connections_per_user.is_some()),
        ("realtime.rooms.cleanup_timeout", section.rooms.cleanup_timeout.is_some()),
        ("realtime.connection_cleanup.enabled", cleanup.enabled.is_some()),
        ("realtime.connection_cleanup.check_interval", cleanup.check_interval.is_some()),
        ("realtime.connection_cleanup.stale_threshold", cleanup.stale_threshold.is_some()),
    ];
    Ok(Realtime {
        without_effect: without_effect.iter().filter(|(_, given)| *given).map(|(key, _)| *key).collect(),
        max_rooms: rooms_max.min(limits::ROOMS_OPEN_MAX),
        room_grace: section
            .rooms
            .grace_period_ms
            .map_or(defaults.room_grace, |ms| Duration::from_millis(ms).min(limits::CONFIG_NEVER)),
        snapshot_interval: match section.snapshots.interval {
            None => defaults.snapshot_interval,
            Some(0) => limits::CONFIG_NEVER,
            Some(interval_s) => Duration::from_secs(interval_s).min(limits::CONFIG_NEVER),
        },
        snapshot_updates: at_least_one(
            "realtime.snapshots.max_updates",
            section.snapshots.max_updates,
            defaults.snapshot_updates,
        )?,
        connections_per_ip: at_least_one(
            "realtime.rate_limiting.connections_per_ip",
            section.rate_limiting.connections_per_ip,
            defaults.connections_per_ip,
        )?,
    })
}

/// The central server: a flag, its variable, the variable other programs use, the file.
fn central(
    flags: &Flags,
    written: &Written,
    complain: Complain<'_>,
) -> Result<Option<CentralUrl>, ConfigError> {
    let said = [("--redis or TOWNHALL_REDIS", &flags.redis), ("REDIS_URL", &flags.redis_url)];
    for (from, url) in said {
        let Some(url) = url.as_ref().filter(|url| !url.reveal().is_empty()) else { continue };
        return url.reveal().parse().map(Some).map_err(|why| ConfigError::Central { from, why });
    }
    let file = written.redis.url.as_deref();
    file.map(|url| url.parse().map_err(|why: CentralUrlError| complain("redis.url", why.expected())))
        .transpose()
}

fn host(written: Option<&str>, complain: Complain<'_>) -> Result<IpAddr, ConfigError> {
    match written {
        None | Some("localhost") => Ok(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        Some(text) => {
            text.parse().map_err(|_| complain("realtime.host", "an IP address, for example 127.0.0.1"))
        }
    }
}

fn hosts(written: &Written, complain: Complain<'_>) -> Result<Vec<String>, ConfigError> {
    let plain = |name: &String| {
        !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.' || b == b'-')
    };
    if written.auth.hosts.iter().all(plain) {
        return Ok(written.auth.hosts.iter().map(|name| name.to_ascii_lowercase()).collect());
    }
    Err(complain("auth.hosts", "names without scheme and port, for example texts.example.org"))
}

fn origins(key: &str, written: &[String], complain: Complain<'_>) -> Result<Vec<String>, ConfigError> {
    let plain = |origin: &String| {
        let rest = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
        rest.is_some_and(|rest| !rest.is_empty() && !rest.contains(['/', '*', '@', ' ']))
    };
    if written.iter().all(plain) {
        return Ok(written.iter().map(|origin| origin.to_ascii_lowercase()).collect());
    }
    Err(complain(key, "origins such as https://texts.example.org, without path and without *"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(text: &str) -> Result<Config, ConfigError> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(FILE_NAME), text).unwrap();
        resolve(&Flags { data: Some(dir.path().to_path_buf()), ..Flags::default() })
    }

    #[test]
    fn the_published_file_is_understood() {
        let config = with(
            "realtime:\n  enabled: true\n  port: 3007\n  host: '127.0.0.1'\n  path: '/realtime'\n  rooms:\n    \
             max_rooms: 100\n    cleanup_timeout: 3600\n  snapshots:\n    enabled: true\n    interval: 60\n    \
             max_updates: 50\n    storage: 'database'\n  rate_limiting:\n    messages_per_second: 10\n    \
             connections_per_ip: 100\n    connections_per_user: 10\n",
        )
        .unwrap();
        assert_eq!(config.listen, "127.0.0.1:3007".parse().unwrap());
        assert_eq!(config.realtime.max_rooms, 100);
        assert_eq!(config.realtime.snapshot_interval, Duration::from_secs(60));
        assert!(!config.share);
    }

    #[test]
    fn without_a_file_nothing_is_shared() {
        let config = with("# nothing\n").unwrap();
        assert_eq!(config.listen, "127.0.0.1:3001".parse().unwrap());
        assert!(!config.share && config.documents_free && config.query_tokens);
    }

    #[test]
    fn flags_beat_the_file() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(FILE_NAME), "realtime:\n  port: 4000\ndocuments:\n  free: true\n")
            .unwrap();
        let flags = Flags {
            data: Some(dir.path().to_path_buf()),
            listen: Some("127.0.0.1:5000".parse().unwrap()),
            documents_free: Some(false),
            ..Flags::default()
        };
        let config = resolve(&flags).unwrap();
        assert_eq!(config.listen.port(), 5000);
        assert!(!config.documents_free);
    }

    #[test]
    fn every_complaint_names_line_key_and_what_was_expected() {
        for (text, line, key, expected) in [
            ("realtime:\n  prot: 3001\n", 2, "prot", "expected"),
            ("realtime:\n  port: yes please\n", 2, "port", "expected"),
            ("realtime:\n  port: 70000\n", 2, "port", "expected"),
            ("realtime:\n  host: everywhere\n", 2, "realtime.host", "expected an IP address"),
            ("realtime:\n  rooms:\n    max_rooms: 0\n", 3, "realtime.rooms.max_rooms", "at least 1"),
            ("documents:\n  fre: true\n", 2, "fre", "expected"),
            ("auth:\n  origins: ['*']\n", 2, "auth.origins", "without *"),
            ("loomio:\n  app_url: ftp://x\n", 2, "loomio.app_url", "expected a URL"),
            ("curia:\n  events_per_minute: 0\n", 2, "curia.events_per_minute", "at least 1"),
            ("loomio:\n  token_life_s: 0\n", 2, "loomio.token_life_s", "at least 1"),
            ("outbound:\n  allow: ['https://x']\n", 2, "outbound.allow", "without scheme"),
            ("channels:\n  origins: ['https://a.org/x']\n", 2, "channels.origins", "without path"),
            ("channels:\n  window_s: 0\n", 2, "channels.window_s", "at least 1"),
            ("documents:\n  free: perhaps\n", 2, "free", "expected"),
        ] {
            let error = with(text).unwrap_err().to_string();
            assert!(error.contains(&format!("line {line}: ")), "{text:?} gave {error}");
            assert!(error.contains(key) && error.contains(expected), "{text:?} gave {error}");
        }
    }
}
