//! The configuration file as it is written: every key optional, unknown keys refused.
//!
//! Owns the key names. The `realtime:` section is the published CivicPress one, key for key
//! (CivicPress' own realtime.yml); the others are ours.

use serde::Deserialize;

/// The whole file.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Written {
    pub(super) realtime: Realtime,
    pub(super) documents: Documents,
    pub(super) auth: Auth,
    pub(super) loomio: super::loomio::Written,
    pub(super) curia: super::curia::Written,
    pub(super) outbound: Outbound,
    pub(super) channels: Channels,
    pub(super) redis: Redis,
}

/// The central server.
#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Redis {
    /// With its password: not for eyes.
    pub(super) url: Option<String>,
}

impl std::fmt::Debug for Redis {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Redis").finish_non_exhaustive()
    }
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Realtime {
    pub(super) enabled: Option<bool>,
    pub(super) port: Option<u16>,
    pub(super) host: Option<String>,
    pub(super) path: Option<String>,
    pub(super) rooms: Rooms,
    pub(super) snapshots: Snapshots,
    pub(super) rate_limiting: RateLimiting,
    pub(super) connection_cleanup: ConnectionCleanup,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Rooms {
    pub(super) max_rooms: Option<u32>,
    pub(super) grace_period_ms: Option<u64>,
    pub(super) cleanup_timeout: Option<u64>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Snapshots {
    pub(super) enabled: Option<bool>,
    pub(super) interval: Option<u64>,
    pub(super) max_updates: Option<u32>,
    pub(super) storage: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RateLimiting {
    pub(super) messages_per_second: Option<u32>,
    pub(super) connections_per_ip: Option<u32>,
    pub(super) connections_per_user: Option<u32>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ConnectionCleanup {
    pub(super) enabled: Option<bool>,
    pub(super) check_interval: Option<u64>,
    pub(super) stale_threshold: Option<u64>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Documents {
    pub(super) free: Option<bool>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Auth {
    pub(super) query_tokens: Option<bool>,
    pub(super) hosts: Vec<String>,
    pub(super) origins: Vec<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Outbound {
    pub(super) allow: Vec<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Channels {
    pub(super) origins: Vec<String>,
    pub(super) window_s: Option<u64>,
}
