//! Boards and posts: going in and out, and what a changed rule does at once.

use serde_json::json;

use super::super::keys::KeyChange;
use super::super::news::Saying;
use super::super::presence::{Looking, Seat};
use super::super::rules::{No, Rule};
use super::super::said::Id;
use super::super::words::Words;
use super::{Do, Forum, Rules};
use crate::config::limits::{FORUM_BOARDS_KEY, FORUM_CURRENT_KEY, FORUM_PLACES_MAX};

impl Forum {
    pub(super) fn join(
        &mut self,
        seat: Seat,
        board: Option<Id>,
        rules: Rules<'_>,
        now_ms: u64,
        todo: &mut Vec<Do>,
    ) {
        if !self.within(seat, "board:join", now_ms, todo) {
            return self.refuse(seat, No::TooMany, todo);
        }
        let Some(board) = board else { return self.refuse(seat, No::NotAnId, todo) };
        let rule = rules(&board.id);
        self.apply(&board.id, rule.as_ref(), now_ms, todo);
        let Some(sitting) = self.seats.get_mut(&seat) else { return };
        let full = sitting.places.boards.len() >= FORUM_PLACES_MAX && !sitting.places.has(&board.id);
        let answer = Rule::admits(rule.as_ref(), &sitting.claims);
        match answer {
            Ok(()) if full => self.refuse(seat, No::Full, todo),
            Ok(()) => self.admit(seat, &board, rule, true, now_ms, todo),
            Err(no) => {
                self.want(seat, board, true);
                self.refuse(seat, no, todo);
            }
        }
    }

    /// Somebody who may enters a board: because it was `asked` now, or because the board opened.
    pub(super) fn admit(
        &mut self,
        seat: Seat,
        board: &Id,
        rule: Option<Rule>,
        asked: bool,
        now_ms: u64,
        todo: &mut Vec<Do>,
    ) {
        let Some(sitting) = self.seats.get_mut(&seat) else { return };
        let (words, person) = (sitting.words, sitting.claims.person.clone());
        let new = !sitting.places.has(&board.id);
        if asked {
            sitting.places.open(board);
        } else {
            sitting.places.open_wanted(board);
        }
        todo.push(Do::Enter(seat, vec![words.board(&board.id), words.typing(&board.id)]));
        self.rules.insert(board.id.clone(), rule);
        self.look(seat, now_ms);
        let joined = json!({ "boardId": board.value() });
        match words {
            Words::Deployed => todo.push(Do::Tell(seat, "boardJoined", joined)),
            Words::Published => todo.push(Do::Tell(seat, "board:joined", joined)),
        }
        if new {
            let body = json!({ "userId": person, "boardId": board.value() }).to_string();
            let to = vec![Words::Published.board(&board.id)];
            let saying = Saying::new(to, "user:joinedBoard", body);
            todo.push(Self::pass(&saying));
            todo.push(Do::Say { saying, except: Some(seat), keep: false, id: None });
        }
        self.board_keys(seat, &board.id, todo);
    }

    pub(super) fn leave(&mut self, seat: Seat, board: &Id, now_ms: u64, todo: &mut Vec<Do>) {
        let Some(sitting) = self.seats.get_mut(&seat) else { return };
        sitting.places.wants_no_more(&board.id);
        self.take_out(seat, &board.id, now_ms, todo);
        self.forget_rules(std::iter::once(board));
    }

    /// Takes somebody out of a board, its posts, and out of writing there.
    fn take_out(&mut self, seat: Seat, board: &str, now_ms: u64, todo: &mut Vec<Do>) {
        let Some(sitting) = self.seats.get_mut(&seat) else { return };
        let rooms = sitting.places.close(board, sitting.words);
        if !rooms.is_empty() {
            todo.push(Do::Exit(seat, rooms));
            self.look(seat, now_ms);
            self.board_keys(seat, board, todo);
        }
        if self.typing.is_on(seat, board) {
            let change = self.typing.gone(seat);
            self.tell_typing(change, now_ms, todo);
        }
    }

    pub(super) fn join_post(
        &mut self,
        seat: Seat,
        board: Option<Id>,
        post: &Id,
        rules: Rules<'_>,
        now_ms: u64,
        todo: &mut Vec<Do>,
    ) {
        if !self.within(seat, "post:join", now_ms, todo) {
            return self.refuse(seat, No::TooMany, todo);
        }
        let Some(sitting) = self.seats.get(&seat) else { return };
        let board = board.or_else(|| sitting.places.current().cloned());
        let Some(board) = board else { return self.refuse(seat, No::NotAnId, todo) };
        let rule = rules(&board.id);
        self.apply(&board.id, rule.as_ref(), now_ms, todo);
        let Some(sitting) = self.seats.get_mut(&seat) else { return };
        if let Err(no) = Rule::admits(rule.as_ref(), &sitting.claims) {
            return self.refuse(seat, no, todo);
        }
        // A post is looked at from its board: so there is one list of who may be where.
        if !sitting.places.has(&board.id) {
            self.join(seat, Some(board.clone()), rules, now_ms, todo);
        }
        let Some(sitting) = self.seats.get_mut(&seat) else { return };
        if !sitting.places.has(&board.id) || sitting.places.posts.len() >= FORUM_PLACES_MAX {
            return self.refuse(seat, No::Full, todo);
        }
        sitting.places.posts.insert((board.id.clone(), post.id.clone()));
        todo.push(Do::Enter(seat, vec![sitting.words.post(&board.id, &post.id)]));
        todo.push(Do::Tell(seat, "post:joined", json!({ "postId": post.value(), "boardId": board.value() })));
    }

