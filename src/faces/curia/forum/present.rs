//! Coming, going, writing: what others are told of people.
//!
//! Presence is said in its own community and nowhere else.

use std::sync::Arc;

use serde_json::{Value, json};

use super::super::keys::KeyChange;
use super::super::news::Saying;
use super::super::presence::{Left, Seat, Who};
use super::super::rules::Rule;
use super::super::said::Id;
use super::super::typing::Change;
use super::super::words::Words;
use super::places::{Places, who_with};
use super::{Do, Forum, Rules, Sitting, iso};
use crate::auth::Claims;
use crate::config::limits::FORUM_PLACES_MAX;

impl Forum {
    /// Somebody came. `rooms`: those it is in; more than its own when it took its session up again.
    pub(in super::super) fn enter(
        &mut self,
        seat: Seat,
        (socket, kind): (&str, &'static str),
        claims: &Arc<Claims>,
        rooms: &[String],
        rules: Rules<'_>,
        now_ms: u64,
    ) -> Vec<Do> {
        let mut todo = Vec::new();
        let (mut words, mut places) = Places::in_rooms(rooms);
        if claims.community.as_ref().is_some_and(|own| rooms.contains(&Words::Published.community(own))) {
            words = Some(Words::Published);
        }
        // Where its rooms are known nothing else is needed, and what was kept is of no use any more.
        let kept = who_with(claims).and_then(|(who, device)| self.places.take(&who, &device, now_ms));
        if let Some((spoken, kept)) = kept
            && words.is_none()
        {
            (words, places) = (Some(spoken), kept);
        }
        let spoken = words.is_some();
        let words = words.unwrap_or(Words::Deployed);
        // It sits down empty-handed and is shown to each place again, by the rule as it is now.
        let sitting = Sitting {
            claims: claims.clone(),
            socket: socket.to_owned(),
            words,
            spoken,
            places: Places::default(),
            warned: false,
            ended: false,
            key_ms: now_ms,
        };
        todo.push(sitting.session_key(now_ms));
        self.seats.insert(seat, sitting);
        if words == Words::Published {
            todo.push(Do::Enter(seat, Words::Published.own(claims)));
            todo.push(Do::Exit(seat, Words::Deployed.own(claims)));
        }
        self.forget_silent(now_ms, &mut todo);
        let entered = self.presence.enter(seat, socket, claims, kind, now_ms);
        self.restore(seat, &places, words, rules, now_ms, &mut todo);
        if let Some((who, first)) = entered {
            let view = self.presence.view(&who, iso).unwrap_or(Value::Null);
            let news = json!({ "userPresence": view, "communityId": who.community });
            say(&mut todo, Words::Deployed.community(&who.community), "userOnline", &news);
            if first {
                let board = self.seats.get(&seat).and_then(|sitting| sitting.places.current());
                let news = json!({ "userId": who.person, "boardId": board.map(Id::value) });
                // Where somebody is who opened a closed board is not told.
                let open = board.is_none_or(|board| self.is_open(&board.id));
                let hidden = json!({ "userId": who.person, "boardId": null });
                let news = if open { news } else { hidden };
                say(&mut todo, Words::Published.community(&who.community), "user:online", &news);
            }
            self.tell_offices(&who, false, &mut todo);
            let everybody = self.presence.everybody(&who.community, iso);
            todo.push(Do::Tell(seat, "globalPresenceSync", everybody.into()));
        }
        todo
    }

    fn is_open(&self, board: &str) -> bool {
        self.rules.get(board).and_then(Option::as_ref).is_some_and(Rule::open)
    }

    fn restore(
        &mut self,
        seat: Seat,
        places: &Places,
        words: Words,
        rules: Rules<'_>,
        now_ms: u64,
        todo: &mut Vec<Do>,
    ) {
        let Some(claims) = self.seats.get(&seat).map(|sitting| sitting.claims.clone()) else { return };
        for board in &places.boards {
            let rule = rules(&board.id);
            self.apply(&board.id, rule.as_ref(), now_ms, todo);
            if Rule::admits(rule.as_ref(), &claims).is_err() {
                self.want(seat, board.clone(), places.current() == Some(board));
                let mut closed = places.clone();
                todo.push(Do::Exit(seat, closed.close(&board.id, words)));
                continue;
            }
            let Some(sitting) = self.seats.get_mut(&seat) else { return };
            sitting.places.boards.push(board.clone());
            let posts = places.posts.iter().filter(|(of, _)| *of == board.id);
            sitting.places.posts.extend(posts.cloned());
            self.rules.insert(board.id.clone(), rule);
            self.board_keys(seat, &board.id, todo);
        }
        // What was refused before its token ended it waits for as it did.
        for (board, current) in places.all_wanted() {
            let rule = rules(&board.id);
            self.want(seat, board.clone(), current);
            let Some(sitting) = self.seats.get(&seat) else { return };
            let fits = sitting.places.boards.len() < FORUM_PLACES_MAX;
            if fits && Rule::admits(rule.as_ref(), &claims).is_ok() {
                self.admit(seat, board, rule, false, now_ms, todo);
            }
        }
        self.look(seat, now_ms);
        let Some(sitting) = self.seats.get(&seat) else { return };
        let rooms = sitting.places.rooms(words);
        if !rooms.is_empty() {
            todo.push(Do::Enter(seat, rooms));
        }
    }

    /// Somebody is gone.
    pub(in super::super) fn gone(&mut self, seat: Seat, now_ms: u64) -> Vec<Do> {
        let mut todo = Vec::new();
        let change = self.typing.gone(seat);
        self.tell_typing(change, now_ms, &mut todo);
        let Some(sitting) = self.seats.remove(&seat) else { return todo };
        let boards = sitting.places.boards.clone();
        let left = sitting.places.all_wanted().map(|(board, _)| board).chain(&sitting.places.boards);
        self.forget_rules(left);
        if sitting.claims.expires_at_ms <= now_ms
            && let Some((who, device)) = who_with(&sitting.claims)
        {
            self.places.keep(who, device, sitting.words, sitting.places, now_ms);
        }
        for board in &boards {
            self.board_keys(seat, &board.id, &mut todo);
        }
        let person = &sitting.claims.person;
        let who = self.presence.who(seat).cloned();
        match self.presence.leave(seat, now_ms) {
            Some(Left::Person(who)) => {
                say_left(&who, &mut todo);
                // The keys are the person's, whatever the community.
                match self.seats.iter().find(|(_, other)| other.claims.person == *person) {
                    Some((&other, there)) => {
                        todo.push(there.session_key(now_ms));
                        self.person_keys(other, &mut todo);
                    }
                    None => {
                        for key in ["user_session", "user_current_board"] {
                            todo.push(Do::Key(format!("{key}:{person}"), KeyChange::Gone));
                        }
                    }
                }
            }
            Some(Left::Device(_)) | None => {}
        }
        if let Some(who) = who {
            self.tell_offices(&who, false, &mut todo);
        }
        todo
    }

    #[expect(clippy::too_many_arguments, reason = "where and by whom, and what is needed to judge it")]
    pub(super) fn writes(
        &mut self,
        seat: Seat,
        board: Option<Id>,
        post: Option<&Id>,
        context: &'static str,
        rules: Rules<'_>,
        now_ms: u64,
        todo: &mut Vec<Do>,
    ) {
        let Some(sitting) = self.seats.get(&seat) else { return };
        let Some(board) = board.or_else(|| sitting.places.current().cloned()) else {
            return todo.push(Do::Count("curia_not_understood"));
        };
        let claims = sitting.claims.clone();
        let spot = board.spot(post, context);
        // Saying the same again is not counted.
        if !self.typing.repeats(seat, &spot) && !self.within(seat, "typing:start", now_ms, todo) {
            return;
        }
        let rule = rules(&board.id);
        self.apply(&board.id, rule.as_ref(), now_ms, todo);
        if let Err(no) = Rule::admits(rule.as_ref(), &claims) {
            todo.push(Do::Count("curia_not_allowed"));
            return self.refuse(seat, no, todo);
        }
        let change = self.typing.says(seat, Some(spot), now_ms);
        self.tell_typing(change, now_ms, todo);
    }

    /// Tells those on the board, in both vocabularies, that somebody writes or stopped.
    pub(super) fn tell_typing(&mut self, change: Option<Change>, now_ms: u64, todo: &mut Vec<Do>) {
        let Some(Change { seat, stopped, started, again }) = change else { return };
        let Some(sitting) = self.seats.get(&seat) else { return };
        let claims = sitting.claims.clone();
        self.presence.write(seat, started.clone(), now_ms);
        let name = claims.name.as_deref().unwrap_or("Unknown");
        for (spot, on) in [(stopped, false), (started, true)] {
            let Some(spot) = spot else { continue };
            let number = |text: &str| serde_json::from_str(text).unwrap_or(Value::Null);
            let news = json!({
                "userId": claims.person, "userName": name,
                "boardId": number(&spot.board_json), "postId": spot.post_json.as_deref().map(number),
                "isTyping": on, "context": spot.context, "timestamp": now_ms,
            });
            let deployed =
                Saying::new(vec![Words::Deployed.board(&spot.board)], "userTyping", news.to_string());
            let there = match &spot.post {
                Some(post) => Words::Published.post(&spot.board, post),
                None => Words::Published.typing(&spot.board),
            };
            let (event, news) = if on {
                ("typing:start", json!({ "userId": claims.person, "userName": name }))
            } else {
                ("typing:stop", json!({ "userId": claims.person }))
            };
            let published = Saying::new(vec![there], event, news.to_string());
            // Today's pages forget who writes unless they are told again; the design's wait for the end.
            for saying in std::iter::once(deployed).chain((!again).then_some(published)) {
                todo.push(Self::pass(&saying));
                todo.push(Do::Say { saying, except: Some(seat), keep: false, id: None });
            }
        }
    }

    /// Presence news that are due; beyond a person's measure they wait for the next change.
    pub(super) fn tell_presence(&mut self, now_ms: u64, todo: &mut Vec<Do>) {
        for who in self.presence.due(now_ms) {
            self.tell_offices(&who, false, todo);
            if !self.counters.one_more(&who.person, "presence", self.pace.presence, now_ms) {
                todo.push(Do::Count("curia_presence_limit"));
                continue;
            }
            if let Some(view) = self.presence.view(&who, iso) {
                let news = json!({ "userPresence": view, "communityId": who.community });
                say(todo, Words::Deployed.community(&who.community), "userPresenceUpdate", &news);
            }
        }
    }
}

/// Somebody is nowhere any more.
pub(super) fn say_left(who: &Who, todo: &mut Vec<Do>) {
    let news = json!({ "userId": who.person });
    say(todo, Words::Deployed.community(&who.community), "userOffline", &news);
    say(todo, Words::Published.community(&who.community), "user:offline", &news);
}

pub(super) fn say(todo: &mut Vec<Do>, to: String, event: &str, news: &Value) {
    let saying = Saying::new(vec![to], event, news.to_string());
    todo.push(Do::Say { saying, except: None, keep: false, id: None });
}
