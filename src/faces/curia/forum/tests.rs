//! A small town: every promise as who heard what, and who did not.

mod boards;
mod offices;
mod pace;
mod people;
mod time;

use std::cell::RefCell;
use std::collections::BTreeSet;

use serde_json::value::RawValue;

use super::super::rules::tests::person;
use super::super::said;
use super::*;

/// A forum with the rooms of a space around it.
struct Town {
    forum: Forum,
    rules: RefCell<HashMap<String, Rule>>,
    rooms: BTreeMap<Seat, BTreeSet<String>>,
    heard: BTreeMap<Seat, Vec<(String, Value)>>,
    keys: BTreeMap<String, String>,
    counted: Vec<&'static str>,
    passed: Vec<OfficeWord>,
    now_ms: u64,
}

const START_MS: u64 = 1_800_000_000_000;

impl Town {
    fn new() -> Self {
        Self::with(Pace { events: 10, presence: 30 })
    }

    fn with(pace: Pace) -> Self {
        let town = Self {
            forum: Forum::new(pace),
            rules: RefCell::default(),
            rooms: BTreeMap::new(),
            heard: BTreeMap::new(),
            keys: BTreeMap::new(),
            counted: Vec::new(),
            passed: Vec::new(),
            now_ms: START_MS,
        };
        town.rule("5", r#"{"communityId":"7"}"#);
        town.rule("6", r#"{"communityId":"7","allowedRoles":["clerk"]}"#);
        town
    }

    fn rule(&self, board: &str, text: &str) {
        self.rules.borrow_mut().insert(board.to_owned(), Rule::read(text.as_bytes()).unwrap());
    }

    fn comes(&mut self, seat: Seat, claims: Claims) {
        self.comes_back(seat, claims, &[]);
    }

    fn comes_back(&mut self, seat: Seat, claims: Claims, rooms: &[&str]) {
        let mut all: Vec<String> = rooms.iter().map(|&room| room.to_owned()).collect();
        all.extend(Words::Deployed.own(&claims));
        self.rooms.insert(seat, all.iter().cloned().collect());
        self.heard.entry(seat).or_default();
        let rules = |board: &str| self.rules.borrow().get(board).cloned();
        let socket = format!("s{seat}");
        let todo = self.forum.enter(seat, (&socket, "desktop"), &Arc::new(claims), &all, &rules, self.now_ms);
        self.act(todo);
    }

    #[expect(clippy::needless_pass_by_value, reason = "tests write the value where they say it")]
    fn says(&mut self, seat: Seat, name: &str, first: Value) {
        let (words, heard) = said::read(name, Some(&first)).unwrap();
        let rules = |board: &str| self.rules.borrow().get(board).cloned();
        let todo = self.forum.hear(seat, words, heard, &rules, self.now_ms);
        self.act(todo);
    }

    fn goes(&mut self, seat: Seat) {
        self.rooms.remove(&seat);
        let todo = self.forum.gone(seat, self.now_ms);
        self.act(todo);
    }

    #[expect(clippy::needless_pass_by_value, reason = "tests write the value where they say it")]
    fn publishes(&mut self, event: &str, payload: Value) {
        let payload = RawValue::from_string(payload.to_string()).unwrap();
        let publication = Publication::new(None, event, payload).unwrap();
        let board = self.forum.board_of(&publication);
        let mut rule = board.as_ref().and_then(|board| self.rules.borrow().get(board).cloned());
        if let Some((board, said)) = publication.rule_said(rule.as_ref()) {
            self.rules.borrow_mut().insert(board, said.clone());
            rule = Some(said);
        }
        let facts = Facts { board, rule, partners: vec!["8".into()] };
        let todo = self.forum.publish(publication, facts, None, self.now_ms).unwrap();
        self.act(todo);
    }

    fn later(&mut self, ms: u64) {
        for _ in 0..ms / 100 {
            self.now_ms += 100;
            let todo = self.forum.tick(self.now_ms);
            self.act(todo);
        }
    }

    fn act(&mut self, todo: Vec<Do>) {
        for one in todo {
            match one {
                Do::Enter(seat, rooms) => self.rooms.get_mut(&seat).unwrap().extend(rooms),
                Do::Exit(seat, rooms) => {
                    self.rooms.get_mut(&seat).unwrap().retain(|room| !rooms.contains(room));
                }
                Do::Tell(seat, event, value) => self.hears(seat, event, value),
                Do::Say { saying, except, .. } => {
                    let in_any =
                        |rooms: &BTreeSet<String>, of: &[String]| of.iter().any(|r| rooms.contains(r));
                    let hearers: Vec<Seat> = self
                        .rooms
                        .iter()
                        .filter(|(seat, rooms)| {
                            in_any(rooms, &saying.to)
                                && !in_any(rooms, &saying.except)
                                && Some(**seat) != except
                        })
                        .map(|(&seat, _)| seat)
                        .collect();
                    for seat in hearers {
                        self.hears(seat, &saying.event, serde_json::from_str(&saying.body).unwrap());
                    }
                }
                Do::Close(seat) => {
                    self.hears(seat, "(closed)", Value::Null);
                    self.goes(seat);
                }
                Do::Key(key, KeyChange::Text(text, _)) => {
                    self.keys.insert(key, text);
                }
                Do::Key(key, KeyChange::People(people, _)) => {
                    self.keys.insert(key, people.join(" "));
                }
                Do::Key(key, KeyChange::Gone) => {
                    self.keys.remove(&key);
                }
                Do::Pass(word) => self.passed.push(word),
                Do::Count(reason) => self.counted.push(reason),
            }
        }
    }

    fn hears(&mut self, seat: Seat, event: &str, value: Value) {
        self.heard.entry(seat).or_default().push((event.to_owned(), value));
    }

    /// What a socket heard since it was last asked, by name.
    fn heard(&mut self, seat: Seat) -> String {
        let events = std::mem::take(self.heard.entry(seat).or_default());
        events.into_iter().map(|(event, _)| event).collect::<Vec<_>>().join(" ")
    }

    /// The last of this name that a socket heard.
    fn last(&self, seat: Seat, event: &str) -> Value {
        let heard = self.heard[&seat].iter().rev();
        heard.into_iter().find(|(name, _)| name == event).map_or(Value::Null, |(_, value)| value.clone())
    }

    fn quiet(&mut self) {
        self.heard.clear();
    }
}

/// Ann, a clerk; Bob, who is nothing; an administrator; Eve of a partner; Zoe of somewhere else.
fn town() -> Town {
    let mut town = Town::new();
    town.comes(1, person("ann", "7", &["clerk"], false));
    town.comes(2, person("bob", "7", &[], false));
    town.comes(3, person("adm", "7", &[], true));
    town.comes(4, person("eve", "8", &["clerk"], true));
    town.comes(5, person("zoe", "9", &["clerk"], true));
    town.quiet();
    town
}
