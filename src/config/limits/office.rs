//! The bounds of the office itself: its configuration, its followers, its window, its place on the network.
//!
//! Owns numbers only.

use std::time::Duration;

use super::MIB;

// --- the configuration -----------------------------------------------------------------------------------

/// A configuration file is small, in bytes; a larger one is something else.
pub const CONFIG_FILE_MAX_BYTES: u64 = MIB as u64;
/// What an interval of 0 in the published file means (by count only), and the longest time that a room may be given: as
/// long as no timer minds.
pub const CONFIG_NEVER: Duration = Duration::from_secs(365 * 24 * 3600);

// --- followers -------------------------------------------------------------------------------------------

/// A follower that failed starts again after this long, from its cursor.
pub const FOLLOWER_RETRY: Duration = Duration::from_secs(1);

// --- the window ------------------------------------------------------------------------------------------

/// A window that was away this long, in milliseconds, logs in afresh when it is wanted: its login may have ended
/// meanwhile.
pub const WINDOW_AWAY_MAX_MS: u64 = 6 * 3600 * 1000;

// --- the network -----------------------------------------------------------------------------------------

/// Sharing is on or off within this time; after it the page is told what is so far.
pub const LAN_SHARE_WAIT: Duration = Duration::from_secs(3);
/// Sharing that was interrupted goes on at a start within this time: an accident, and not yesterday's meeting.
pub const SHARING_RESUMED_WITHIN: Duration = Duration::from_secs(2 * 3600);
/// A computer that starts has its network within this time, or sharing does not go on.
pub const SHARING_NETWORK_WAIT: Duration = Duration::from_secs(180);
/// That it is on is noted again this often.
pub const SHARING_NOTED_EVERY: Duration = Duration::from_secs(600);
/// Whoever ends it waits at most this long until the disk has that; it is tried again.
pub const SHARING_END_WAIT: Duration = Duration::from_secs(1);
/// Longest host label that we choose, in bytes; RFC 1035 allows 63, and a conflict appends `-2`, `-3`…
pub const LAN_HOST_LABEL_MAX_BYTES: usize = 40;
/// Addresses shown to the clerk: more than anybody reads, and a machine may have hundreds.
pub const LAN_ADDRESSES_MAX: usize = 16;
/// The goodbye on the network is said within this time.
pub const LAN_GOODBYE: Duration = Duration::from_secs(1);
/// The adapters are looked at this often: a cable put back in is announced within it.
pub const LAN_INTERFACE_CHECK: Duration = Duration::from_secs(2);
