//! People at other offices behind the same bus, as those offices tell of them.
//!
//! Owns what offices tell each other of people, and who is gone when an office falls silent. What is told is what
//! everybody in the community may see.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Presence, Seat, Who};
use crate::config::limits::{
    FORUM_DEVICES_MAX, FORUM_ELSEWHERE_BATCH, FORUM_ELSEWHERE_DEVICE_MAX_BYTES, FORUM_ELSEWHERE_LIFE,
    FORUM_ELSEWHERE_MAX, FORUM_OFFICES_MAX, JWT_ID_MAX_BYTES,
};

/// One person's devices at one other office.
#[derive(Debug)]
pub(super) struct Elsewhere {
    pub(super) devices: Vec<Value>,
    heard_ms: u64,
}

/// What an office says of its people.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(in super::super) struct Told {
    /// Who they are and what they have.
    pub(in super::super) people: Vec<TellOf>,
    /// All that are there are told of, in several messages of one number. 0: only those who changed.
    #[serde(default)]
    round: u64,
    /// This was the round's last message: who was not told of is gone.
    #[serde(default)]
    last: bool,
}

/// One person; without devices it is gone from there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(in super::super) struct TellOf {
    community: String,
    person: String,
    devices: Vec<Value>,
}

/// What another office's word means here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) enum Turn {
    /// Somebody came, or came with one more device; true: who was nowhere before.
    Came(Who, bool),
    /// Somebody is nowhere any more.
    Left(Who),
}

impl Told {
    /// Of one person.
    pub(in super::super) fn of(person: TellOf) -> Self {
        Self { people: vec![person], round: 0, last: false }
    }
}

impl Presence {
    /// What another office tells; who came and who left by it. Other changes are told when they are due.
    pub(in super::super) fn hear(&mut self, office: &str, told: Told, now_ms: u64) -> Vec<Turn> {
        let mut turns = Vec::new();
        if self.rounds.len() >= FORUM_OFFICES_MAX && !self.rounds.contains_key(office) {
            return turns;
        }
        let round = self.rounds.entry(office.to_owned()).or_insert((0, now_ms));
        if told.round != 0 && round.0 != told.round {
            *round = (told.round, now_ms);
        }
        let begun_ms = round.1;
        for TellOf { community, person, mut devices } in told.people {
            let who = Who { community, person };
            if who.community.len().max(who.person.len()) > JWT_ID_MAX_BYTES {
                continue;
            }
            devices.retain(|device| {
                let bounded = device.to_string().len() <= FORUM_ELSEWHERE_DEVICE_MAX_BYTES;
                bounded && device["userId"] == who.person.as_str() && device["lastSeen"].is_string()
            });
            devices.truncate(FORUM_DEVICES_MAX);
            if devices.is_empty() {
                turns.extend(self.leaves(office, &who, now_ms));
            } else if self.people.len() < FORUM_ELSEWHERE_MAX || self.people.contains_key(&who) {
                let known = self.people.entry(who.clone()).or_default();
                let first = known.is_gone();
                let count = devices.len();
                let now = Elsewhere { devices: devices.clone(), heard_ms: now_ms };
                let before = known.elsewhere.insert(office.to_owned(), now).map(|before| before.devices);
                let before = before.unwrap_or_default();
                if count > before.len() {
                    turns.push(Turn::Came(who, first));
                } else if devices != before {
                    // They waited for each other at that office already.
                    known.due_ms.get_or_insert(now_ms);
                }
            }
        }
        if told.last {
            for who in self.of_office(office, |heard_ms| heard_ms < begun_ms) {
                turns.extend(self.leaves(office, &who, now_ms));
            }
        }
        turns
    }

    /// Who is gone because the office that told of them fell silent.
    pub(in super::super) fn aged(&mut self, now_ms: u64) -> Vec<Turn> {
        let life_ms = FORUM_ELSEWHERE_LIFE.as_millis() as u64;
        let mut turns = Vec::new();
        for office in self.rounds.keys().cloned().collect::<Vec<_>>() {
            for who in self.of_office(&office, |heard_ms| now_ms.saturating_sub(heard_ms) >= life_ms) {
                turns.extend(self.leaves(&office, &who, now_ms));
            }
        }
        turns
    }

    /// Somebody of this office as others are to be told; `None`: they know. `again`: they are told all the same.
    pub(in super::super) fn news_of(
        &mut self,
        who: &Who,
        again: bool,
        rfc3339: fn(u64) -> String,
    ) -> Option<TellOf> {
        let (community, person) = (who.community.clone(), who.person.clone());
        let Some(known) = self.people.get_mut(who) else {
            return Some(TellOf { community, person, devices: Vec::new() });
        };
        let devices = known.here(&community, rfc3339);
        let before = std::mem::replace(&mut known.told, devices.clone());
        (before != devices || (again && !devices.is_empty())).then_some(TellOf { community, person, devices })
    }

    /// Everybody of this office, for an office that asks.
    pub(in super::super) fn round(&self, now_ms: u64, rfc3339: fn(u64) -> String) -> Vec<Told> {
        let ours = self.people.iter().filter(|(_, person)| !person.devices.is_empty());
        let all: Vec<TellOf> = ours
            .map(|(who, person)| TellOf {
                community: who.community.clone(),
                person: who.person.clone(),
                devices: person.here(&who.community, rfc3339),
            })
            .collect();
        let chunks = all.chunks(FORUM_ELSEWHERE_BATCH).map(<[_]>::to_vec);
        let mut round: Vec<Told> = chunks.map(|people| Told { people, round: now_ms, last: false }).collect();
        round.push(Told { people: Vec::new(), round: now_ms, last: true });
        round
    }

    /// Whose seat this is.
    pub(in super::super) fn who(&self, seat: Seat) -> Option<&Who> {
        self.seats.get(&seat)
    }

    fn of_office(&self, office: &str, which: impl Fn(u64) -> bool) -> Vec<Who> {
        let theirs = self
            .people
            .iter()
            .filter(|(_, person)| person.elsewhere.get(office).is_some_and(|office| which(office.heard_ms)));
        theirs.map(|(who, _)| who.clone()).collect()
    }

    fn leaves(&mut self, office: &str, who: &Who, now_ms: u64) -> Option<Turn> {
        let person = self.people.get_mut(who)?;
        person.elsewhere.remove(office)?;
        if !person.is_gone() {
            person.note(now_ms);
            return None;
        }
        self.people.remove(who);
        Some(Turn::Left(who.clone()))
    }
}
