//! What has to be looked up before the forum goes on.
//!
//! Owns which boards and counts that are. Does not look up: who refuses anyway asks nobody.

use super::super::presence::Seat;
use super::super::rules::Rule;
use super::super::said::Heard;
use super::Forum;
use super::places::Places;
use crate::auth::Claims;

/// What is looked up before a word is heard.
#[derive(Debug, Default)]
pub(in super::super) struct Asks {
    /// Whose words are counted at every office together…
    pub(in super::super) person: String,
    /// …and as what.
    pub(in super::super) kinds: Vec<&'static str>,
    /// The board whose rule is needed.
    pub(in super::super) board: Option<String>,
}

impl Forum {
    /// What is to be looked up before a word of a client is heard: nothing when it is refused all the same.
    pub(in super::super) fn asks(&self, seat: Seat, heard: &Heard, now_ms: u64) -> Asks {
        let Some((person, kinds)) = self.counted(seat, heard) else { return Asks::default() };
        let full = |kind: &&'static str| self.counters.is_full(&person, kind, self.pace.events, now_ms);
        if kinds.first().is_some_and(full) {
            return Asks::default();
        }
        Asks { board: self.board_asked(seat, heard), person, kinds }
    }

    fn board_asked(&self, seat: Seat, heard: &Heard) -> Option<String> {
        let here = || Some(self.seats.get(&seat)?.places.current()?.id.clone());
        match heard {
            Heard::Join(board) => board.as_ref().map(|board| board.id.clone()),
            Heard::Writes { board, .. } | Heard::JoinPost { board, .. } => {
                board.as_ref().map(|board| board.id.clone()).or_else(here)
            }
            Heard::Changed(board) => {
                let may = self.seats.get(&seat).is_some_and(|sitting| sitting.claims.admin);
                may.then(|| board.id.clone())
            }
            Heard::Leave(_) | Heard::WritesNoMore | Heard::LeavePost { .. } | Heard::Nothing => None,
        }
    }

    /// Who says this, and as what it is counted.
    fn counted(&self, seat: Seat, heard: &Heard) -> Option<(String, Vec<&'static str>)> {
        let sitting = self.seats.get(&seat)?;
        let kinds = match heard {
            Heard::Join(_) => vec!["board:join"],
            Heard::JoinPost { board, .. } => {
                let board = board.as_ref().or(sitting.places.current());
                let new = board.is_some_and(|board| !sitting.places.has(&board.id));
                if new { vec!["post:join", "board:join"] } else { vec!["post:join"] }
            }
            Heard::Writes { board, post, context } => {
                let board = board.as_ref().or(sitting.places.current());
                let spot = board.map(|board| board.spot(post.as_ref(), context));
                let new = spot.is_some_and(|spot| !self.typing.repeats(seat, &spot));
                if new { vec!["typing:start"] } else { Vec::new() }
            }
            _ => Vec::new(),
        };
        Some((sitting.claims.person.clone(), kinds))
    }

    /// The boards that somebody who comes into these rooms is put on.
    pub(in super::super) fn boards_of(&self, claims: &Claims, rooms: &[String], now_ms: u64) -> Vec<String> {
        let (_, places) = Places::in_rooms(rooms);
        let kept = self.places.of(claims, now_ms);
        let wanted = kept.into_iter().flat_map(|kept| kept.all_wanted().map(|(board, _)| board));
        let kept = kept.into_iter().flat_map(|kept| &kept.boards);
        places.boards.iter().chain(kept).chain(wanted).map(|board| board.id.clone()).collect()
    }

    /// The rule by which people sit on a board now.
    pub(in super::super) fn last_known(&self, board: &str) -> Option<Rule> {
        self.rules.get(board).cloned().flatten()
    }
}
