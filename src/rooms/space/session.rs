//! Sessions: what a client that was cut off takes up again.
//!
//! Owns the secret id (of which only a hash is kept), the public id, and how long a session waits. Does not
//! know messages.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::event::{MemberId, Room};
use crate::config::limits::{SPACE_LEFT_ROOMS_MAX, SPACE_SECRET_MAX_BYTES, SPACE_SESSIONS_GIVE_WAY};

/// Six random bits for each: 192 bits.
const SECRET_CHARS: usize = 32;
/// 120 bits.
const PUBLIC_CHARS: usize = 20;

/// What is kept of a secret id: its SHA-256.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Mark(pub(super) [u8; 32]);

impl Mark {
    /// The mark of a secret that somebody brought; `None` for what cannot be one.
    pub(super) fn of(secret: &str) -> Option<Self> {
        let fits = (1..=SPACE_SECRET_MAX_BYTES).contains(&secret.len());
        fits.then(|| Self(Sha256::digest(secret.as_bytes()).into()))
    }
}

/// A new public and a new secret id; `None` when the computer gives no randomness, which is asked for once.
pub(super) fn new_ids() -> Option<(Arc<str>, String)> {
    let mut bytes = [0; PUBLIC_CHARS + SECRET_CHARS];
    getrandom::fill(&mut bytes).ok()?;
    let (public, secret) = bytes.split_at(PUBLIC_CHARS);
    Some((text(public).into(), text(secret)))
}

fn text(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    bytes.iter().map(|byte| char::from(LETTERS[usize::from(byte & 63)])).collect()
}

/// Somebody who is here, or may come back.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) sid: Arc<str>,
    pub(super) person: Option<Arc<str>>,
    /// The last number that had been handed out when it began.
    pub(super) joined: u64,
    /// Rooms it has left, the latest last: what was said there before may not have been received.
    pub(super) left: VecDeque<Stay>,
    /// The last number said in such a room that is not listed any more: who comes back without it has missed something.
    pub(super) unheard: u64,
    pub(super) place: Place,
}

/// A time in a room, over or not.
#[derive(Debug, Clone)]
pub(super) struct Stay {
    pub(super) room: Room,
    /// It began when this number had been handed out…
    pub(super) since: u64,
    /// …and this is the last one that was said in it.
    pub(super) upto: u64,
}

/// Where the holder of a session is.
#[derive(Debug)]
pub(super) enum Place {
    /// Here, as this member, which knows its rooms.
    Here(MemberId),
    /// Away.
    Away {
        /// Who it was; `None` after a restart.
        member: Option<MemberId>,
        /// Since when.
        since_ms: u64,
        /// The rooms it was in, each since a number.
        rooms: Vec<(Room, u64)>,
    },
}

/// All sessions of a space.
#[derive(Debug)]
pub(super) struct Sessions {
    all: HashMap<Mark, Session>,
    /// Those that are not on disk as they are here.
    dirty: HashSet<Mark>,
    most: usize,
}

impl Sessions {
    pub(super) fn new(most: usize) -> Self {
        Self { all: HashMap::new(), dirty: HashSet::new(), most }
    }

    pub(super) fn get(&self, mark: &Mark) -> Option<&Session> {
        self.all.get(mark)
    }

    /// The session, to be changed: it is written to disk again.
    pub(super) fn change(&mut self, mark: &Mark) -> Option<&mut Session> {
        let session = self.all.get_mut(mark)?;
        self.dirty.insert(*mark);
        Some(session)
    }

    /// Adds one from the disk. `ended`: there it says that its member is here, which is over.
    pub(super) fn load(&mut self, mark: Mark, session: Session, ended: bool) {
        if ended {
            self.dirty.insert(mark);
        }
        self.all.insert(mark, session);
    }

    /// Adds one; `false` when there are too many, all of them here.
    pub(super) fn add(&mut self, mark: Mark, session: Session) -> bool {
        if self.all.len() >= self.most {
            self.make_way();
        }
        if self.all.len() >= self.most {
            return false;
        }
        self.all.insert(mark, session);
        self.dirty.insert(mark);
        true
    }

    /// Forgets one.
    pub(super) fn remove(&mut self, mark: &Mark) -> Option<Session> {
        let session = self.all.remove(mark)?;
        self.dirty.insert(*mark);
        Some(session)
    }

