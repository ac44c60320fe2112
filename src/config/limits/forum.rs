//! The bounds of the forum: tokens, rooms, presence, rates.
//!
//! Owns numbers only.

use std::time::Duration;

use super::KIB;

// --- the forum -------------------------------------------------------------------------------------------

/// A token that another system signed, in bytes: those of the forum have some 500.
pub const JWT_MAX_BYTES: usize = 8 * KIB;
/// An id in it (person, device, community, role), in bytes: rooms are named after them.
pub const JWT_ID_MAX_BYTES: usize = 96;
/// A text in it that people look at, in bytes: pictures have long addresses.
pub const JWT_TEXT_MAX_BYTES: usize = 2 * KIB;
/// Roles in it.
pub const JWT_ROLES_MAX: usize = 64;
/// The file with a public key, in bytes.
pub const JWT_KEY_FILE_MAX_BYTES: u64 = 64 * KIB as u64;
/// A person's events of one type, in one window; stopping and leaving are always heard (the published design).
pub const FORUM_EVENTS_PER_WINDOW: u32 = 10;
/// News of a person's presence, in one window (Curia's `server.ts`).
pub const FORUM_PRESENCE_PER_WINDOW: u32 = 30;
/// The window of both.
pub const FORUM_WINDOW: Duration = Duration::from_secs(60);
/// Counters of both at once; the oldest windows go first.
pub const FORUM_COUNTERS_MAX: usize = 20_000;
/// Presence news of one person are told at most this often.
pub const FORUM_PRESENCE_DEBOUNCE: Duration = Duration::from_millis(500);
/// After somebody was shown typing or stopped, the next change waits this long and may cancel out.
pub const FORUM_TYPING_DEBOUNCE: Duration = Duration::from_millis(500);
/// Who goes on typing in one place is shown so again at most this often: pages drop whom they are not told of for 10 s.
pub const FORUM_TYPING_AGAIN: Duration = Duration::from_secs(5);
/// Who says nothing of typing this long has stopped; clients repeat themselves every 8 s.
pub const FORUM_TYPING_MAX: Duration = Duration::from_secs(15);
/// Votes on one post are told at most this often, of each voter only the newest.
pub const FORUM_VOTES_WINDOW: Duration = Duration::from_millis(250);
/// Votes that wait so, at once, and posts that they are on; beyond it they are told earlier.
pub const FORUM_VOTES_MAX: usize = 4_096;
/// Before a token ends its bearer is warned this long.
pub const FORUM_EXPIRY_WARNING: Duration = Duration::from_secs(60);
/// Boards, and posts, that one socket is in at once.
pub const FORUM_PLACES_MAX: usize = 32;
/// Devices whose places are remembered after their token ended.
pub const FORUM_KEPT_PLACES_MAX: usize = 2_048;
/// The id of a board, a post or a community, in bytes: those that tokens bring are among them.
pub const FORUM_ID_MAX_BYTES: usize = JWT_ID_MAX_BYTES;
/// Posts whose board is remembered; the oldest go first.
pub const FORUM_POSTS_MAX: usize = 20_000;
/// Roles that may enter a board, communities that show it: what one message can be addressed to.
pub const FORUM_AUDIENCE_MAX: usize = 64;
/// The event's name in a publication, in bytes.
pub const FORUM_EVENT_NAME_MAX_BYTES: usize = 128;
/// Commands that wait for the forum; when it is full the sockets that fill it are not read.
pub const FORUM_MAILBOX: usize = 1_024;
/// How often the forum looks at the clock while somebody is there.
pub const FORUM_TICK: Duration = Duration::from_millis(100);
/// `user_session:{person}` lives this long, and is written again at half of it (the published design, Redis keys).
pub const FORUM_SESSION_KEY: Duration = Duration::from_secs(300);
/// People at another office who are not heard of for this long are gone: as long as their session key lives.
pub const FORUM_ELSEWHERE_LIFE: Duration = FORUM_SESSION_KEY;
/// People who are known of while other offices tell of more.
pub const FORUM_ELSEWHERE_MAX: usize = 20_000;
/// Other offices that are listened to.
pub const FORUM_OFFICES_MAX: usize = 256;
/// Devices of one person that are shown, at each office; of more the newest.
pub const FORUM_DEVICES_MAX: usize = 16;
/// One of them as it is told of, in bytes.
pub const FORUM_ELSEWHERE_DEVICE_MAX_BYTES: usize = 8 * KIB;
/// People that one message to other offices tells of.
pub const FORUM_ELSEWHERE_BATCH: usize = 64;
/// `user_boards:{person}`.
pub const FORUM_BOARDS_KEY: Duration = Duration::from_secs(600);
/// `user_current_board:{person}`, and the same for `board_users:{board}`, which the design lets live for ever.
pub const FORUM_CURRENT_KEY: Duration = Duration::from_secs(1_800);
/// The forum waits this long for an answer of the central server…
pub const FORUM_ANSWER_MAX: Duration = Duration::from_millis(300);
/// …and does not ask again for this long when none came.
pub const FORUM_SLOW_PAUSE: Duration = Duration::from_secs(1);
