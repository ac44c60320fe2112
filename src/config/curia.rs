//! What the operator says about the Curia forum.
//!
//! Owns the section's keys, what they mean, and its defaults.

use std::path::PathBuf;

use serde::Deserialize;

use super::resolve::{Complain, ConfigError};
use super::{Flags, Hidden, limits};

/// The `curia:` section as it is written.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Written {
    jwt_secret: Option<Hidden>,
    jwt_public_key_file: Option<PathBuf>,
    events_per_minute: Option<u32>,
    presence_per_minute: Option<u32>,
}

/// The `curia:` section, resolved. Without a key the forum is off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Curia {
    /// The key of tokens signed with HS256.
    pub jwt_secret: Option<Hidden>,
    /// A PEM file with the key of tokens signed with RS256 or EdDSA.
    pub jwt_public_key_file: Option<PathBuf>,
    /// Events of one type that one person may send in a minute.
    pub events_per_minute: u32,
    /// News of one person's presence that are told in a minute.
    pub presence_per_minute: u32,
}

impl Default for Curia {
    fn default() -> Self {
        Self {
            jwt_secret: None,
            jwt_public_key_file: None,
            events_per_minute: limits::FORUM_EVENTS_PER_WINDOW,
            presence_per_minute: limits::FORUM_PRESENCE_PER_WINDOW,
        }
    }
}

/// Resolves the section; the keys of the environment come first.
pub(super) fn resolve(
    written: &Written,
    flags: &Flags,
    complain: Complain<'_>,
) -> Result<Curia, ConfigError> {
    let defaults = Curia::default();
    let at_least_one = |key: &str, value: Option<u32>, default: u32| match value {
        Some(0) => Err(complain(key, "a number of at least 1")),
        value => Ok(value.unwrap_or(default)),
    };
    let secret = flags.curia_jwt_secret.clone().or_else(|| written.jwt_secret.clone());
    let file = flags.curia_jwt_public_key_file.clone().or_else(|| written.jwt_public_key_file.clone());
    Ok(Curia {
        jwt_secret: secret.filter(|secret| !secret.reveal().is_empty()),
        jwt_public_key_file: file.filter(|file| !file.as_os_str().is_empty()),
        events_per_minute: at_least_one(
            "curia.events_per_minute",
            written.events_per_minute,
            defaults.events_per_minute,
        )?,
        presence_per_minute: at_least_one(
            "curia.presence_per_minute",
            written.presence_per_minute,
            defaults.presence_per_minute,
        )?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_secret_does_not_show_itself() {
        let curia = Curia { jwt_secret: Some("hush".parse().unwrap()), ..Curia::default() };
        assert!(!format!("{curia:?}").contains("hush"));
    }
}
