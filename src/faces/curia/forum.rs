//! The forum: who sits where, and what follows from what they do.
//!
//! Owns every decision that needs more than one person. Pure: it is told the time and how to look a board's rule up,
//! and answers with what is to be done. Every join and every message of a client asks the rule; whenever a rule turns
//! out to have changed, those who lost the board are out before anything more is said there.

mod asking;
mod boards;
pub(super) mod offices;
mod places;
mod present;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use serde_json::{Value, json};

use super::keys::KeyChange;
use super::news::{Facts, Publication, Refused, Saying, is_vote};
use super::pace::{Batches, Counters};
use super::presence::{Presence, Seat};
use super::rules::{No, Rule};
use super::said::Heard;
use super::typing::Typing;
use super::words::{Target, Words};
use crate::auth::Claims;
use crate::config::limits::{FORUM_EXPIRY_WARNING, FORUM_POSTS_MAX, FORUM_SESSION_KEY};
pub(super) use asking::Asks;
use offices::OfficeWord;
use places::Places;

/// How the rule of a board is looked up.
pub(super) type Rules<'a> = &'a dyn Fn(&str) -> Option<Rule>;

/// What is to be done, in this order.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Do {
    /// Brings a socket into rooms.
    Enter(Seat, Vec<String>),
    /// Takes it out of them.
    Exit(Seat, Vec<String>),
    /// Tells one socket something.
    Tell(Seat, &'static str, Value),
    /// Says something in rooms. Kept: who was away hears it later.
    Say { saying: Saying, except: Option<Seat>, keep: bool, id: Option<String> },
    /// Ends the connection; the client may come back with a fresh token.
    Close(Seat),
    /// Tells the other offices behind the same bus.
    Pass(OfficeWord),
    /// Changes a key on the bus.
    Key(String, KeyChange),
    /// Counts refused input.
    Count(&'static str),
}

/// What is configured.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// Events of one type and person in a minute.
    pub(super) events: u32,
    /// Presence news of one person in a minute.
    pub(super) presence: u32,
}

/// Somebody who is here.
#[derive(Debug)]
struct Sitting {
    claims: Arc<Claims>,
    socket: String,
    words: Words,
    /// Whether the vocabulary was chosen.
    spoken: bool,
    places: Places,
    warned: bool,
    /// Its token ended, and it is on its way out.
    ended: bool,
    key_ms: u64,
}

/// A vote that waits for the next ones.
type Vote = (Publication, Facts, Option<String>);

/// The forum.
pub(super) struct Forum {
    pace: Pace,
    seats: BTreeMap<Seat, Sitting>,
    presence: Presence,
    typing: Typing,
    counters: Counters,
    /// By post, and there by voter and room: pages leave out what they are told of their own vote.
    votes: Batches<String, (Option<String>, Option<Target>), Vote>,
    /// The rules by which people sit on boards now.
    rules: HashMap<String, Option<Rule>>,
    /// Which board a post is on, as back ends said; in the order in which it was learned.
    posts: (HashMap<String, String>, VecDeque<String>),
    places: places::Kept,
}

impl Forum {
    pub(super) fn new(pace: Pace) -> Self {
        Self {
            pace,
            seats: BTreeMap::new(),
            presence: Presence::default(),
            typing: Typing::default(),
            counters: Counters::default(),
            votes: Batches::default(),
            rules: HashMap::new(),
            posts: Default::default(),
            places: places::Kept::default(),
        }
    }

    /// Whether nothing can be due.
    pub(super) fn is_quiet(&self) -> bool {
        self.seats.is_empty() && self.votes.is_empty()
    }

    /// So many of a kind there were at every office together, with the one that comes now.
    pub(super) fn counted_elsewhere(&mut self, person: &str, kind: &'static str, count: u32, now_ms: u64) {
        self.counters.everywhere(person, kind, count, now_ms);
    }

