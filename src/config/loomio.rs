//! What the operator says about Loomio.
//!
//! Owns the section's keys, what they mean, and its defaults, which are the safe ones.

use std::time::Duration;

use serde::Deserialize;

use super::limits;
use super::resolve::Complain;

/// The `loomio:` section as it is written.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Written {
    app_url: Option<String>,
    follow_redirects: Option<bool>,
    open_drafts: Option<bool>,
    visitors: Option<bool>,
    keep_rooms: Option<bool>,
    bots: Option<bool>,
    groups: Option<Vec<u64>>,
    token_life_s: Option<u64>,
}

/// The `loomio:` section, resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loomio {
    /// Where the application answers who may write in its documents; without it this office decides for its own people.
    pub app_url: Option<String>,
    /// Whether a redirect of the application counts as what it leads to, on the same host (compatibility).
    pub follow_redirects: bool,
    /// Whether a stranger may draft under anybody's name, where the application allows it (compatibility).
    pub open_drafts: bool,
    /// Whether strangers may draft new groups in an office that stands alone.
    pub visitors: bool,
    /// Whether a socket stays in the rooms it came into, whatever becomes of the membership (compatibility).
    pub keep_rooms: bool,
    /// Whether this office speaks for the bots: of several behind one Redis, one does.
    pub bots: bool,
    /// The groups of everybody in an office that stands alone.
    pub groups: Vec<u64>,
    /// How long a channel token is known without being asked for again.
    pub token_life: Duration,
}

impl Default for Loomio {
    fn default() -> Self {
        Self {
            app_url: None,
            follow_redirects: false,
            open_drafts: false,
            visitors: false,
            keep_rooms: false,
            bots: true,
            groups: vec![1],
            token_life: limits::CHANNEL_TOKEN_LIFE,
        }
    }
}

/// Resolves the section; `app_url` and `token_life_s` of flags and environment come first.
pub(super) fn resolve(
    written: &Written,
    app_url: Option<&String>,
    token_life_s: Option<u64>,
    complain: Complain<'_>,
) -> Result<Loomio, super::ConfigError> {
    let defaults = Loomio::default();
    let app_url = app_url.or(written.app_url.as_ref()).filter(|url| !url.is_empty());
    if app_url.is_some_and(|url| !is_base(url)) {
        return Err(complain(
            "loomio.app_url",
            "a URL such as https://loomio.example.org, without a password",
        ));
    }
    let groups = written.groups.clone().unwrap_or(defaults.groups);
    if groups.len() > limits::LOOMIO_GROUPS_MAX {
        return Err(complain("loomio.groups", "fewer groups"));
    }
    let token_life = match token_life_s.or(written.token_life_s) {
        None => defaults.token_life,
        Some(0) => return Err(complain("loomio.token_life_s", "a number of at least 1")),
        Some(life_s) => Duration::from_secs(life_s).min(limits::SESSION_LIFE),
    };
    Ok(Loomio {
        app_url: app_url.cloned(),
        follow_redirects: written.follow_redirects.unwrap_or(defaults.follow_redirects),
        open_drafts: written.open_drafts.unwrap_or(defaults.open_drafts),
        visitors: written.visitors.unwrap_or(defaults.visitors),
        keep_rooms: written.keep_rooms.unwrap_or(defaults.keep_rooms),
        bots: written.bots.unwrap_or(defaults.bots),
        groups,
        token_life,
    })
}

fn is_base(url: &str) -> bool {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    rest.is_some_and(|rest| {
        !rest.is_empty() && !rest.starts_with('/') && !rest.contains(['@', '?', '#', ' '])
    })
}

/// The hosts of the `outbound:` section, if each is a name or an address, with or without a port.
pub(super) fn outbound(allow: &[String], complain: Complain<'_>) -> Result<Vec<String>, super::ConfigError> {
    let plain = |host: &String| !host.is_empty() && !host.contains(['/', '@', '*', ' ']);
    if allow.iter().all(plain) {
        return Ok(allow.iter().map(|host| host.to_ascii_lowercase()).collect());
    }
    Err(complain(
        "outbound.allow",
        "hosts such as matrix.example.org or 10.0.0.7:8008, without scheme and path",
    ))
}
