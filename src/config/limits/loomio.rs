//! The bounds of asking other servers, and of Loomio's documents and bots.
//!
//! Owns numbers only.

use std::time::Duration;

use super::{DOCUMENTS_PER_SOCKET_MAX, KIB, MIB, SPACE_ROOMS_PER_MEMBER_MAX};

// --- asking others ---------------------------------------------------------------------------------------

/// A request to another server is done within this time, redirects and waiting included.
pub const OUTBOUND_DEADLINE: Duration = Duration::from_secs(10);
/// The answer to such a request, in bytes.
pub const OUTBOUND_ANSWER_MAX_BYTES: usize = MIB;
/// The head of such an answer, in bytes; also the reading buffer.
pub const OUTBOUND_HEAD_MAX_BYTES: usize = 64 * KIB;
/// Requests to other servers at once…
pub const OUTBOUND_AT_ONCE_MAX: usize = 8;
/// …and with those that wait for their turn: a whole office that opens its editors after a pause.
pub const OUTBOUND_WAITING_MAX: usize = 256;
/// Redirects gone after, where that is allowed at all.
pub const OUTBOUND_REDIRECTS_MAX: usize = 3;

// --- Loomio's documents ----------------------------------------------------------------------------------

/// The application says within this time who may open a document: sooner than a socket has to be logged in.
pub const APP_DEADLINE: Duration = Duration::from_secs(5);
/// What it said counts this long on the same socket; a new one asks again.
pub const APP_ANSWER_LIFE: Duration = Duration::from_secs(60);
/// Its answers kept for one socket.
pub const APP_ANSWERS_MAX: usize = DOCUMENTS_PER_SOCKET_MAX;
/// While a document stays open, the application is asked again this often whether that is still right…
pub const APP_ASKED_AGAIN: Duration = Duration::from_secs(300);
/// …and which questions are due is looked at this often.
pub const APP_TICK: Duration = Duration::from_secs(5);
/// Grants of the application that are in use at once: one for each person and document.
pub const APP_GRANTS_MAX: usize = 16 * KIB;
/// Groups of everybody in an office that stands alone.
pub const LOOMIO_GROUPS_MAX: usize = 64;
/// A channel token is known this long after a page asked for it, unless the configuration says otherwise.
pub const CHANNEL_TOKEN_LIFE: Duration = Duration::from_secs(1_800);

// --- Loomio's bots ---------------------------------------------------------------------------------------

/// Bots kept with the room they are in, one for each configuration.
pub const BOTS_MAX: usize = 64;
/// Messages on their way to homeservers at once; more are dropped, counted.
pub const BOT_MESSAGES_WAITING_MAX: usize = 256;
/// Of them to one homeserver: a silent one leaves room for the others' messages.
pub const BOT_MESSAGES_PER_SERVER_WAITING_MAX: usize = 128;
/// Publications to bots whose ids are remembered: a back end that got no answer tries again within seconds.
pub const BOT_IDS_MAX: usize = 1_024;
/// Messages on their way to one homeserver at once: one that hangs leaves the others their turn.
pub const BOT_MESSAGES_PER_SERVER_MAX: usize = 2;
/// One call to a homeserver is answered within this time…
pub const MATRIX_DEADLINE: Duration = Duration::from_secs(5);
/// …or tried again, this often altogether…
pub const MATRIX_TRIES: u32 = 4;
/// …after this long, then after twice as long each time…
pub const MATRIX_PAUSE: Duration = Duration::from_millis(500);
/// …or after as long as the homeserver asks for, but at most this.
pub const MATRIX_PAUSE_MAX: Duration = Duration::from_secs(30);
/// A message that did not get there by then is given up.
pub const BOT_MESSAGE_LIFE: Duration = Duration::from_secs(90);
/// Lists, links and quotations inside each other in a bot's message, beyond which nobody counts any more.
pub const BOT_HTML_NESTING_MAX: usize = 16;

// --- Loomio's channels -----------------------------------------------------------------------------------

/// Groups of one person, each a room; the most that a member may be in, with room for the others.
pub const LOOMIO_MEMBER_GROUPS_MAX: usize = SPACE_ROOMS_PER_MEMBER_MAX - 2;
/// Whoever lost access to the office has left the rooms within this time.
pub const CHANNEL_GRANT_TICK: Duration = Duration::from_secs(1);
/// What stands behind each token is looked at again this often…
pub const CHANNEL_WATCH_INTERVAL: Duration = Duration::from_secs(5);
/// …for so many tokens at once.
pub const CHANNEL_LOOKS_AT_ONCE_MAX: usize = 16;
