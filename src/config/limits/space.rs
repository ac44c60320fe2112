//! The bounds of spaces: what is kept, for whom, and how much of it waits.
//!
//! Owns numbers only.

use std::time::Duration;

use super::{CONNECTIONS_MAX, KIB, MIB};

/// A kept message, and the session of somebody who was cut off, can be taken up again for this long, unless the
/// operator says otherwise (`channels.window_s`).
pub const SPACE_WINDOW: Duration = Duration::from_secs(1_800);
/// The longest such time that an operator may choose.
pub const SPACE_WINDOW_MAX: Duration = Duration::from_secs(86_400);
/// A window has this many ticks: messages and sessions go at this grain…
pub const SPACE_TICKS: u32 = 60;
/// …but ticks are not closer than this…
pub const SPACE_TICK_MIN: Duration = Duration::from_millis(50);
/// …and messages that left the ring are gone from disk when they are this many.
pub const SPACE_LEFT_MAX: usize = 256;
/// Kept messages of one space, in bytes on disk; older ones give way before the window ends. Half an hour of 200
/// messages a second with 2 KB each.
pub const SPACE_RING_MAX_BYTES: usize = 1024 * MIB;
/// Kept messages of one space, in number: the same half an hour.
pub const SPACE_RING_MAX_MESSAGES: usize = 400_000;
/// Kept messages of one space in memory, in bytes: the newest. Of the others an index is there, some 200 bytes each.
pub const SPACE_RING_MAX_MEMORY: usize = 32 * MIB;
/// Missed messages repeated at once, in bytes; the rest waits until the client has taken them.
pub const SPACE_REPEAT_BYTES: usize = 256 * KIB;
/// The same in number.
pub const SPACE_REPEAT_MESSAGES: usize = 512;
/// Commands waiting for one space; a full mailbox makes those wait who fill it.
pub const SPACE_MAILBOX: usize = 1_024;
/// Commands that a space takes before it hands out what they brought.
pub const SPACE_BATCH_MAX: usize = 512;
/// Members of one space at once: every connection the door takes, twice.
pub const SPACE_MEMBERS_MAX: usize = 2 * CONNECTIONS_MAX;
/// Sessions of one space: everybody who is here, and who was here within the window.
pub const SPACE_SESSIONS_MAX: usize = 20_000;
/// When too many sessions wait, one in so many gives way at once.
pub const SPACE_SESSIONS_GIVE_WAY: usize = 64;
/// Longest text that is looked at as a session's secret id, in bytes.
pub const SPACE_SECRET_MAX_BYTES: usize = 128;
/// Longest text that is looked at as a message's offset, in bytes.
pub const SPACE_OFFSET_MAX_BYTES: usize = 32;
/// Rooms of one member: a person's groups or boards.
pub const SPACE_ROOMS_PER_MEMBER_MAX: usize = 2_048;
/// Rooms that a session has left and of which it is known what was said there before; beyond it, who comes back without
/// having heard that is told that it may have missed something.
pub const SPACE_LEFT_ROOMS_MAX: usize = 16;
/// Rooms of one message, and rooms or members that it leaves out.
pub const SPACE_TARGETS_MAX: usize = 256;
/// The name of a room, in bytes.
pub const SPACE_ROOM_NAME_MAX_BYTES: usize = 255;
/// One message, in bytes, attachments included.
pub const SPACE_MESSAGE_MAX_BYTES: usize = 8 * MIB;
/// A publisher's key for a message, in bytes.
pub const SPACE_ID_MAX_BYTES: usize = 255;
/// Publishers' keys remembered at once.
pub const SPACE_IDS_MAX: usize = 200_000;
/// Rooms whose messages left the ring and of which it is known how far; beyond it less is known, and some who
/// could be told that they missed nothing are told that they may have.
pub const SPACE_GONE_ROOMS_MAX: usize = 50_000;
/// Numbers of messages reserved on disk at once, so that a message may be heard before the disk has it; as many are
/// left out after a kill.
pub const SPACE_NUMBERS_AHEAD: u64 = 1_024;
/// Stretches of such numbers remembered; the oldest are taken as one.
pub const SPACE_LOST_MAX: usize = 64;
/// Messages of one space on their way to the disk, in bytes; beyond it publishers are refused.
pub const SPACE_UNSAVED_MAX_BYTES: usize = 32 * MIB;
/// One commit of a space, in bytes.
pub const SPACE_COMMIT_MAX_BYTES: usize = 4 * MIB;
/// Rows of a space read at once when it opens: they may be large.
pub const SPACE_READ_ROWS: usize = 64;
/// Messages of one space that pass, and wait for what was said before them to be written.
pub const SPACE_PASSING_MAX: usize = 4_096;
/// Who joins waits at most this long until the session is on disk; then it is told that it has none.
pub const SPACE_SESSION_WAIT: Duration = Duration::from_secs(1);
/// Messages waiting for one slow member, in bytes: four of the largest. What waits is shared with all others.
/// Over it the member is cut off and takes its session up again.
pub const SPACE_OUTBOX_MAX_BYTES: usize = 4 * MIB;
/// Places that an empty outbox keeps ready when a burst is over.
pub const SPACE_OUTBOX_SLOTS_KEPT: usize = 8;
/// What a member that is still here took from its outbox this long ago it has received: a dead connection is found out
/// sooner. In time that the program was running: what a computer slept does not count.
pub const SPACE_CONFIRMED: Duration = Duration::from_secs(120);
/// A session is brought up to date with that at most once in so many ticks: four times in a window.
pub const SPACE_CONFIRMED_EVERY: u64 = SPACE_TICKS as u64 / 4;
/// A space that ends waits this long for its last commits.
pub const SPACE_FAREWELL_MAX: Duration = Duration::from_millis(1_500);
