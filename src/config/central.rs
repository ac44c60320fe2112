//! Where the central Redis is, as a URL says it.
//!
//! Owns the forms that are understood. The password is shown to nobody: neither `Display` nor `Debug` has it.

use std::fmt;
use std::str::FromStr;

use super::limits::{CENTRAL_HOSTS_MAX, CENTRAL_URL_MAX_BYTES};

/// What URLs look like, for complaints.
const FORMS: &str = "redis://[user:password@]host[:6379][/db], rediss:// for TLS, redis+sentinel://host,host/master or \
                     redis+cluster://host,host";
/// Redis' own port.
const PORT: u16 = 6379;
/// A sentinel's own port.
const SENTINEL_PORT: u16 = 26_379;

/// Why a URL is not understood; never says what was in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected {FORMS}: {0}")]
pub struct CentralUrlError(&'static str);

impl CentralUrlError {
    /// What was expected.
    #[must_use]
    pub fn expected(&self) -> &'static str {
        FORMS
    }
}

/// How several servers make one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Layout {
    /// One server.
    Single,
    /// The hosts are sentinels that know the master of this name.
    Sentinel(String),
    /// The hosts are nodes of a cluster.
    Cluster,
}

/// A secret: not for eyes.
#[derive(Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(transparent)]
pub struct Hidden(String);

impl Hidden {
    /// What is hidden.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl From<String> for Hidden {
    fn from(secret: String) -> Self {
        Self(secret)
    }
}

impl FromStr for Hidden {
    type Err = std::convert::Infallible;
    fn from_str(secret: &str) -> Result<Self, Self::Err> {
        Ok(Self(secret.to_owned()))
    }
}

impl fmt::Debug for Hidden {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("…")
    }
}

/// The central Redis' address and how to log in there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CentralUrl {
    /// Whether the line is encrypted.
    pub tls: bool,
    /// How several servers make one.
    pub layout: Layout,
    /// Host names or addresses with their ports; at least one.
    pub hosts: Vec<(String, u16)>,
    /// The user, when it is not the default one.
    pub user: Option<String>,
    /// The password.
    pub password: Option<Hidden>,
    /// The sentinels' own password: `?sentinel_password=`.
    pub sentinel_password: Option<Hidden>,
    /// The number of the database.
    pub database: i64,
    /// `?protocol=resp2`: the server is said not to know the newer protocol.
    pub old_protocol: bool,
}

impl CentralUrl {
    /// The same with another password.
    #[must_use]
    pub fn with_password(mut self, password: Option<Hidden>) -> Self {
        self.password = password;
        self
    }

    /// The same without its secrets.
    #[must_use]
    pub fn without_secrets(&self) -> Self {
        Self { password: None, sentinel_password: None, ..self.clone() }
    }

    /// The whole URL with its secrets: to be kept, never to be shown.
    #[must_use]
    pub fn reveal(&self) -> String {
        self.written(true)
    }

    fn written(&self, secrets: bool) -> String {
        let mut url = String::from(if self.tls { "rediss" } else { "redis" });
        match self.layout {
            Layout::Single => {}
            Layout::Sentinel(_) => url.push_str("+sentinel"),
            Layout::Cluster => url.push_str("+cluster"),
        }
        url.push_str("://");
        let password = self.password.as_ref().filter(|_| secrets).map(|password| encode(password.reveal()));
        match (&self.user, password) {
            (None, None) => {}
            (user, None) => url.push_str(&format!("{}@", encode(user.as_deref().unwrap_or_default()))),
            (user, Some(password)) => {
                url.push_str(&format!("{}:{password}@", encode(user.as_deref().unwrap_or_default())));
            }
        }
        let hosts = self.hosts.iter().map(|(host, port)| {
            if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
        });
        url.push_str(&hosts.collect::<Vec<_>>().join(","));
        if let Layout::Sentinel(master) = &self.layout {
            url.push_str(&format!("/{}", encode(master)));
        }
        if self.database != 0 {
            url.push_str(&format!("/{}", self.database));
        }
        let sentinel = self.sentinel_password.as_ref().filter(|_| secrets);
        let sentinel = sentinel.map(|secret| format!("sentinel_password={}", encode(secret.reveal())));
        let old = self.old_protocol.then(|| "protocol=resp2".to_owned());
        let options: Vec<String> = sentinel.into_iter().chain(old).collect();
        if !options.is_empty() {
            url.push_str(&format!("?{}", options.join("&")));
        }
        url
    }
}

impl fmt::Display for CentralUrl {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.written(false))
    }
}

impl FromStr for CentralUrl {
    type Err = CentralUrlError;

