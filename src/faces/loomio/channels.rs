//! Loomio's channels: who hears which room.
//!
//! Owns the token of the handshake and what becomes of a member when what stands behind the token changes. Does not
//! know how sockets are spoken, nor what is said in a room. Tokens are never logged.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use futures_util::future::join_all;
use sha2::{Digest, Sha256};

use super::LoomioFace;
use super::standing::{NOTICE, Standing};
use crate::auth::Grant;
use crate::config::limits::{CHANNEL_GRANT_TICK, CHANNEL_LOOKS_AT_ONCE_MAX, CHANNEL_WATCH_INTERVAL};
use crate::faces::sio::{Accepted, Dialect, Hello, Later, Peer, Reason, Refused, Said};
use crate::lock::held;
use crate::rooms::space::{MemberId, OldRooms, Room, Space};

/// The only namespace.
const NAMESPACE: &str = "/";

/// Everybody on Loomio's channels.
pub(super) struct Channels {
    face: LoomioFace,
    space: Space,
    here: Mutex<HashMap<Arc<str>, Watched>>,
    /// Whoever holds it has members moved.
    moving: tokio::sync::Mutex<()>,
}

/// A token that somebody is here with.
struct Watched {
    /// Everybody who is here with it, and the rooms that each is in besides the one of everybody, in order: those that
    /// the token opened when it came, and those of an old session.
    members: Vec<(MemberId, Vec<Room>)>,
    /// Whether it opened rooms when last looked at; otherwise nobody knew it, whatever rooms an old session has.
    opens: bool,
    /// When what stands behind it has had its time, as far as that is known.
    until_ms: Option<u64>,
    local: bool,
    /// As long as somebody is here, the session is in use.
    grant: Option<Grant>,
    /// It was missing when last looked at.
    missed: bool,
    /// When it was there the last time.
    seen_ms: u64,
}

/// A member that has to go into rooms and out of others.
struct Move {
    member: MemberId,
    entered: Vec<Room>,
    left: Vec<Room>,
}

impl Watched {
    fn joined(&mut self, member: MemberId, mut rooms: Vec<Room>) {
        rooms.retain(|room| room.as_str() != NOTICE);
        rooms.sort_unstable();
        self.members.push((member, rooms));
    }

    /// Everybody is to be in these rooms, and in no others.
    fn bring_in_line(&mut self, mut rooms: Vec<Room>) -> Vec<Move> {
        rooms.sort_unstable();
        let without = |all: &[Room], these: &[Room]| {
            all.iter().filter(|room| these.binary_search(room).is_err()).cloned().collect()
        };
        let mut moves = Vec::new();
        for (member, is_in) in self.members.iter_mut().filter(|(_, is_in)| *is_in != rooms) {
            let (entered, left) = (without(&rooms, is_in), without(is_in, &rooms));
            is_in.clone_from(&rooms);
            moves.push(Move { member: *member, entered, left });
        }
        moves
    }
}

/// What is found again of a connection.
struct Badge {
    token: Arc<str>,
    local: bool,
    opens: bool,
    until_ms: Option<u64>,
    grant: Option<Grant>,
}

impl Dialect for Channels {
    fn connect<'a>(&'a self, hello: Hello<'a>) -> Later<'a, Option<Result<Accepted, Refused>>> {
        Box::pin(async move {
            let token = hello.request.query("channel_token");
            let others = hello.auth_text("token").is_some() || hello.request.bearer.is_some();
            if hello.namespace != NAMESPACE || (token.is_none() && others) {
                return None;
            }
            Some(Ok(self.accept(&token.unwrap_or_default(), hello.request.local).await))
        })
    }

    fn joined<'a>(&'a self, peer: &'a Peer, _recovered: bool, rooms: Vec<Room>) -> Later<'a, ()> {
        if let Some(badge) = peer.state::<Badge>().filter(|badge| !badge.token.is_empty()) {
            let mut here = self.here();
            let watched = here.entry(badge.token.clone()).or_insert_with(|| Watched {
                members: Vec::new(),
                opens: badge.opens,
                until_ms: badge.until_ms,
                local: badge.local,
                grant: badge.grant.clone(),
                missed: false,
                seen_ms: 0,
            });
            watched.joined(peer.member(), rooms);
            // The newest look counts; the next one brings everybody in line.
            if badge.opens {
                (watched.opens, watched.until_ms) = (true, badge.until_ms);
                watched.grant = badge.grant.clone();
            }
            watched.missed = false;
            watched.seen_ms = self.face.clock.now_ms();
        }
        Box::pin(std::future::ready(()))
    }

    /// Loomio's clients say nothing.
    fn event<'a>(&'a self, _peer: &'a Peer, _said: Said) -> Later<'a, ()> {
        Box::pin(std::future::ready(()))
    }