    /// A client said something.
    pub(super) fn hear(
        &mut self,
        seat: Seat,
        words: Words,
        heard: Heard,
        rules: Rules<'_>,
        now_ms: u64,
    ) -> Vec<Do> {
        let mut todo = Vec::new();
        // Who has no token any more is not heard, also before it is told so.
        if self.seats.get(&seat).is_none_or(|sitting| sitting.claims.expires_at_ms <= now_ms) {
            return todo;
        }
        self.choose(seat, words, &mut todo);
        match heard {
            Heard::Join(board) => self.join(seat, board, rules, now_ms, &mut todo),
            Heard::Leave(board) => self.leave(seat, &board, now_ms, &mut todo),
            Heard::Writes { board, post, context } => {
                self.writes(seat, board, post.as_ref(), context, rules, now_ms, &mut todo);
            }
            Heard::WritesNoMore => {
                let change = self.typing.says(seat, None, now_ms);
                self.tell_typing(change, now_ms, &mut todo);
            }
            Heard::JoinPost { board, post } => self.join_post(seat, board, &post, rules, now_ms, &mut todo),
            Heard::LeavePost { post } => self.leave_post(seat, &post.id, &mut todo),
            Heard::Changed(board) => {
                let claims = self.seats.get(&seat).map(|sitting| sitting.claims.clone());
                let rule = rules(&board.id);
                match claims {
                    Some(claims) if claims.admin && Rule::admits(rule.as_ref(), &claims).is_ok() => {
                        self.apply(&board.id, rule.as_ref(), now_ms, &mut todo);
                        todo.push(Do::Pass(OfficeWord::Changed(board.id)));
                    }
                    _ => self.refuse(seat, No::Role, &mut todo),
                }
            }
            Heard::Nothing => todo.push(Do::Count("curia_not_understood")),
        }
        todo
    }

    /// A back end says something. `id`: its own name for it.
    pub(super) fn publish(
        &mut self,
        publication: Publication,
        mut facts: Facts,
        id: Option<String>,
        now_ms: u64,
    ) -> Result<Vec<Do>, Refused> {
        let mut todo = Vec::new();
        let post = publication.post();
        facts.board = facts.board.or_else(|| self.posts.0.get(post.as_ref()?).cloned());
        let sayings = publication.sayings(&facts)?;
        if let (Some(post), Some(board)) = (post, &facts.board) {
            self.learn(post, board.clone());
        }
        if let Some(board) = &facts.board {
            self.apply(board, facts.rule.as_ref(), now_ms, &mut todo);
        }
        match publication.post().filter(|_| is_vote(&publication.event)) {
            Some(post) => {
                let voter = super::rules::id(publication.read.get("userIdVoted"));
                let speaker = (voter, publication.room.clone());
                let votes = self.votes.take(&post, speaker, (publication, facts, id), now_ms);
                self.tell_votes(votes, &mut todo);
            }
            None => todo.extend(said(sayings, publication.keep, id.as_deref())),
        }
        Ok(todo)
    }

    /// The forum ends: what waits is told.
    pub(super) fn end(&mut self) -> Vec<Do> {
        let mut todo = Vec::new();
        let votes = self.votes.due(u64::MAX);
        self.tell_votes(votes, &mut todo);
        todo
    }

    /// What a vote is about may have been closed while it waited: by the rule as it is now.
    fn tell_votes(&self, votes: Vec<Vote>, todo: &mut Vec<Do>) {
        for (publication, facts, id) in votes {
            let rule = facts.board.as_ref().and_then(|board| self.rules.get(board).cloned());
            let facts = Facts { rule: rule.unwrap_or(facts.rule.clone()), ..facts };
            todo.extend(said(publication.sayings(&facts).unwrap_or_default(), true, id.as_deref()));
        }
    }

    /// The board of a publication, also when it names only a post.
    pub(super) fn board_of(&self, publication: &Publication) -> Option<String> {
        publication.board().or_else(|| self.posts.0.get(&publication.post()?).cloned())
    }

    fn learn(&mut self, post: String, board: String) {
        let (boards, order) = &mut self.posts;
        if boards.insert(post.clone(), board).is_none() {
            order.push_back(post);
        }
        if order.len() > FORUM_POSTS_MAX
            && let Some(oldest) = order.pop_front()
        {
            boards.remove(&oldest);
        }
    }

    /// The time is now.
    pub(super) fn tick(&mut self, now_ms: u64) -> Vec<Do> {
        let mut todo = Vec::new();
        for change in self.typing.due(now_ms) {
            self.tell_typing(Some(change), now_ms, &mut todo);
        }
        let votes = self.votes.due(now_ms);
        self.tell_votes(votes, &mut todo);
        self.forget_silent(now_ms, &mut todo);
        self.tell_presence(now_ms, &mut todo);
        self.watch_tokens(now_ms, &mut todo);
        todo
    }

