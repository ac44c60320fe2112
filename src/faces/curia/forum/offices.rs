//! One forum at several offices: what they tell each other of people, and what is made of it.
//!
//! Owns the words between offices. What is lost on the way is made good: an office that was out of reach asks, and each
//! tells of its people again before they are taken for gone.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::super::news::Saying;
use super::super::presence::Who;
use super::super::presence::elsewhere::{Told, Turn};
use super::super::words::Words;
use super::{Do, Forum, Rules, iso};
use crate::bus::Message;
use crate::faces::FORUM_PEOPLE_CHANNEL;

/// What people do in rooms is passed on under these names, and nothing else.
const PASSED: &[&str] = &["userTyping", "typing:start", "typing:stop", "user:joinedBoard"];

/// What an office tells the others.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(in super::super) struct Letter {
    /// Who tells it.
    office: String,
    #[serde(flatten)]
    pub(in super::super) word: OfficeWord,
}

/// Its content.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(in super::super) enum OfficeWord {
    /// Tell me of all your people.
    Ask(bool),
    /// These are mine.
    Told(Told),
    /// Said in rooms by one of mine.
    Said { to: Vec<String>, event: String, body: Value },
    /// An administrator says that a board's settings are others now.
    Changed(String),
}

impl Letter {
    /// As it goes over the bus; `None`: it is too long for it.
    pub(in super::super) fn message(office: &str, word: OfficeWord) -> Option<Message> {
        let letter = Self { office: office.to_owned(), word };
        Message::new(FORUM_PEOPLE_CHANNEL, serde_json::to_vec(&letter).ok()?.into()).ok()
    }

    /// Whether this office said it itself: a server may say it back so late that nobody expects it any more.
    pub(in super::super) fn is_of(&self, office: &str) -> bool {
        self.office == office
    }

    /// What came over the bus; `None`: nothing that an office says.
    pub(in super::super) fn read(body: &[u8]) -> Option<Self> {
        let letter: Self = serde_json::from_slice(body).ok()?;
        super::super::rules::is_id(&letter.office).then_some(letter)
    }
}

impl Forum {
    /// Another office tells something.
    pub(in super::super) fn hear_office(&mut self, letter: Letter, rules: Rules<'_>, now_ms: u64) -> Vec<Do> {
        let mut todo = Vec::new();
        for board in self.boards_told_of(&letter) {
            self.apply(&board, rules(&board).as_ref(), now_ms, &mut todo);
        }
        match letter.word {
            OfficeWord::Ask(_) => todo.extend(self.tell_everybody(now_ms)),
            OfficeWord::Told(told) => {
                let turns = self.presence.hear(&letter.office, told, now_ms);
                self.tell_turns(turns, &mut todo);
            }
            OfficeWord::Said { to, event, body } => {
                let on_boards = !to.is_empty() && to.iter().all(|room| Words::board_of(room).is_some());
                if on_boards && PASSED.contains(&event.as_str()) {
                    let saying = Saying::new(to, &event, body.to_string());
                    todo.push(Do::Say { saying, except: None, keep: false, id: None });
                } else {
                    todo.push(Do::Count("curia_office"));
                }
            }
            OfficeWord::Changed(_) => {}
        }
        todo
    }

    /// The boards that a letter is about, as far as somebody here is there or wants to be.
    pub(in super::super) fn boards_told_of(&self, letter: &Letter) -> BTreeSet<String> {
        let boards: BTreeSet<String> = match &letter.word {
            OfficeWord::Said { to, .. } => {
                to.iter().filter_map(|room| Some(Words::board_of(room)?.1)).collect()
            }
            OfficeWord::Changed(board) => BTreeSet::from([board.clone()]),
            OfficeWord::Ask(_) | OfficeWord::Told(_) => BTreeSet::new(),
        };
        let all = boards.into_iter();
        all.filter(|board| self.seats.values().any(|sitting| sitting.places.concerns(board))).collect()
    }

    /// This office was out of reach, or is new: it asks the others, and tells them of its own people.
    pub(in super::super) fn meet_offices(&self, now_ms: u64) -> Vec<Do> {
        let mut todo = vec![Do::Pass(OfficeWord::Ask(true))];
        todo.extend(self.tell_everybody(now_ms));
        todo
    }

    fn tell_everybody(&self, now_ms: u64) -> impl Iterator<Item = Do> {
        let round = self.presence.round(now_ms, iso);
        round.into_iter().map(|told| Do::Pass(OfficeWord::Told(told)))
    }

    /// Other offices are told how somebody of this one is now.
    pub(super) fn tell_offices(&mut self, who: &Who, again: bool, todo: &mut Vec<Do>) {
        let news = self.presence.news_of(who, again, iso);
        todo.extend(news.map(|news| Do::Pass(OfficeWord::Told(Told::of(news)))));
    }

    /// People of offices that fell silent are gone.
    pub(super) fn forget_silent(&mut self, now_ms: u64, todo: &mut Vec<Do>) {
        let turns = self.presence.aged(now_ms);
        self.tell_turns(turns, todo);
    }

    fn tell_turns(&self, turns: Vec<Turn>, todo: &mut Vec<Do>) {
        for turn in turns {
            match turn {
                Turn::Came(who, first) => {
                    let Some(view) = self.presence.view(&who, iso) else { continue };
                    let board = view["primaryDevice"].get("currentBoardId").cloned().unwrap_or(Value::Null);
                    let news = json!({ "userPresence": view, "communityId": who.community });
                    super::present::say(todo, Words::Deployed.community(&who.community), "userOnline", &news);
                    if first {
                        let news = json!({ "userId": who.person, "boardId": board });
                        let there = Words::Published.community(&who.community);
                        super::present::say(todo, there, "user:online", &news);
                    }
                }
                Turn::Left(who) => super::present::say_left(&who, todo),
            }
        }
    }

    /// The same said at other offices.
    pub(super) fn pass(saying: &Saying) -> Do {
        let body = serde_json::from_str(&saying.body).unwrap_or(Value::Null);
        Do::Pass(OfficeWord::Said { to: saying.to.clone(), event: saying.event.clone(), body })
    }
}