    /// Who it was that went away as this member.
    pub(super) fn of_absent(&self, gone: MemberId) -> Option<Mark> {
        let is_it =
            |session: &Session| matches!(session.place, Place::Away { member, .. } if member == Some(gone));
        self.all.iter().find(|(_, session)| is_it(session)).map(|(mark, _)| *mark)
    }

    /// Forgets who is away for longer than the window.
    pub(super) fn sweep(&mut self, now_ms: u64, window_ms: u64) {
        let dirty = &mut self.dirty;
        self.all.retain(|mark, session| {
            let stays = session.away_ms().is_none_or(|since| now_ms.saturating_sub(since) <= window_ms);
            if !stays {
                dirty.insert(*mark);
            }
            stays
        });
    }

    /// The oldest beginning of all; `None` when there is no session.
    pub(super) fn floor(&self) -> Option<u64> {
        self.all.values().map(|session| session.joined).min()
    }

    /// Whether something is to be written.
    pub(super) fn is_dirty(&self) -> bool {
        !self.dirty.is_empty()
    }

    /// Some of those to write; put back with [`Sessions::again`] when that fails.
    pub(super) fn take_dirty(&mut self, most: usize) -> Vec<Mark> {
        let taken: Vec<Mark> = self.dirty.iter().take(most).copied().collect();
        taken.iter().for_each(|mark| _ = self.dirty.remove(mark));
        taken
    }

    /// These did not reach the disk.
    pub(super) fn again(&mut self, marks: Vec<Mark>) {
        self.dirty.extend(marks);
    }

    /// Who is nobody in particular, or hears only what everybody hears, goes first: a crowd of strangers must not cost
    /// people their places. Then who is away for longest.
    fn make_way(&mut self) {
        let known = |session: &Session| {
            let more = matches!(&session.place, Place::Away { rooms, .. } if rooms.len() > 1);
            more && session.person.is_some()
        };
        let away =
            self.all.iter().filter_map(|(mark, session)| Some((known(session), session.away_ms()?, *mark)));
        let mut away: Vec<(bool, u64, Mark)> = away.collect();
        away.sort_unstable_by_key(|(known, since, _)| (*known, *since));
        for (_, _, mark) in away.iter().take((self.most / SPACE_SESSIONS_GIVE_WAY).max(1)) {
            self.remove(mark);
        }
    }
}

impl Session {
    /// It has left a room.
    pub(super) fn has_left(&mut self, stay: Stay) {
        self.left.push_back(stay);
        if self.left.len() > SPACE_LEFT_ROOMS_MAX
            && let Some(oldest) = self.left.pop_front()
        {
            self.unheard = self.unheard.max(oldest.upto);
        }
    }

    /// Since when it is away, if it is.
    pub(super) fn away_ms(&self) -> Option<u64> {
        match self.place {
            Place::Here(_) => None,
            Place::Away { since_ms, .. } => Some(since_ms),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crowd_of_strangers_does_not_cost_people_their_places() {
        let mut sessions = Sessions::new(256);
        let add = |sessions: &mut Sessions, n: u64, person: Option<&str>| {
            let count = if n >= 100 && n.is_multiple_of(2) { 1 } else { 2 };
            let rooms = ["notice", "group-1"].map(|room| (Room::new(room).unwrap(), 0))[..count].to_vec();
            let place = Place::Away { member: None, since_ms: n, rooms };
            let (sid, _) = new_ids().unwrap();
            let mark = Mark::of(&n.to_string()).unwrap();
            assert!(sessions.add(
                mark,
                Session {
                    sid,
                    person: person.map(Arc::from),
                    joined: 0,
                    left: VecDeque::new(),
                    unheard: 0,
                    place
                }
            ));
            mark
        };
        let people: Vec<Mark> = (0..100).map(|n| add(&mut sessions, n, Some("somebody"))).collect();
        let strangers: Vec<Mark> = (100..10_000)
            .map(|n| add(&mut sessions, n, n.is_multiple_of(2).then_some("a token that nobody gave out")))
            .collect();
        assert!(people.iter().all(|mark| sessions.get(mark).is_some()));
        assert!(sessions.get(&strangers[0]).is_none() && sessions.get(&strangers[9_899]).is_some());
        (0..300).for_each(|n| _ = add(&mut sessions, 10_001 + 2 * n, Some("somebody else")));
        assert!(sessions.get(&people[0]).is_none(), "among people, who is away for longest goes");
        assert!(strangers.iter().all(|mark| sessions.get(mark).is_none()));
    }
}