    /// Ends those whose token ended, warns those whose token ends soon, and keeps up what is kept of the others.
    fn watch_tokens(&mut self, now_ms: u64, todo: &mut Vec<Do>) {
        let (warning, again) =
            (FORUM_EXPIRY_WARNING.as_millis() as u64, FORUM_SESSION_KEY.as_millis() as u64 / 2);
        let mut again_there = Vec::new();
        for (&seat, sitting) in self.seats.iter_mut().filter(|(_, sitting)| !sitting.ended) {
            let ends_ms = sitting.claims.expires_at_ms;
            if ends_ms <= now_ms {
                sitting.ended = true;
                let told = json!({ "message": "Authentication failed", "expiresAt": iso(ends_ms) });
                todo.push(Do::Tell(seat, "auth:expired", told));
                todo.push(Do::Close(seat));
            } else if !sitting.warned && ends_ms - now_ms <= warning {
                sitting.warned = true;
                let told =
                    json!({ "expiresAt": iso(ends_ms), "secondsLeft": (ends_ms - now_ms).div_ceil(1000) });
                todo.push(Do::Tell(seat, "auth:expiring", told));
            }
            if now_ms.saturating_sub(sitting.key_ms) >= again {
                sitting.key_ms = now_ms;
                todo.push(sitting.session_key(now_ms));
                again_there.push((seat, sitting.places.boards.clone()));
            }
        }
        // What is kept of where people are ends by itself, and another office may have taken somebody out who is here.
        for (seat, boards) in again_there {
            boards.iter().for_each(|board| self.board_keys(seat, &board.id, todo));
            if let Some(who) = self.presence.who(seat).cloned() {
                self.tell_offices(&who, true, todo);
            }
        }
    }

    /// One more of its kind; refused and said so when it is one too many.
    fn within(&mut self, seat: Seat, kind: &'static str, now_ms: u64, todo: &mut Vec<Do>) -> bool {
        let Some(sitting) = self.seats.get(&seat) else { return false };
        let person = &sitting.claims.person;
        let within = self.counters.one_more(person, kind, self.pace.events, now_ms);
        if !within {
            todo.push(Do::Count("curia_rate_limit"));
        }
        within
    }

    fn refuse(&self, seat: Seat, no: No, todo: &mut Vec<Do>) {
        let Some(sitting) = self.seats.get(&seat) else { return };
        let message = match (sitting.words, no) {
            // The design has one text for all of them.
            (Words::Published, No::Unknown | No::Homeless | No::Elsewhere | No::Role) => {
                "Access denied to board".to_owned()
            }
            (_, no) => no.to_string(),
        };
        todo.push(Do::Tell(seat, "error", json!({ "message": message })));
    }

    /// The vocabulary is chosen by what a client says first.
    fn choose(&mut self, seat: Seat, words: Words, todo: &mut Vec<Do>) {
        let Some(sitting) = self.seats.get_mut(&seat) else { return };
        if std::mem::replace(&mut sitting.spoken, true) || sitting.words == words {
            return;
        }
        let before = std::mem::replace(&mut sitting.words, words);
        let (mut out, mut into) = (before.own(&sitting.claims), words.own(&sitting.claims));
        out.extend(sitting.places.rooms(before));
        into.extend(sitting.places.rooms(words));
        todo.push(Do::Enter(seat, into));
        todo.push(Do::Exit(seat, out));
    }
}

impl Sitting {
    fn session_key(&self, now_ms: u64) -> Do {
        let value = json!({
            "socketId": self.socket,
            "communityId": self.claims.community,
            "lastSeen": iso(now_ms),
        });
        let change = KeyChange::Text(value.to_string(), FORUM_SESSION_KEY);
        Do::Key(format!("user_session:{}", self.claims.person), change)
    }
}

/// Everything of one publication; each part has a name of its own, so that saying it again says nothing.
fn said(sayings: Vec<Saying>, keep: bool, id: Option<&str>) -> Vec<Do> {
    let all = sayings.into_iter().enumerate();
    all.map(|(n, saying)| Do::Say { saying, except: None, keep, id: id.map(|id| format!("{id}/{n}")) })
        .collect()
}

/// A time as JavaScript writes it.
pub(super) fn iso(ms: u64) -> String {
    let at = time::OffsetDateTime::from_unix_timestamp((ms / 1000) as i64);
    let at = at.unwrap_or(time::OffsetDateTime::UNIX_EPOCH);
    let (date, month) = (at.date(), u8::from(at.month()));
    let (hour, minute, second) = at.to_hms();
    format!(
        "{:04}-{month:02}-{:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z",
        date.year(),
        date.day(),
        ms % 1000
    )
}

#[cfg(test)]
mod tests;
