//! Why a Yjs socket ends, and how that is said.

use crate::faces::line::Fault;

/// Why a socket ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Closing {
    /// The other side closed it, or the line broke.
    Left,
    /// This side closes it, with a code of RFC 6455 or of Hocuspocus' `CloseEvents`.
    Code(u16, &'static str),
}

impl Closing {
    /// The document or the server starts again: come back.
    pub(super) const RESTART: Self = Self::Code(1012, "restarting");
    /// No place left: come back later.
    pub(super) const FULL: Self = Self::Code(1013, "try again later");
    /// As [`Closing::FULL`], because of this person alone.
    pub(super) const CROWDED: Self = Self::Code(1013, "too many connections of one person");
    /// Hocuspocus' "Reset Connection": every provider reconnects and syncs afresh.
    pub(super) const RESET: Self = Self::Code(4205, "reset connection");
    /// Hocuspocus' "Unauthorized".
    pub(super) const UNAUTHORIZED: Self = Self::Code(4401, "unauthorized");
    /// Hocuspocus' "Forbidden".
    pub(super) const FORBIDDEN: Self = Self::Code(4403, "forbidden");
    /// Hocuspocus' "Connection Timeout".
    pub(super) const TIMEOUT: Self = Self::Code(4408, "connection timeout");
    /// RFC 6455: a message is too big.
    const TOO_BIG: Self = Self::Code(1009, "message too big");

    /// What is said to the other side.
    pub(super) fn words(self) -> Option<(u16, &'static str)> {
        match self {
            Self::Left => None,
            Self::Code(code, reason) => Some((code, reason)),
        }
    }
}

impl From<Fault> for Closing {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Closed | Fault::Garbled | Fault::Malformed => Self::Left,
            Fault::TooLarge => Self::TOO_BIG,
            Fault::Exhausted => Self::RESET,
            Fault::Stuck => Self::TIMEOUT,
        }
    }
}
