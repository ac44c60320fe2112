//! Loomio's channels: who hears which room.
//!
//! Owns the token of the handshake and what becomes of a member when what stands behind the token changes. Does not
//! know how sockets are spoken, nor what is said in a room. Tokens are never logged.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sha2::{Digest, Sha256};

use super::LoomioFace;
use super::standing::Standing;
use crate::auth::Grant;
use crate::config::limits::{CHANNEL_GRANT_TICK, CHANNEL_WATCH_TICKS};
use crate::faces::sio::{Accepted, Dialect, Hello, Later, Peer, Reason, Refused, Said};
use crate::rooms::space::{MemberId, OldRooms, Room, Space};

/// The only namespace.
const NAMESPACE: &str = "/";

/// Everybody on Loomio's channels.
pub(super) struct Channels {
    face: LoomioFace,
    space: Space,
    here: Mutex<HashMap<Arc<str>, Watched>>,
}

/// A token that somebody is here with.
struct Watched {
    members: Vec<MemberId>,
    /// The rooms it opened when last looked at; `None`: nobody knew it, whatever rooms an old session has.
    rooms: Option<Vec<Room>>,
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

/// What is found again of a connection.
struct Badge {
    token: Arc<str>,
    local: bool,
    rooms: Option<Vec<Room>>,
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
            Some(Ok(self.accept(token.unwrap_or_default(), hello.request.local).await))
        })
    }

    fn joined<'a>(&'a self, peer: &'a Peer, _recovered: bool) -> Later<'a, ()> {
        if let Some(badge) = peer.state::<Badge>().filter(|badge| !badge.token.is_empty()) {
            let mut here = self.here();
            let watched = here.entry(badge.token.clone()).or_insert_with(|| Watched {
                members: Vec::new(),
                rooms: badge.rooms.clone(),
                until_ms: badge.until_ms,
                local: badge.local,
                grant: badge.grant.clone(),
                missed: false,
                seen_ms: 0,
            });
            watched.members.push(peer.member());
            // The newest look counts for this member; the next one brings all of them in line.
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
                watched.members.retain(|member| *member != peer.member());
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
        Self { face, space, here: Mutex::default() }
    }

    async fn accept(&self, token: String, local: bool) -> Accepted {
        let standing = self.face.standing(&token, local).await;
        // A token has its time, and a connection outlives it: who comes back soon finds the rooms it was in, as long as
        // nobody says otherwise.
        let old_rooms = match &standing {
            Standing::Missing | Standing::Unsure => OldRooms::Kept,
            _ if self.face.options.keep_rooms => OldRooms::Kept,
            _ => OldRooms::Dropped,
        };
        let (rooms, until_ms, grant) = match &standing {
            Standing::Known(rooms, until_ms) => (Some(rooms.clone()), *until_ms, None),
            Standing::Ours(rooms, grant) => (Some(rooms.clone()), None, Some(grant.clone())),
            Standing::Ended => (Some(Vec::new()), None, None),
            Standing::Missing | Standing::Unsure => (None, None, None),
        };
        Accepted {
            space: self.space.clone(),
            rooms: standing.rooms(),
            person: (!token.is_empty()).then(|| person(&token)),
            recover: true,
            old_rooms,
            state: Arc::new(Badge { token: token.into(), local, rooms, until_ms, grant }),
        }
    }

    /// Looks after memberships, for ever: what ended is left, what began is entered.
    pub(super) async fn keep_watch(&self) {
        if self.face.options.keep_rooms {
            return std::future::pending().await;
        }
        let mut ticks = 0;
        loop {
            tokio::time::sleep(CHANNEL_GRANT_TICK).await;
            self.end_revoked().await;
            ticks += 1;
            if ticks % CHANNEL_WATCH_TICKS == 0 {
                self.look_again().await;
            }
        }
    }

    /// Whoever lost access to this office leaves at once.
    async fn end_revoked(&self) {
        let mut leaving = Vec::new();
        for watched in self.here().values_mut() {
            if watched.grant.as_ref().is_some_and(|grant| !grant.holds()) {
                watched.grant = None;
                leaving.push((watched.members.clone(), watched.rooms.replace(Vec::new())));
            }
        }
        for (members, rooms) in leaving {
            self.leave(&members, rooms.unwrap_or_default()).await;
        }
    }

    async fn look_again(&self) {
        let tokens: Vec<_> =
            self.here().iter().map(|(token, watched)| (token.clone(), watched.local)).collect();
        let mut gone = Vec::new();
        let mut known = 0;
        for (token, local) in tokens {
            let standing = self.face.standing(&token, local).await;
            match standing {
                Standing::Known(rooms, until_ms) => {
                    known += 1;
                    self.bring_in_line(&token, rooms, until_ms).await;
                }
                Standing::Ours(rooms, _) => {
                    known += 1;
                    self.bring_in_line(&token, rooms, None).await;
                }
                Standing::Ended => self.bring_in_line(&token, Vec::new(), None).await,
                Standing::Missing => gone.push(token),
                Standing::Unsure => {}
            }
        }
        self.look_at_missing(&gone, known).await;
    }

    /// A key that is gone twice in a row was taken away, unless its time had come: a page is open for longer than its
    /// key is known, and that ends no membership. Nor does a server that lost its data; where that was not seen, all of
    /// many that are gone at once say it.
    async fn look_at_missing(&self, gone: &[Arc<str>], known: usize) {
        let mut leaving = Vec::new();
        let now_ms = self.face.clock.now_ms();
        {
            let mut here = self.here();
            let lost_ms = self.face.bus.lost_data_ms();
            let had_rooms = |watched: &Watched| {
                let aged = watched.until_ms.is_some_and(|until_ms| until_ms <= now_ms);
                let forgotten = lost_ms.is_some_and(|lost_ms| watched.seen_ms <= lost_ms);
                !aged && !forgotten && watched.rooms.as_ref().is_some_and(|rooms| !rooms.is_empty())
            };
            let lost = gone.iter().filter(|token| here.get(*token).is_some_and(had_rooms)).count();
            if lost > 1 && known == 0 {
                tracing::warn!(lost, "all channel tokens are gone at once; nobody leaves a room for that");
                return;
            }
            for token in gone {
                let Some(watched) = here.get_mut(token) else { continue };
                if had_rooms(watched) && std::mem::replace(&mut watched.missed, true) {
                    leaving.push((watched.members.clone(), watched.rooms.replace(Vec::new())));
                }
            }
        }
        for (members, rooms) in leaving {
            self.leave(&members, rooms.unwrap_or_default()).await;
        }
    }

    async fn bring_in_line(&self, token: &Arc<str>, rooms: Vec<Room>, until_ms: Option<u64>) {
        let (members, entered, left) = {
            let mut here = self.here();
            let Some(watched) = here.get_mut(token) else { return };
            (watched.missed, watched.until_ms) = (false, until_ms);
            watched.seen_ms = self.face.clock.now_ms();
            if watched.rooms.as_ref() == Some(&rooms) {
                return;
            }
            let before = watched.rooms.replace(rooms.clone()).unwrap_or_default();
            let entered: Vec<_> = rooms.iter().filter(|room| !before.contains(room)).cloned().collect();
            let left: Vec<_> = before.into_iter().filter(|room| !rooms.contains(room)).collect();
            (watched.members.clone(), entered, left)
        };
        for member in &members {
            self.space.enter(*member, entered.clone()).await;
        }
        self.leave(&members, left).await;
    }

    async fn leave(&self, members: &[MemberId], rooms: Vec<Room>) {
        if rooms.is_empty() {
            return;
        }
        tracing::info!(members = members.len(), rooms = rooms.len(), "a membership ended: rooms are left");
        for member in members {
            self.space.exit(*member, rooms.clone()).await;
        }
    }

    fn here(&self) -> MutexGuard<'_, HashMap<Arc<str>, Watched>> {
        // A poisoned map still maps: every change of it is whole.
        self.here.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whose session it is: whoever brings the same token. The token cannot be found from it.
fn person(token: &str) -> Arc<str> {
    let hash = Sha256::digest(token.as_bytes());
    let hex: String = hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("channel-{hex}").into()
}