    pub(super) fn leave_post(&mut self, seat: Seat, post: &str, todo: &mut Vec<Do>) {
        let Some(sitting) = self.seats.get_mut(&seat) else { return };
        let words = sitting.words;
        let (gone, left): (Vec<_>, Vec<_>) =
            std::mem::take(&mut sitting.places.posts).into_iter().partition(|(_, open)| open == post);
        sitting.places.posts = left.into_iter().collect();
        if !gone.is_empty() {
            todo.push(Do::Exit(seat, gone.iter().map(|(board, post)| words.post(board, post)).collect()));
        }
    }

    /// The rule of a board is this now: whoever may not be there any more is out, who waited for it is in.
    pub(super) fn apply(&mut self, board: &str, rule: Option<&Rule>, now_ms: u64, todo: &mut Vec<Do>) {
        let concerned: Vec<Seat> = self
            .seats
            .iter()
            .filter(|(_, sitting)| sitting.places.concerns(board))
            .map(|(&seat, _)| seat)
            .collect();
        if concerned.is_empty() {
            self.rules.remove(board);
            return;
        }
        let before = self.rules.insert(board.to_owned(), rule.cloned());
        if before.as_ref().map(Option::as_ref) == Some(rule) {
            return;
        }
        for seat in concerned {
            let Some(sitting) = self.seats.get_mut(&seat) else { continue };
            let there = sitting.places.boards.iter().find(|open| open.id == board).cloned();
            let answer = Rule::admits(rule, &sitting.claims);
            match (answer, there) {
                (Err(no), Some(id)) => {
                    let current = sitting.places.current() == Some(&id);
                    self.want(seat, id, current);
                    self.take_out(seat, board, now_ms, todo);
                    self.refuse(seat, no, todo);
                }
                (Ok(()), None) => {
                    let wanted = sitting.places.wanted(board).cloned();
                    if let Some(id) = wanted.filter(|_| sitting.places.boards.len() < FORUM_PLACES_MAX) {
                        self.admit(seat, &id, rule.cloned(), false, now_ms, todo);
                    }
                }
                // What others see of it may be more or less now.
                (Ok(()), Some(_)) => self.look(seat, now_ms),
                (Err(_), None) => {}
            }
        }
    }

    /// Somebody waits for a board that he may not enter now.
    pub(super) fn want(&mut self, seat: Seat, board: Id, current: bool) {
        let Some(sitting) = self.seats.get_mut(&seat) else { return };
        let forgotten = sitting.places.want(board, current);
        self.forget_rules(forgotten.iter());
    }

    /// Somebody is not at these boards any more, and does not wait for them. Where he was the last one, their rules are
    /// not needed here.
    pub(super) fn forget_rules<'a>(&mut self, left: impl Iterator<Item = &'a Id>) {
        for board in left {
            if !self.seats.values().any(|sitting| sitting.places.concerns(&board.id)) {
                self.rules.remove(&board.id);
            }
        }
    }

    /// What others see of where somebody is.
    pub(super) fn look(&mut self, seat: Seat, now_ms: u64) {
        let Some(sitting) = self.seats.get(&seat) else { return };
        let looking = sitting.places.current().map(|board| {
            let rule = self.rules.get(&board.id).and_then(Option::as_ref);
            Looking {
                board: board.id.clone(),
                name: rule.and_then(|rule| rule.name.clone()),
                open: rule.is_some_and(Rule::open),
            }
        });
        self.presence.look(seat, looking.as_ref(), now_ms);
    }

    /// The design's keys of who is where.
    pub(super) fn board_keys(&self, seat: Seat, board: &str, todo: &mut Vec<Do>) {
        let there = self.seats.values().filter(|sitting| sitting.places.has(board));
        let mut people: Vec<&str> = there.map(|sitting| sitting.claims.person.as_str()).collect();
        people.sort_unstable();
        people.dedup();
        let people = people.into_iter().map(str::to_owned).collect();
        todo.push(Do::Key(format!("board_users:{board}"), KeyChange::People(people, FORUM_CURRENT_KEY)));
        self.person_keys(seat, todo);
    }

    /// Those of a person's places.
    pub(super) fn person_keys(&self, seat: Seat, todo: &mut Vec<Do>) {
        let Some(sitting) = self.seats.get(&seat) else { return };
        let person = &sitting.claims.person;
        let current = sitting
            .places
            .current()
            .map_or(KeyChange::Gone, |board| KeyChange::Text(board.id.clone(), FORUM_CURRENT_KEY));
        todo.push(Do::Key(format!("user_current_board:{person}"), current));
        let boards: Vec<&str> = sitting.places.boards.iter().map(|board| board.id.as_str()).collect();
        let boards = match boards.is_empty() {
            true => KeyChange::Gone,
            false => KeyChange::Text(json!(boards).to_string(), FORUM_BOARDS_KEY),
        };
        todo.push(Do::Key(format!("user_boards:{person}"), boards));
    }
}
