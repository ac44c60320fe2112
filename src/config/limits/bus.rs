//! The bounds of the bus: keys, listeners, and the way to a central server.
//!
//! Owns numbers only.

use std::time::Duration;

use super::{KIB, MIB, SPACE_MESSAGE_MAX_BYTES};

/// Keys on the embedded bus at once: a session and a few cached answers for each person of a large office.
pub const BUS_KEYS_MAX: usize = 100_000;
/// A key on the bus, in bytes.
pub const BUS_KEY_MAX_BYTES: usize = 512;
/// A value on the bus, in bytes.
pub const BUS_VALUE_MAX_BYTES: usize = 64 * KIB;
/// Memory that the bus may use as page cache, in bytes; the engine's own default is 1 GiB.
pub const BUS_CACHE_BYTES: u64 = 4 * MIB as u64;
/// Expired keys are taken away, and written keys are brought to disk, this often.
pub const BUS_SWEEP_INTERVAL: Duration = Duration::from_secs(1);
/// Expired keys taken away in one sweep; the rest waits for the next one, and reads as gone meanwhile.
pub const BUS_SWEEP_MAX: usize = 10_000;
/// After a fault the bus is opened again, at most this often.
pub const BUS_MEND_INTERVAL: Duration = Duration::from_secs(1);
/// A failed bus is opened again once the disk takes this many bytes…
pub const BUS_PROBE_BYTES: usize = MIB;
/// …and its old files are closed, or do not answer for this long.
pub const BUS_CLOSE_WAIT: Duration = Duration::from_secs(1);
/// Keys that somebody waits for are written down within this time, or the bus counts as failed.
pub const BUS_FLUSH_WAIT: Duration = Duration::from_secs(5);
/// The name of a channel, in bytes.
pub const BUS_CHANNEL_MAX_BYTES: usize = 512;
/// One message on a channel, in bytes: somewhat more than a client's socket takes at once.
pub const BUS_MESSAGE_MAX_BYTES: usize = MIB;
/// Room for the channel, the id and the names around a message that is published over HTTP, in bytes.
pub const BUS_MESSAGE_AROUND_MAX_BYTES: usize = 4 * KIB;
/// One that other servers published, in bytes: they know nothing of our bound, and what a space takes is let in.
pub const BUS_ARRIVING_MAX_BYTES: usize = SPACE_MESSAGE_MAX_BYTES;
/// What waits for one listener on the bus, in bytes; over it the oldest is dropped, and the listener is told.
pub const BUS_SUBSCRIPTION_MAX_BYTES: usize = 16 * MIB;
/// Messages of others that one consumer has under way at once: what comes while the disk writes…
pub const BUS_UNDER_WAY_MAX: usize = 256;
/// …and their bytes; one larger message goes alone.
pub const BUS_UNDER_WAY_MAX_BYTES: usize = 4 * MIB;
/// Patterns listened to at once: a dialect needs a handful.
pub const BUS_SUBSCRIPTIONS_MAX: usize = 256;
/// The id that a publisher gives a message, in bytes.
pub const BUS_PUBLICATION_ID_MAX_BYTES: usize = 128;
/// What the office published and the central server does not have yet, in messages: a weekend of a busy office. Beyond
/// it what is published stays in the office…
pub const OUTGOING_MAX_MESSAGES: usize = 100_000;
/// …and in bytes.
pub const OUTGOING_MAX_BYTES: usize = 128 * MIB;
/// Waiting messages sent at once…
pub const OUTGOING_BATCH: usize = 64;
/// …and their bytes: little enough that a slow line is not silent for long. One larger message goes alone.
pub const OUTGOING_BATCH_BYTES: usize = 64 * KIB;
/// Rows of what waits to be sent that are read at once when the office opens.
pub const OUTGOING_READ_ROWS: usize = 256;
/// Sentinels in a central server's URL, or nodes to ask for the others.
pub const CENTRAL_HOSTS_MAX: usize = 16;
/// Such a URL is short, in bytes; a longer one is something else.
pub const CENTRAL_URL_MAX_BYTES: usize = 2 * KIB;
/// Connecting to the central server takes at most this long, logging in included.
pub const CENTRAL_CONNECT_MAX: Duration = Duration::from_secs(1);
/// The same where sentinels or the nodes of a cluster are asked first: there are more ways to go.
pub const CENTRAL_FIND_MAX: Duration = Duration::from_millis(1_500);
/// One of several hosts that does not let anybody in within this time is left out.
pub const CENTRAL_PROBE_MAX: Duration = Duration::from_millis(300);
/// An answer of the central server takes at most this long; nobody waits longer for it…
pub const CENTRAL_ANSWER_MAX: Duration = Duration::from_secs(1);
/// …but for what is published, and the sign of life behind it: they may take as long as their bytes on a line that
/// carries so many each second. Offices are connected by radio and by old telephone lines.
pub const CENTRAL_SLOWEST_BYTES_PER_S: usize = 32 * KIB;
/// A server that gives no sign of life, but goes on telling what others publish, is waited for this long.
pub const CENTRAL_BUSY_MAX: Duration = Duration::from_secs(15);
/// After the central server was lost it is tried again after this long, then after twice as long each time…
pub const CENTRAL_AGAIN_MIN: Duration = Duration::from_millis(100);
/// …but at least this often, so that it is found within two seconds of its return.
pub const CENTRAL_AGAIN_MAX: Duration = Duration::from_millis(500);
/// The central server is asked for a sign of life this often.
pub const CENTRAL_PING_INTERVAL: Duration = Duration::from_secs(1);
/// Our own publications are expected back from the central server within this time.
pub const BUS_ECHO_LIFE: Duration = Duration::from_secs(10);
/// Publications expected back at once before old ones are looked for: a thousand a second.
pub const BUS_ECHOES_MAX: usize = 10_000;
/// What the central server said of a key is kept this long, for when it is away: as long as a page's channel token.
pub const BUS_COPY_LIFE: Duration = Duration::from_secs(1_800);
/// A copy whose life differs by less, in milliseconds, is the same.
pub const BUS_COPY_SLACK_MS: u64 = 5_000;
/// Files that are still locked, by an engine that was just closed, are asked for again after this long.
pub const BUS_LOCKED_PAUSE: Duration = Duration::from_millis(20);
/// Keys put again at once when the central server is back.
pub const BUS_PUTS_AT_ONCE_MAX: usize = 128;
/// Rooms that one event of another server may be for, or not for.
pub const EMITTER_ROOMS_MAX: usize = 1_024;
/// The arguments of one such event as JSON text, in bytes: it may be longer than its short form.
pub const EMITTER_JSON_MAX_BYTES: usize = 2 * MIB;
/// What the office could not take from the central server is tried again after this long…
pub const BUS_AGAIN: Duration = Duration::from_millis(500);
/// …until it is as old as what is kept for who was away.
pub const BUS_AGAIN_MAX: Duration = Duration::from_secs(1_800);
