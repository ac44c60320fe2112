//! Where one socket is, and the places of those whose token ended.

use std::collections::{BTreeMap, BTreeSet};

use super::super::presence::Who;
use super::super::said::Id;
use super::super::words::Words;
use crate::auth::Claims;
use crate::config::limits::{FORUM_CURRENT_KEY, FORUM_KEPT_PLACES_MAX};

/// The boards and posts that one socket looks at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Places {
    /// In the order in which they were opened: the last one is where it is.
    pub(super) boards: Vec<Id>,
    /// Board and post.
    pub(super) posts: BTreeSet<(String, String)>,
    /// Refused so far: it comes in as soon as that changes.
    pub(super) wanted: Option<Id>,
}

impl Places {
    /// The rooms of these places.
    pub(super) fn rooms(&self, words: Words) -> Vec<String> {
        let boards = self.boards.iter().flat_map(|board| [words.board(&board.id), words.typing(&board.id)]);
        let posts = self.posts.iter().map(|(board, post)| words.post(board, post));
        boards.chain(posts).collect()
    }

    /// The places in rooms, for who takes a session up again.
    pub(super) fn in_rooms(rooms: &[String]) -> (Option<Words>, Self) {
        let mut places = Self::default();
        let mut words = None;
        for room in rooms {
            let Some((spoken, board)) = Words::board_of(room) else { continue };
            words = Some(spoken);
            let post = Words::post_of(room);
            if let Some(post) = post {
                places.posts.insert((board, post));
            } else if *room == spoken.board(&board) {
                let json = if board.parse::<u64>().is_ok() { board.clone() } else { format!("\"{board}\"") };
                places.boards.push(Id { id: board, json });
            }
        }
        (words, places)
    }

    pub(super) fn has(&self, board: &str) -> bool {
        self.boards.iter().any(|open| open.id == board)
    }

    pub(super) fn current(&self) -> Option<&Id> {
        self.boards.last()
    }

    /// Takes a board and its posts away; the rooms that are left with it.
    pub(super) fn close(&mut self, board: &str, words: Words) -> Vec<String> {
        if !self.has(board) {
            return Vec::new();
        }
        let mut gone = Self::default();
        (gone.boards, self.boards) = self.boards.drain(..).partition(|open| open.id == board);
        (gone.posts, self.posts) =
            std::mem::take(&mut self.posts).into_iter().partition(|(of, _)| of == board);
        gone.rooms(words)
    }
}

/// A person's device, if it says which it is.
pub(super) fn who_with(claims: &Claims) -> Option<(Who, String)> {
    let who = Who { community: claims.community.clone()?, person: claims.person.clone() };
    Some((who, claims.device.clone()?))
}

/// The places of devices whose token ended: a client that builds a new socket with a fresh one is put back.
#[derive(Debug, Default)]
pub(super) struct Kept(BTreeMap<(Who, String), (u64, Words, Places)>);

impl Kept {
    pub(super) fn keep(&mut self, who: Who, device: String, words: Words, places: Places, now_ms: u64) {
        let life = FORUM_CURRENT_KEY.as_millis() as u64;
        self.0.retain(|_, (kept_ms, ..)| now_ms.saturating_sub(*kept_ms) < life);
        if self.0.len() < FORUM_KEPT_PLACES_MAX {
            self.0.insert((who, device), (now_ms, words, places));
        }
    }

    /// What is kept of a device.
    pub(super) fn of(&self, claims: &Claims, now_ms: u64) -> Option<&Places> {
        let (kept_ms, _, places) = self.0.get(&who_with(claims)?)?;
        (now_ms.saturating_sub(*kept_ms) < FORUM_CURRENT_KEY.as_millis() as u64).then_some(places)
    }

    pub(super) fn take(&mut self, who: &Who, device: &str, now_ms: u64) -> Option<(Words, Places)> {
        let (kept_ms, words, places) = self.0.remove(&(who.clone(), device.to_owned()))?;
        (now_ms.saturating_sub(kept_ms) < FORUM_CURRENT_KEY.as_millis() as u64).then_some((words, places))
    }
}
