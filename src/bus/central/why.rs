//! Why the central Redis cannot be used, in our own words: a server may repeat what it was sent, secrets included.
//!
//! Owns the sentences, and a short word for each, by which a page says the same in its reader's language.

use redis::{ErrorKind, RedisError};

/// Why something did not work, in words without secrets.
pub(in crate::bus) type Why = String;

/// The user may not do this there.
pub(super) const NOT_PERMITTED: &str = "it does not permit this user what is needed";
/// Nothing came within the time that it has.
pub(super) const SILENT: &str = "it does not answer in time";
/// The line ended.
pub(super) const CLOSED: &str = "the connection was closed";
/// The key is not of the kind that was asked for. Nobody but the bus is told so.
pub(super) const OTHER_KIND: &str = "another kind of value lies there";
const LOG_IN: &str = "it refuses the user's name or the password";
const LOADING: &str = "it is still loading its data";
const REPLICA: &str = "it is a replica that takes no writes";
const NO_MASTER: &str = "no sentinel knows this master";
const NOBODY: &str = "nobody listens there";
const NO_SUCH_HOST: &str = "there is no computer of this name";

/// How systems begin or end what they say of a name that nobody has.
const SYSTEMS_SAY_NO_SUCH_HOST: &[&str] = &["failed to lookup address", "os error 11001"];

/// The error in our own words.
pub(super) fn words(error: &RedisError) -> Why {
    // Of several commands in one go, the first that failed says why.
    let all = error.clone().into_server_errors();
    let first = all.as_ref().and_then(|all| all.first()).map(|(_, error)| error.code());
    match first.or(error.code()) {
        Some("WRONGPASS" | "NOAUTH") => return LOG_IN.into(),
        Some("NOPERM") => return NOT_PERMITTED.into(),
        Some("LOADING") => return LOADING.into(),
        Some("WRONGTYPE") => return OTHER_KIND.into(),
        Some("READONLY") => return REPLICA.into(),
        _ => {}
    }
    match error.kind() {
        ErrorKind::AuthenticationFailed => LOG_IN.into(),
        ErrorKind::MasterNameNotFoundBySentinel => NO_MASTER.into(),
        _ if error.is_timeout() => SILENT.into(),
        _ if error.is_connection_refusal() => NOBODY.into(),
        _ if error.is_connection_dropped() => CLOSED.into(),
        // The system's own words, or those of TLS: neither knows a password.
        ErrorKind::Io => {
            let said = error.to_string();
            let is_unknown = SYSTEMS_SAY_NO_SUCH_HOST.iter().any(|words| said.contains(words));
            if is_unknown { NO_SUCH_HOST.into() } else { said }
        }
        _ => format!("it cannot be used ({})", error.category()),
    }
}

/// The short word for a reason; `other` for what has no sentence of its own.
pub(in crate::bus) fn code(why: &str) -> &'static str {
    match why {
        LOG_IN => "log_in",
        NOT_PERMITTED => "not_permitted",
        SILENT => "silent",
        CLOSED => "closed",
        LOADING => "loading",
        REPLICA => "replica",
        NO_MASTER => "no_master",
        NOBODY => "nobody_listens",
        NO_SUCH_HOST => "no_such_host",
        _ => "other",
    }
}