    fn gone<'a>(&'a self, peer: &'a Peer, _reason: Reason) -> Later<'a, ()> {
        if let Some(badge) = peer.state::<Badge>() {
            let mut here = self.here();
            if let Some(watched) = here.get_mut(&badge.token) {
                watched.members.retain(|(member, _)| *member != peer.member());
                if watched.members.is_empty() {
                    here.remove(&badge.token);
                }
            }
        }
        Box::pin(std::future::ready(()))
    }
}

impl Channels {
    pub(super) fn new(face: LoomioFace, space: Space) -> Self {
        Self { face, space, here: Mutex::default(), moving: tokio::sync::Mutex::default() }
    }

    async fn accept(&self, token: &str, local: bool) -> Accepted {
        let standing = self.face.standing(token, local).await;
        // A token has its time, and a connection outlives it: who comes back soon finds the rooms it was in, as long as
        // nobody says otherwise.
        let old_rooms = match &standing {
            Standing::Missing | Standing::Unsure => OldRooms::Kept,
            _ if self.face.options.keep_rooms => OldRooms::Kept,
            _ => OldRooms::Dropped,
        };
        let (opens, until_ms, grant) = match &standing {
            Standing::Known(rooms, until_ms) => (!rooms.is_empty(), *until_ms, None),
            Standing::Ours(rooms, grant) => (!rooms.is_empty(), None, Some(grant.clone())),
            Standing::Ended | Standing::Missing | Standing::Unsure => (false, None, None),
        };
        Accepted {
            space: self.space.clone(),
            rooms: standing.rooms(),
            person: (!token.is_empty()).then(|| person(token)),
            known: matches!(standing, Standing::Known(..) | Standing::Ours(..)),
            recover: true,
            old_rooms,
            state: Arc::new(Badge { token: token.into(), local, opens, until_ms, grant }),
        }
    }

    /// Looks after memberships, for ever: what ended is left, what began is entered.
    pub(super) async fn keep_watch(&self) {
        if self.face.options.keep_rooms {
            return std::future::pending().await;
        }
        let revoked = async {
            loop {
                tokio::time::sleep(CHANNEL_GRANT_TICK).await;
                self.end_revoked().await;
            }
        };
        // By itself: it may have to wait for the central server, once for each token.
        let changed = async {
            loop {
                tokio::time::sleep(CHANNEL_WATCH_INTERVAL).await;
                self.look_again().await;
            }
        };
        tokio::join!(revoked, changed);
    }

    /// Whoever lost access to this office leaves at once.
    async fn end_revoked(&self) {
        let revoked = |watched: &&mut Watched| watched.grant.as_ref().is_some_and(|grant| !grant.holds());
        self.change(|here| {
            let mut leaving = Vec::new();
            for watched in here.values_mut().filter(revoked) {
                (watched.grant, watched.opens) = (None, false);
                leaving.extend(watched.bring_in_line(Vec::new()));
            }
            leaving
        })
        .await;
    }

    async fn look_again(&self) {
        let tokens: Vec<_> =
            self.here().iter().map(|(token, watched)| (token.clone(), watched.local)).collect();
        let mut gone = Vec::new();
        let mut known = 0;
        for some in tokens.chunks(CHANNEL_LOOKS_AT_ONCE_MAX) {
            let looks = some.iter().map(async |(token, local)| self.face.standing(token, *local).await);
            for ((token, _), standing) in some.iter().zip(join_all(looks).await) {
                known += usize::from(matches!(standing, Standing::Known(..) | Standing::Ours(..)));
                match standing {
                    Standing::Known(rooms, until_ms) => {
                        self.bring_in_line(token, rooms, until_ms, None).await
                    }
                    Standing::Ours(rooms, grant) => self.bring_in_line(token, rooms, None, Some(grant)).await,
                    Standing::Ended => self.bring_in_line(token, Vec::new(), None, None).await,
                    Standing::Missing => gone.push(token.clone()),
                    Standing::Unsure => {}
                }
            }
        }
        self.look_at_missing(&gone, known).await;
    }

    /// A key that is gone twice in a row was taken away, unless its time had come: a page is open for longer than its
    /// key is known, and that ends no membership. Nor does a server that lost its data; where that was not seen, all of
    /// many that are gone at once say it.
    async fn look_at_missing(&self, gone: &[Arc<str>], known: usize) {
        let now_ms = self.face.clock.now_ms();
        let lost_ms = self.face.bus.lost_data_ms();
        let had_rooms = |watched: &Watched| {
            let aged = watched.until_ms.is_some_and(|until_ms| until_ms <= now_ms);
            let forgotten = lost_ms.is_some_and(|lost_ms| watched.seen_ms <= lost_ms);
            !aged && !forgotten && watched.opens
        };
        self.change(|here| {
            let lost = gone.iter().filter(|token| here.get(*token).is_some_and(had_rooms)).count();
            if lost > 1 && known == 0 {
                tracing::warn!(lost, "all channel tokens are gone at once; nobody leaves a room for that");
                return Vec::new();
            }
            let mut leaving = Vec::new();
            for token in gone {
                let Some(watched) = here.get_mut(token) else { continue };
                if had_rooms(watched) && std::mem::replace(&mut watched.missed, true) {
                    watched.opens = false;
                    leaving.extend(watched.bring_in_line(Vec::new()));
                }
            }
            leaving
        })
        .await;
    }

