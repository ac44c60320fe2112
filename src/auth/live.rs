//! The grants that are in use: one for each token, shared by all its connections.
//!
//! Owns when a grant ends by itself. What was revoked is remembered here as long as the process lives, so that a
//! revoked token stays shut even when the disk did not take the news.

use std::collections::{HashMap, HashSet, VecDeque};

use super::secret::Mark;
use super::{Denied, Grant};
use crate::config::limits::{SESSION_IDLE, SESSION_TOUCH, TOKENS_MAX};

/// What stands behind a grant.
#[derive(Debug, Clone)]
pub(super) enum Kind {
    /// A minted token, with its end if it has one.
    Token {
        /// In milliseconds since 1970.
        expires_at_ms: Option<u64>,
    },
    /// A session.
    Session {
        /// When it ends even when used.
        ends_at_ms: u64,
        /// When it was last written down as used.
        touched_ms: u64,
        /// The invitation it came by.
        invitation: Option<String>,
    },
}

/// A grant in use.
#[derive(Debug, Clone)]
pub(super) struct Live {
    pub(super) grant: Grant,
    pub(super) kind: Kind,
    pub(super) seen_ms: u64,
}

impl Live {
    /// It is in use; whether that should be written down.
    fn used(&mut self, now_ms: u64) -> bool {
        self.seen_ms = now_ms;
        match &mut self.kind {
            Kind::Session { touched_ms, .. } if *touched_ms + SESSION_TOUCH.as_millis() as u64 <= now_ms => {
                *touched_ms = now_ms;
                true
            }
            Kind::Session { .. } | Kind::Token { .. } => false,
        }
    }

    fn over(&self, now_ms: u64) -> bool {
        match &self.kind {
            Kind::Token { expires_at_ms } => expires_at_ms.is_some_and(|at| at <= now_ms),
            Kind::Session { ends_at_ms, .. } => {
                *ends_at_ms <= now_ms || self.seen_ms + SESSION_IDLE.as_millis() as u64 <= now_ms
            }
        }
    }
}

/// All grants in use, by the mark of their token.
#[derive(Default)]
pub(super) struct LiveGrants {
    by_mark: HashMap<Mark, Live>,
    revoked: HashSet<Mark>,
    /// The same, the oldest first: beyond the bound they are forgotten, since the disk has had its time.
    revoked_in_order: VecDeque<Mark>,
}

impl LiveGrants {
    /// The grant of a mark, and whether its use should be written down; `None` when it has to be looked up.
    pub(super) fn get(&mut self, mark: &Mark, now_ms: u64) -> Option<Result<(Grant, bool), Denied>> {
        if self.revoked.contains(mark) {
            return Some(Err(Denied));
        }
        let live = self.by_mark.get_mut(mark)?;
        if live.over(now_ms) || !live.grant.holds() {
            return Some(Err(Denied));
        }
        let touch = live.used(now_ms);
        Some(Ok((live.grant.clone(), touch)))
    }

    /// Puts what was looked up; when somebody else did meanwhile, theirs counts: one token, one grant.
    pub(super) fn insert(&mut self, mark: Mark, live: Live, now_ms: u64) -> Result<Grant, Denied> {
        if let Some(known) = self.get(&mark, now_ms) {
            return known.map(|(grant, _)| grant);
        }
        if live.over(now_ms) {
            return Err(Denied);
        }
        if self.by_mark.len() >= TOKENS_MAX {
            self.make_room();
        }
        let grant = live.grant.clone();
        self.by_mark.insert(mark, live);
        Ok(grant)
    }

    /// Whether a mark was revoked in this process' life.
    pub(super) fn is_revoked(&self, mark: &Mark) -> bool {
        self.revoked.contains(mark)
    }

    /// Whether a mark is a session in use.
    pub(super) fn is_session(&self, mark: &Mark) -> bool {
        self.by_mark.get(mark).is_some_and(|live| matches!(live.kind, Kind::Session { .. }))
    }

    /// Revokes a mark: its grant has ended when this returns.
    pub(super) fn revoke(&mut self, mark: Mark) {
        if self.revoked.insert(mark) {
            self.revoked_in_order.push_back(mark);
        }
        if self.revoked.len() > TOKENS_MAX
            && let Some(oldest) = self.revoked_in_order.pop_front()
        {
            self.revoked.remove(&oldest);
        }
        if let Some(live) = self.by_mark.remove(&mark) {
            live.grant.end();
        }
    }

    /// An open socket is use, however quiet it is. The marks of those whose use should be written down.
    pub(super) fn note_sockets(&mut self, now_ms: u64) -> Vec<Mark> {
        let held = self.by_mark.iter_mut().filter(|(_, live)| live.grant.is_held());
        held.filter_map(|(mark, live)| live.used(now_ms).then_some(*mark)).collect()
    }

    /// Takes out the grants whose time is over.
    pub(super) fn take_expired(&mut self, now_ms: u64) -> Vec<Grant> {
        self.by_mark.extract_if(|_, live| live.over(now_ms)).map(|(_, live)| live.grant).collect()
    }

    /// Everything in use.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Mark, &Live)> {
        self.by_mark.iter()
    }

    /// Gives every session of a person a new name.
    pub(super) fn rename(&mut self, person: &str, name: &str) {
        for live in self.by_mark.values_mut().filter(|live| live.grant.person() == person) {
            live.grant = live.grant.renamed(name);
        }
    }

    /// Forgets the grant that was used least recently. It ends: a grant that nobody could end any more must not live.
    fn make_room(&mut self) {
        let oldest = self.by_mark.iter().min_by_key(|(_, live)| live.seen_ms).map(|(mark, _)| *mark);
        if let Some(live) = oldest.and_then(|mark| self.by_mark.remove(&mark)) {
            live.grant.end();
        }
    }
}