    fn from_str(url: &str) -> Result<Self, CentralUrlError> {
        if url.len() > CENTRAL_URL_MAX_BYTES || url.chars().any(|c| c.is_control() || c == ' ') {
            return Err(CentralUrlError("it is too long, or has spaces in it"));
        }
        let (scheme, rest) = url.split_once("://").ok_or(CentralUrlError("it has no scheme"))?;
        let (tls, layout) = match scheme {
            "redis" => (false, Layout::Single),
            "rediss" => (true, Layout::Single),
            "redis+sentinel" => (false, Layout::Sentinel(String::new())),
            "rediss+sentinel" => (true, Layout::Sentinel(String::new())),
            "redis+cluster" => (false, Layout::Cluster),
            "rediss+cluster" => (true, Layout::Cluster),
            _ => return Err(CentralUrlError("its scheme is another one")),
        };
        let (rest, options) = rest.split_once('?').unwrap_or((rest, ""));
        // A password may hold a slash that nobody encoded: what stands before the last @ is the log-in.
        let (login, rest) = rest.rsplit_once('@').map_or((None, rest), |(login, rest)| (Some(login), rest));
        let (hosts, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (user, password) = match login {
            Some(login) => log_in(login)?,
            None => (None, None),
        };
        let port = if matches!(layout, Layout::Sentinel(_)) { SENTINEL_PORT } else { PORT };
        let hosts = hosts_of(hosts, port)?;
        let (layout, database) = path_of(path, layout)?;
        if hosts.len() > 1 && layout == Layout::Single {
            return Err(CentralUrlError("several hosts are sentinels or a cluster"));
        }
        if layout == Layout::Cluster && database != 0 {
            return Err(CentralUrlError("a cluster has one database only"));
        }
        let none = (None, false);
        let (sentinel_password, old_protocol) =
            options.split('&').filter(|one| !one.is_empty()).try_fold(none, |(sentinel, old), option| {
                match option.split_once('=') {
                    Some(("sentinel_password", secret)) => Ok((Some(Hidden(decode(secret)?)), old)),
                    Some(("protocol", "resp2" | "2")) => Ok((sentinel, true)),
                    Some(("protocol", "resp3" | "3")) => Ok((sentinel, false)),
                    _ => Err(CentralUrlError("it has an option that is not known")),
                }
            })?;
        Ok(Self { tls, layout, hosts, user, password, sentinel_password, database, old_protocol })
    }
}

type LogIn = (Option<String>, Option<Hidden>);

fn log_in(login: &str) -> Result<LogIn, CentralUrlError> {
    let (user, password) = login.split_once(':').map_or((login, None), |(user, word)| (user, Some(word)));
    let user = decode(user)?;
    let password = password.filter(|word| !word.is_empty()).map(decode).transpose()?;
    Ok((Some(user).filter(|user| !user.is_empty()), password.map(Hidden)))
}

fn hosts_of(hosts: &str, default_port: u16) -> Result<Vec<(String, u16)>, CentralUrlError> {
    let bad = CentralUrlError("a host or a port is not understood");
    let mut found = Vec::new();
    for one in hosts.split(',') {
        let (host, port) = match one.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, port)) => (host, port.strip_prefix(':')),
            None => one.rsplit_once(':').map_or((one, None), |(host, port)| (host, Some(port))),
        };
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '%');
        let port = port.map_or(Ok(default_port), |port| port.parse().map_err(|_| bad.clone()))?;
        if host.is_empty() || !host.chars().all(plain) || port == 0 || found.len() >= CENTRAL_HOSTS_MAX {
            return Err(bad);
        }
        found.push((host.to_owned(), port));
    }
    Ok(found)
}

fn path_of(path: &str, layout: Layout) -> Result<(Layout, i64), CentralUrlError> {
    let (layout, number) = match layout {
        Layout::Sentinel(_) => {
            let (master, number) = path.split_once('/').unwrap_or((path, ""));
            if master.is_empty() {
                return Err(CentralUrlError("the name of the master is missing"));
            }
            (Layout::Sentinel(decode(master)?), number)
        }
        other => (other, path),
    };
    let number = number.trim_end_matches('/');
    let database: u16 = if number.is_empty() {
        0
    } else {
        number.parse().map_err(|_| CentralUrlError("the database is a number"))?
    };
    Ok((layout, i64::from(database)))
}

fn encode(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'.' | b'-' | b'_' | b'~' => {
                char::from(byte).to_string()
            }
            other => format!("%{other:02X}"),
        })
        .collect()
}

fn decode(text: &str) -> Result<String, CentralUrlError> {
    let bad = CentralUrlError("a %-sign is not followed by two hexadecimal digits of UTF-8");
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let (digits, after) = rest.split_at_checked(2).ok_or_else(|| bad.clone())?;
        let digits = std::str::from_utf8(digits).map_err(|_| bad.clone())?;
        bytes.push(u8::from_str_radix(digits, 16).map_err(|_| bad.clone())?);
        rest = after;
    }
    String::from_utf8(bytes).map_err(|_| bad)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forms_people_write_are_understood_and_shown_without_the_password() {
        for (written, shown) in [
            ("redis://localhost", "redis://localhost:6379"),
            ("redis://localhost:6380/0", "redis://localhost:6380"),
            ("redis://:secret@10.0.0.5:6379/3", "redis://10.0.0.5:6379/3"),
            ("rediss://ann:s%2Fe@town.example", "rediss://ann@town.example:6379"),
            ("redis://ann:a/secret@[::1]:7000", "redis://ann@[::1]:7000"),
            (
                "redis+sentinel://:secret@a,b:1/town/2?sentinel_password=x",
                "redis+sentinel://a:26379,b:1/town/2",
            ),
            ("rediss+cluster://a,b", "rediss+cluster://a:6379,b:6379"),
            ("redis://old?protocol=resp2", "redis://old:6379?protocol=resp2"),
        ] {
            let url: CentralUrl = written.parse().unwrap();
            assert_eq!(url.to_string(), shown);
            assert!(!format!("{url:?}").contains("secret"), "{url:?}");
            assert_eq!(url.reveal().parse::<CentralUrl>().unwrap(), url);
        }
        let url: CentralUrl = "rediss://ann:s%2Fe@town.example".parse().unwrap();
        assert_eq!(url.password.unwrap().reveal(), "s/e");
    }

    #[test]
    fn what_is_not_understood_is_refused_without_repeating_it() {
        for written in [
            "",
            "localhost:6379",
            "http://secret",
            "redis://",
            "redis://secret:x",
            "redis://a,b",
            "redis://a/secret",
            "redis://:secret%zz@a",
            "redis+sentinel://a",
            "redis+cluster://a/2",
            "redis://a?secret=1",
            "redis://a b",
        ] {
            let error = written.parse::<CentralUrl>().unwrap_err().to_string();
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