    async fn bring_in_line(
        &self,
        token: &Arc<str>,
        rooms: Vec<Room>,
        until_ms: Option<u64>,
        grant: Option<Grant>,
    ) {
        self.change(|here| {
            let Some(watched) = here.get_mut(token) else { return Vec::new() };
            (watched.missed, watched.until_ms, watched.opens) = (false, until_ms, !rooms.is_empty());
            watched.seen_ms = self.face.clock.now_ms();
            // One that was revoked since it was looked at is found by it at the next tick.
            watched.grant = grant;
            watched.bring_in_line(rooms)
        })
        .await;
    }

    /// Changes what is known of memberships, and has the space follow, one change after the other.
    async fn change(&self, change: impl FnOnce(&mut HashMap<Arc<str>, Watched>) -> Vec<Move>) {
        let _turn = self.moving.lock().await;
        let moves = change(&mut self.here());
        self.go(moves).await;
    }

    async fn go(&self, moves: Vec<Move>) {
        let leaving = moves.iter().filter(|one| !one.left.is_empty()).count();
        if leaving > 0 {
            tracing::info!(members = leaving, "a membership ended: rooms are left");
        }
        for Move { member, entered, left } in moves {
            // First out: who was in many rooms may find no place in others before.
            if !left.is_empty() {
                self.space.exit(member, left).await;
            }
            if !entered.is_empty() {
                self.space.enter(member, entered).await;
            }
        }
    }

    fn here(&self) -> MutexGuard<'_, HashMap<Arc<str>, Watched>> {
        // A poisoned map still maps: every change of it is whole.
        held(&self.here)
    }
}

/// Whose session it is: whoever brings the same token. The token cannot be found from it.
fn person(token: &str) -> Arc<str> {
    let hash = Sha256::digest(token.as_bytes());
    let hash = hash.iter().take(8).fold(0, |number: u64, byte| number << 8 | u64::from(*byte));
    format!("channel-{hash:016x}").into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::rooms::space::{Join, SpaceOptions, SpaceOutbox};
    use crate::telemetry::Metrics;

    fn rooms(names: &str) -> Vec<Room> {
        names.split_whitespace().map(|name| Room::new(name).unwrap()).collect()
    }

    async fn member(space: &Space, metrics: &Metrics) -> MemberId {
        let (outbox, old_rooms) = (SpaceOutbox::new(metrics), OldRooms::Dropped);
        let join = Join { outbox, person: None, rooms: Vec::new(), since: None, recover: false, old_rooms };
        space.join(join).await.unwrap().member
    }

    #[tokio::test]
    async fn every_member_leaves_the_rooms_it_is_really_in_however_it_came_there() {
        let metrics = Metrics::new();
        let space = Space::open("test", None, Clock::real(), metrics.clone(), SpaceOptions::default()).await;
        let space = space.unwrap();
        let (old, new) = (member(&space, &metrics).await, member(&space, &metrics).await);
        let mut watched = Watched {
            members: Vec::new(),
            opens: false,
            until_ms: None,
            local: true,
            grant: None,
            missed: false,
            seen_ms: 0,
        };
        // One brings rooms of an old session while nobody knows the token, one comes when it opens others.
        watched.joined(old, rooms("user-1 notice group-2 group-1"));
        watched.joined(new, rooms("notice group-1 user-1"));
        let said = |moves: Vec<Move>| -> Vec<_> {
            let all = |rooms: Vec<Room>| rooms.iter().map(Room::as_str).collect::<Vec<_>>().join(" ");
            moves.into_iter().map(|one| (one.member, all(one.entered), all(one.left))).collect()
        };
        let (none, text) = (String::new, str::to_owned);
        assert_eq!(said(watched.bring_in_line(rooms("group-1 user-1"))), [(old, none(), text("group-2"))]);
        assert_eq!(said(watched.bring_in_line(rooms("user-1 group-1"))), []);
        let moved = watched.bring_in_line(rooms("group-3 user-1"));
        let wanted = [old, new].map(|member| (member, text("group-3"), text("group-1")));
        assert_eq!(said(moved), wanted);
        let left = said(watched.bring_in_line(Vec::new()));
        let wanted = [old, new].map(|member| (member, none(), text("group-3 user-1")));
        assert_eq!(left, wanted, "not the notices");
        space.stop().await;
    }
}
