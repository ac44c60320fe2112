//! Roles, and the grant: the proof that rooms ask on every edit.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::id::DocName;

/// What a person may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// A program that publishes, and neither reads nor writes.
    Service,
    /// Reads.
    Viewer,
    /// Reads and writes.
    Editor,
    /// Reads, writes, invites, shares.
    Admin,
}

/// Proof of who a peer is and what it may do; made only here, asked by a room on every edit. Clones are one grant.
#[derive(Debug, Clone)]
pub struct Grant {
    name: Arc<str>,
    /// The one document it opens, if it opens no other.
    only: Option<DocName>,
    inner: Arc<GrantInner>,
}

#[derive(Debug)]
struct GrantInner {
    person: String,
    role: Role,
    ended: AtomicBool,
    end: CancellationToken,
}

impl Grant {
    /// Makes a grant; only `auth` and tests do.
    #[must_use]
    pub fn new(person: String, name: String, role: Role) -> Self {
        Self {
            name: name.into(),
            only: None,
            inner: Arc::new(GrantInner {
                person,
                role,
                ended: AtomicBool::new(false),
                end: CancellationToken::new(),
            }),
        }
    }

    /// The same grant under a new name: when one of them ends, both do.
    #[must_use]
    pub(super) fn renamed(&self, name: &str) -> Self {
        Self { name: name.into(), only: self.only.clone(), inner: self.inner.clone() }
    }

    /// The same grant for one document only: when one of them ends, both do.
    #[must_use]
    pub(super) fn bound(&self, doc: &DocName) -> Self {
        Self { only: Some(doc.clone()), ..self.clone() }
    }

    /// Whether it was given for one document only.
    #[must_use]
    pub fn is_bound(&self) -> bool {
        self.only.is_some()
    }

    /// Whether it says anything about this document.
    #[must_use]
    pub fn covers(&self, doc: &DocName) -> bool {
        self.only.as_ref().is_none_or(|only| only == doc)
    }

    /// Whether two grants are the same one, whatever their names.
    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }

    /// Whether anybody but the register holds it: a socket that is open, for example.
    pub(super) fn is_held(&self) -> bool {
        Arc::strong_count(&self.inner) > 1
    }

    /// The person's id.
    #[must_use]
    pub fn person(&self) -> &str {
        &self.inner.person
    }

    /// The person's name, for people to read.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the person may do, as long as the grant holds.
    #[must_use]
    pub fn role(&self) -> Role {
        self.inner.role
    }

    /// Whether the grant still holds.
    #[must_use]
    pub fn holds(&self) -> bool {
        !self.inner.ended.load(Ordering::Acquire)
    }

    /// Whether reading is allowed right now.
    #[must_use]
    pub fn may_read(&self) -> bool {
        self.holds() && self.inner.role >= Role::Viewer
    }

    /// Whether publishing on the office's channels is allowed right now.
    #[must_use]
    pub fn may_publish(&self) -> bool {
        self.holds() && matches!(self.inner.role, Role::Service | Role::Admin)
    }

    /// Whether an edit is allowed right now.
    #[must_use]
    pub fn may_write(&self) -> bool {
        self.holds() && self.inner.role >= Role::Editor
    }

    /// Ends the grant, for every clone, at once.
    pub fn end(&self) {
        self.inner.ended.store(true, Ordering::Release);
        self.inner.end.cancel();
    }

    /// Waits until the grant has ended.
    pub async fn ended(&self) {
        self.inner.end.cancelled().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ending_a_grant_ends_every_clone_and_every_name_of_it() {
        let grant = Grant::new("p".into(), "Ada".into(), Role::Editor);
        let (clone, renamed) = (grant.clone(), grant.renamed("Ada L."));
        assert!(clone.may_write() && renamed.may_write() && renamed.name() == "Ada L.");
        grant.end();
        assert!(!clone.may_write() && !renamed.holds());
    }
}
