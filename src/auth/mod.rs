//! Credentials become grants; join codes; tokens.
//!
//! Owns who a person is and what the person may do. Does not know HTTP or rooms: faces bring credentials, rooms ask
//! the [`Grant`].

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

/// What a person may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Reads.
    Viewer,
    /// Reads and writes.
    Editor,
    /// Reads, writes, invites, shares.
    Admin,
}

/// Proof of who a peer is and what it may do; made only here, asked by a room on every edit. Clones are one grant.
#[derive(Debug, Clone)]
pub struct Grant(Arc<GrantInner>);

#[derive(Debug)]
struct GrantInner {
    person: String,
    name: String,
    role: Role,
    ended: AtomicBool,
    end: CancellationToken,
}

impl Grant {
    /// Makes a grant; only `auth` and tests do.
    #[must_use]
    pub fn new(person: String, name: String, role: Role) -> Self {
        Self(Arc::new(GrantInner {
            person,
            name,
            role,
            ended: AtomicBool::new(false),
            end: CancellationToken::new(),
        }))
    }

    /// The person's id.
    #[must_use]
    pub fn person(&self) -> &str {
        &self.0.person
    }

    /// The person's name, for people to read.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// What the person may do, as long as the grant holds.
    #[must_use]
    pub fn role(&self) -> Role {
        self.0.role
    }

    /// Whether the grant still holds.
    #[must_use]
    pub fn holds(&self) -> bool {
        !self.0.ended.load(Ordering::Acquire)
    }

    /// Whether an edit is allowed right now.
    #[must_use]
    pub fn may_write(&self) -> bool {
        self.holds() && self.0.role >= Role::Editor
    }

    /// Ends the grant, for every clone, at once.
    pub fn end(&self) {
        self.0.ended.store(true, Ordering::Release);
        self.0.end.cancel();
    }

    /// Waits until the grant has ended.
    pub async fn ended(&self) {
        self.0.end.cancelled().await;
    }
}

/// Why a credential opened nothing. One answer for unknown, expired and revoked, so that nobody learns which.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a valid credential")]
pub struct Denied;

/// Turns credentials into grants; cheap to clone.
#[derive(Clone)]
pub struct Auth {}

impl Auth {
    /// The grant behind a token (a minted one, a session's, or the office's own `admin.token`).
    ///
    /// # Errors
    /// [`Denied`] when it opens nothing.
    pub fn grant(&self, _token: &str) -> Result<Grant, Denied> {
        Err(Denied)
    }
}
