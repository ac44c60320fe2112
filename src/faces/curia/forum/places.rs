//! Where one socket is, and the places of those whose token ended.

use std::collections::{BTreeMap, BTreeSet};

use super::super::presence::Who;
use super::super::said::Id;
use super::super::words::Words;
use crate::auth::Claims;
use crate::config::limits::{FORUM_CURRENT_KEY, FORUM_KEPT_PLACES_MAX, FORUM_PLACES_MAX};

/// The boards and posts that one socket looks at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Places {
    /// In the order in which they were opened: the last one is where it is.
    pub(super) boards: Vec<Id>,
    /// Board and post.
    pub(super) posts: BTreeSet<(String, String)>,
    /// Boards refused so far, the oldest first: it comes in as soon as that changes.
    wanted: Vec<Wanted>,
}

/// A board that a socket may not enter now.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Wanted {
    board: Id,
    /// Whether it would be where the socket is: nothing was opened since.
    current: bool,
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

    /// Whether the socket is on a board, or would be if it might.
    pub(super) fn concerns(&self, board: &str) -> bool {
        self.has(board) || self.wanted(board).is_some()
    }

    pub(super) fn current(&self) -> Option<&Id> {
        self.boards.last()
    }

    /// Opens a board, or opens it again: that is where the socket is from now on.
    pub(super) fn open(&mut self, board: &Id) {
        self.boards.retain(|open| open.id != board.id);
        self.boards.push(board.clone());
        self.wants_no_more(&board.id);
        self.wanted.iter_mut().for_each(|wanted| wanted.current = false);
    }

    /// A wanted board may be entered now. One that would not be where the socket is stays behind the one that is.
    pub(super) fn open_wanted(&mut self, board: &Id) {
        let Some(at) = self.wanted.iter().position(|wanted| wanted.board.id == board.id) else {
            return self.open(board);
        };
        if self.wanted.remove(at).current {
            return self.open(board);
        }
        self.boards.insert(self.boards.len().saturating_sub(1), board.clone());
    }

    /// Remembers a board that was refused; beyond the bound the oldest is forgotten, and given back.
    pub(super) fn want(&mut self, board: Id, current: bool) -> Option<Id> {
        self.wants_no_more(&board.id);
        if current {
            self.wanted.iter_mut().for_each(|wanted| wanted.current = false);
        }
        let full = self.wanted.len() >= FORUM_PLACES_MAX;
        let forgotten = full.then(|| self.wanted.remove(0).board);
        self.wanted.push(Wanted { board, current });
        forgotten
    }

    pub(super) fn wants_no_more(&mut self, board: &str) {
        self.wanted.retain(|wanted| wanted.board.id != board);
    }

    /// Every board that was refused, and whether it would be where the socket is.
    pub(super) fn all_wanted(&self) -> impl Iterator<Item = (&Id, bool)> {
        self.wanted.iter().map(|wanted| (&wanted.board, wanted.current))
    }

    /// The board as it was asked for, if it was refused.
    pub(super) fn wanted(&self, board: &str) -> Option<&Id> {
        self.wanted.iter().map(|wanted| &wanted.board).find(|wanted| wanted.id == board)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: usize) -> Id {
        Id { id: number.to_string(), json: number.to_string() }
    }

    fn open(places: &Places) -> Vec<&str> {
        places.boards.iter().map(|board| board.id.as_str()).collect()
    }

    #[test]
    fn boards_that_were_refused_are_remembered_up_to_a_bound_the_newest_longest() {
        let mut places = Places::default();
        for number in 0..=FORUM_PLACES_MAX {
            places.want(id(number), true);
            places.want(id(number), true);
        }
        assert_eq!(places.wanted.len(), FORUM_PLACES_MAX);
        assert_eq!((places.wanted("0"), places.wanted("1")), (None, Some(&id(1))));
        places.wants_no_more("1");
        assert_eq!(places.wanted("1"), None);
    }

    #[test]
    fn a_board_that_opens_again_is_where_the_socket_is_unless_it_went_elsewhere_meanwhile() {
        let mut places = Places::default();
        places.open(&id(1));
        places.want(id(2), true);
        places.open_wanted(&id(2));
        assert_eq!(open(&places), ["1", "2"], "it had asked for it last");
        places.want(id(3), true);
        places.want(id(4), false);
        places.open(&id(1));
        places.open_wanted(&id(3));
        places.open_wanted(&id(4));
        assert_eq!(open(&places), ["2", "3", "4", "1"]);
    }
}
