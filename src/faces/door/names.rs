//! What the office is called: which Host a request may name, and which Origin its page may have.
//!
//! A web page that some browser in the office visits can send requests to this server: by its own name (then the
//! Origin tells) or by a name of its own that it lets point to our address (then the Host tells). An IP address as
//! Host cannot be such a name, so every address is fine.

use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock};

/// The names the office answers to; cheap to clone.
#[derive(Debug, Clone)]
pub struct Names(Arc<Known>);

#[derive(Debug)]
struct Known {
    hosts: Vec<String>,
    origins: Vec<String>,
    /// Origins whose pages may use the channels, and nothing else.
    channels: Vec<String>,
    /// Our name on the network, without a dot at its end; it can change when another host has it too.
    local: RwLock<Option<String>>,
}

/// A host and a port, as the Host header and the Origin header write them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    host: Host,
    port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Host {
    Address(IpAddr),
    Name(String),
}

impl Names {
    /// Names from the configuration: hosts in lower case, whole origins, and those that may use the channels only.
    #[must_use]
    pub fn new(hosts: Vec<String>, origins: Vec<String>, channels: Vec<String>) -> Self {
        Self(Arc::new(Known { hosts, origins, channels, local: RwLock::new(None) }))
    }

    /// Our name on the network is this from now on.
    pub fn set_local(&self, name: Option<&str>) {
        let name = name.map(|name| name.trim_end_matches('.').to_ascii_lowercase());
        *self.0.local.write().unwrap_or_else(PoisonError::into_inner) = name;
    }

    /// The place a Host header names, if it is ours.
    pub(super) fn ours(&self, header: &str) -> Option<Place> {
        let place = Place::parse(header)?;
        let ours = match &place.host {
            Host::Address(_) => true,
            Host::Name(name) => name == "localhost" || self.0.hosts.contains(name) || self.is_local(name),
        };
        ours.then_some(place)
    }

    /// Whether a page of this origin may talk to the place it called.
    pub(super) fn may_talk(&self, origin: &str, called: &Place) -> bool {
        let Some((scheme, rest)) = origin.split_once("://") else { return false };
        let default = match scheme {
            "http" => 80,
            "https" => 443,
            _ => return false,
        };
        let Some(place) = Place::parse(rest) else { return false };
        let same =
            place.host == called.host && place.port.unwrap_or(default) == called.port.unwrap_or(default);
        same || self.0.origins.iter().any(|known| known.eq_ignore_ascii_case(origin))
    }

    /// Whether a page of this origin may use the channels.
    pub(super) fn may_listen(&self, origin: &str) -> bool {
        self.0.channels.iter().any(|known| known.eq_ignore_ascii_case(origin))
    }

    fn is_local(&self, name: &str) -> bool {
        let local = self.0.local.read().unwrap_or_else(PoisonError::into_inner);
        local.as_deref() == Some(name)
    }
}

impl Place {
    /// Parses `host`, `host:port`, `[v6]` or `[v6]:port`, and nothing else.
    fn parse(text: &str) -> Option<Self> {
        let (host, port) = if let Some(rest) = text.strip_prefix('[') {
            let (address, after) = rest.split_once(']')?;
            let address = address.parse().map(IpAddr::V6).ok()?;
            (Host::Address(address), after.strip_prefix(':').or(after.is_empty().then_some(""))?)
        } else {
            let (host, port) = text.split_once(':').unwrap_or((text, ""));
            if text.ends_with(':') {
                return None;
            }
            match host.parse() {
                Ok(address) => (Host::Address(IpAddr::V4(address)), port),
                Err(_) => (Host::Name(name(host)?), port),
            }
        };
        if text.ends_with(':') {
            return None;
        }
        let port = match port {
            "" => None,
            digits if digits.bytes().all(|b| b.is_ascii_digit()) => Some(digits.parse().ok()?),
            _ => return None,
        };
        Some(Self { host, port })
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.host {
            Host::Address(IpAddr::V6(v6)) => write!(f, "[{v6}]")?,
            Host::Address(v4) => write!(f, "{v4}")?,
            Host::Name(name) => f.write_str(name)?,
        }
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

/// A host name in lower case; one that looks like a number is an address in disguise and none of ours.
fn name(text: &str) -> Option<String> {
    let plain = !text.is_empty()
        && text.len() <= 253
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.' || b == b'-');
    plain.then(|| text.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Names {
        let names =
            Names::new(vec!["texts.example.org".into()], vec!["https://app.example.org".into()], Vec::new());
        names.set_local(Some("Townhall-4f2a.local."));
        names
    }

    #[test]
    fn addresses_and_our_own_names_are_ours() {
        for host in [
            "127.0.0.1",
            "127.0.0.1:3001",
            "192.168.1.20:3001",
            "[::1]:3001",
            "[fd00::1]",
            "localhost:3001",
            "LOCALHOST",
            "townhall-4f2a.local:3001",
            "texts.example.org",
        ] {
            assert!(names().ours(host).is_some(), "{host}");
        }
    }

    #[test]
    fn our_name_follows_the_network() {
        let names = names();
        names.set_local(Some("townhall-4f2a-2.local."));
        assert!(names.ours("townhall-4f2a.local").is_none());
        assert!(names.ours("townhall-4f2a-2.local").is_some());
        names.set_local(None);
        assert!(names.ours("townhall-4f2a-2.local").is_none());
    }

    #[test]
    fn a_page_talks_only_to_the_place_it_came_from() {
        let names = names();
        let called = names.ours("192.168.1.20:3001").unwrap();
        assert!(names.may_talk("http://192.168.1.20:3001", &called));
        assert!(names.may_talk("https://app.example.org", &called));
        for origin in ["null", "http://192.168.1.20", "http://192.168.1.20:3002", "http://192.168.1.21:3001"]
        {
            assert!(!names.may_talk(origin, &called), "{origin}");
        }
    }
}
