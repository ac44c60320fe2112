//! The bounds of the channels' transport: Engine.IO sessions, Socket.IO packets.
//!
//! Owns numbers only.

use std::time::Duration;

use super::{CONNECTIONS_PER_ADDRESS_MAX, MIB};

/// One Engine.IO message, and the body of one polling request, in bytes: the reference server's `maxPayload`.
pub const ENGINE_PAYLOAD_MAX_BYTES: usize = 1_000_000;
/// An Engine.IO client is asked for a sign of life this often, as the reference server does…
pub const ENGINE_PING_INTERVAL: Duration = Duration::from_secs(25);
/// …and has this long to give it.
pub const ENGINE_PING_TIMEOUT: Duration = Duration::from_secs(20);
/// So much later than it should a timer rings on a computer that has nothing else to do: it and the system count whole
/// milliseconds.
pub const TIMER_LATE: Duration = Duration::from_millis(2);
/// A WebSocket shows within this time that a polling session may move to it.
pub const ENGINE_UPGRADE_DEADLINE: Duration = Duration::from_secs(10);
/// While a WebSocket shows that it works, a waiting request is let go after this long.
pub const ENGINE_PROBE_PAUSE: Duration = Duration::from_millis(100);
/// Two requests that overtake each other arrive this far apart at most.
pub const ENGINE_OVERTAKING_MAX: Duration = Duration::from_millis(100);
/// Whether a client has taken something of too much is looked at this often.
pub const ENGINE_ROOM_PAUSE: Duration = Duration::from_millis(5);
/// What is said when the office stops has this long to go out.
pub const ENGINE_STOP_LINGER: Duration = Duration::from_millis(50);
/// A session that ends waits this long for its client to take what was said last.
pub const ENGINE_FINISH_MAX: Duration = Duration::from_secs(5);
/// Engine.IO sessions at once; beyond it one that has not entered any namespace gives way, or nobody in particular.
pub const SIO_SESSIONS_MAX: usize = 4_096;
/// Engine.IO sessions of one address: as many as it may have connections.
pub const SIO_SESSIONS_PER_ADDRESS_MAX: usize = CONNECTIONS_PER_ADDRESS_MAX;
/// Packets that one Engine.IO client may say at once; those beyond are heard more slowly…
pub const SIO_PACKETS_BURST: u32 = 5_000;
/// …so many in a second, ten times what the busiest page says…
pub const SIO_PACKETS_PER_SECOND: u32 = 500;
/// …and who does not stop for this long is closed.
pub const SIO_STRAIN_MAX: Duration = Duration::from_secs(10);
/// A bucket of packets that was empty counts as empty until this much is in it again: nobody speaks exactly at its
/// pace.
pub const SIO_PACKETS_REST: Duration = Duration::from_secs(1);
/// Frames waiting for one Engine.IO client, in bytes: a few of the largest messages; over it the session is closed.
pub const SIO_OUTBOX_MAX_BYTES: usize = 4 * MIB;
/// Namespaces that one client may be in.
pub const SOCKETIO_NAMESPACES_MAX: usize = 8;
/// Deepest nesting of JSON in a Socket.IO packet.
pub const SOCKETIO_NESTING_MAX: usize = 64;
/// A namespace's name, in bytes.
pub const SOCKETIO_NAMESPACE_MAX_BYTES: usize = 128;
/// An event's name, in bytes of JSON.
pub const SOCKETIO_NAME_MAX_BYTES: usize = 256;
/// Binary attachments of one packet: what the reference server takes since it has a bound (CVE-2026-33151).
pub const SOCKETIO_ATTACHMENTS_MAX: usize = 10;
/// Binary attachments of one packet together, in bytes: a few of the largest messages.
pub const SOCKETIO_ATTACHMENTS_MAX_BYTES: usize = 4 * MIB;
