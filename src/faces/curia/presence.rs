//! Who is there, with which devices, per community.
//!
//! Owns presence as the forum's clients show it (Curia's `server.ts`, `userPresence`). A device is a socket: when
//! two bring the same device id the newer is shown, and the older one's end takes nothing away. A board is shown only
//! when everybody in the community may enter it. Does not know who is told.

pub(super) mod elsewhere;

use std::collections::BTreeMap;

use serde_json::{Value, json};

use self::elsewhere::Elsewhere;
use super::typing::Spot;
use crate::auth::Claims;
use crate::config::limits::{FORUM_DEVICES_MAX, FORUM_PRESENCE_DEBOUNCE};

/// Names a socket in the forum.
pub(super) type Seat = u64;

/// A person of a community.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Who {
    pub(super) community: String,
    pub(super) person: String,
}

/// The board that somebody looks at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Looking {
    pub(super) board: String,
    pub(super) name: Option<String>,
    /// Whether everybody may know: everybody may enter.
    pub(super) open: bool,
}

#[derive(Debug)]
struct Device {
    seat: Seat,
    frame: String,
    kind: &'static str,
    claims: Claims,
    socket: String,
    connected_ms: u64,
    seen_ms: u64,
    looking: Option<Looking>,
    typing: Option<(Spot, u64)>,
}

#[derive(Debug, Default)]
struct Person {
    /// In the order in which they came.
    devices: Vec<Device>,
    /// Those at other offices, by office.
    elsewhere: BTreeMap<String, Elsewhere>,
    /// What other offices were told last.
    told: Vec<Value>,
    due_ms: Option<u64>,
}

/// Everybody who is there.
#[derive(Debug, Default)]
pub(super) struct Presence {
    people: BTreeMap<Who, Person>,
    seats: BTreeMap<Seat, Who>,
    /// The round in which each other office tells of all its people: its number, and when it began here.
    rounds: BTreeMap<String, (u64, u64)>,
}

/// What a device's end means for its person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Left {
    /// The person is still there with another one.
    Device(Who),
    /// It was the last.
    Person(Who),
}

impl Presence {
    /// A device came; whose it is and whether it is the person's first. Without a community nobody is told.
    pub(super) fn enter(
        &mut self,
        seat: Seat,
        socket: &str,
        claims: &Claims,
        kind: &'static str,
        now_ms: u64,
    ) -> Option<(Who, bool)> {
        let who = Who { community: claims.community.clone()?, person: claims.person.clone() };
        let person = self.people.entry(who.clone()).or_default();
        let first = person.is_gone();
        person.devices.push(Device {
            seat,
            frame: claims.device.clone().unwrap_or_else(|| format!("fallback-{socket}")),
            kind,
            claims: claims.clone(),
            socket: socket.to_owned(),
            connected_ms: now_ms,
            seen_ms: now_ms,
            looking: None,
            typing: None,
        });
        self.seats.insert(seat, who.clone());
        Some((who, first))
    }

    /// A device left.
    pub(super) fn leave(&mut self, seat: Seat, now_ms: u64) -> Option<Left> {
        let who = self.seats.remove(&seat)?;
        let person = self.people.get_mut(&who)?;
        person.devices.retain(|device| device.seat != seat);
        if person.is_gone() {
            self.people.remove(&who);
            return Some(Left::Person(who));
        }
        person.note(now_ms);
        Some(Left::Device(who))
    }

    /// A device looks at another board.
    pub(super) fn look(&mut self, seat: Seat, looking: Option<&Looking>, now_ms: u64) {
        self.change(seat, now_ms, |device| {
            std::mem::replace(&mut device.looking, looking.cloned()).as_ref() != looking
        });
    }

    /// A device is shown writing, or not.
    pub(super) fn write(&mut self, seat: Seat, typing: Option<Spot>, now_ms: u64) {
        self.change(seat, now_ms, |device| {
            device.typing = typing.map(|spot| (spot, now_ms));
            true
        });
    }

    fn change(&mut self, seat: Seat, now_ms: u64, change: impl FnOnce(&mut Device) -> bool) {
        let Some(person) = self.seats.get(&seat).and_then(|who| self.people.get_mut(who)) else { return };
        let Some(device) = person.devices.iter_mut().find(|device| device.seat == seat) else { return };
        device.seen_ms = now_ms;
        if change(device) {
            person.note(now_ms);
        }
    }

    /// Whose news are due.
    pub(super) fn due(&mut self, now_ms: u64) -> Vec<Who> {
        let mut due = Vec::new();
        for (who, person) in &mut self.people {
            if person.due_ms.is_some_and(|due_ms| due_ms <= now_ms) {
                person.due_ms = None;
                due.push(who.clone());
            }
        }
        due
    }

    /// A person as clients are told.
    pub(super) fn view(&self, who: &Who, rfc3339: fn(u64) -> String) -> Option<Value> {
        Some(self.people.get(who)?.view(&who.community, rfc3339))
    }

    /// Everybody of one community, and nobody else.
    pub(super) fn everybody(&self, community: &str, rfc3339: fn(u64) -> String) -> Vec<Value> {
        let from = Who { community: community.to_owned(), person: String::new() };
        let of = self.people.range(from..).take_while(|(who, _)| who.community == community);
        of.map(|(_, person)| person.view(community, rfc3339)).collect()
    }
}

impl Person {
    fn note(&mut self, now_ms: u64) {
        self.due_ms.get_or_insert(now_ms + FORUM_PRESENCE_DEBOUNCE.as_millis() as u64);
    }

    fn is_gone(&self) -> bool {
        self.devices.is_empty() && self.elsewhere.is_empty()
    }

    /// The newest devices at this office; of two that bring the same id the newer one.
    fn here(&self, community: &str, rfc3339: fn(u64) -> String) -> Vec<Value> {
        let mut newest: Vec<&Device> = Vec::new();
        for device in self.devices.iter().rev() {
            if newest.len() < FORUM_DEVICES_MAX && !newest.iter().any(|newer| newer.frame == device.frame) {
                newest.push(device);
            }
        }
        newest.iter().rev().map(|device| device.view(community, rfc3339)).collect()
    }

    fn view(&self, community: &str, rfc3339: fn(u64) -> String) -> Value {
        let mut devices = self.here(community, rfc3339);
        devices.extend(self.elsewhere.values().flat_map(|office| office.devices.iter().cloned()));
        // Times are written so that their order is that of their texts.
        let seen = |device: &&Value| device["lastSeen"].as_str().map(str::to_owned);
        let Some(primary) = devices.iter().max_by_key(seen).cloned() else { return Value::Null };
        let mut view = json!({
            "userId": primary["userId"],
            "userName": primary["userName"],
            "communityId": community,
            "totalDevices": devices.len(),
            "devices": devices,
            "isOnline": true,
            "lastSeen": primary["lastSeen"],
        });
        if let Some(picture) = primary.get("avatarUrl") {
            view["avatarUrl"] = picture.clone();
        }
        view["primaryDevice"] = primary;
        view
    }
}

impl Device {
    fn view(&self, community: &str, rfc3339: fn(u64) -> String) -> Value {
        let claims = &self.claims;
        let mut view = json!({
            "frameUID": self.frame,
            "userId": claims.person,
            "userName": claims.name.as_deref().unwrap_or("Unknown"),
            "communityId": community,
            "deviceType": self.kind,
            "connectedAt": rfc3339(self.connected_ms),
            "lastSeen": rfc3339(self.seen_ms),
            "socketId": self.socket,
            "isActive": true,
        });
        let mut say = |key: &str, value: Option<Value>| {
            if let Some(value) = value {
                view[key] = value;
            }
        };
        say("avatarUrl", claims.picture.clone().map(Value::from));
        say("communityShortId", claims.community_short_id.clone().map(Value::from));
        say("pluginId", claims.plugin_id.clone().map(Value::from));
        let shown = self.looking.as_ref().filter(|looking| looking.open);
        let number = |text: &str| serde_json::from_str(text).unwrap_or_else(|_| Value::from(text));
        say("currentBoardId", shown.map(|looking| number(&looking.board)));
        say("currentBoardName", shown.and_then(|looking| looking.name.clone()).map(Value::from));
        let typing = self.typing.as_ref();
        let typing = typing.filter(|(spot, _)| shown.is_some_and(|looking| looking.board == spot.board));
        if let Some((spot, since_ms)) = typing {
            say("isTyping", Some(true.into()));
            say("typingPostId", spot.post_json.as_deref().map(number));
            say("typingBoardId", Some(number(&spot.board_json)));
            say("typingContext", Some(spot.context.into()));
            say("typingTimestamp", Some(rfc3339(*since_ms).into()));
        }
        view
    }
}

/// What a device is, by what its browser calls itself.
pub(super) fn device_kind(agent: &str) -> &'static str {
    let agent = agent.to_ascii_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| agent.contains(word));
    if says(&["ipad", "tablet"]) || (says(&["android"]) && !says(&["mobile"])) {
        "tablet"
    } else if says(&["mobile", "iphone", "ipod", "android"]) {
        "mobile"
    } else {
        "desktop"
    }
}

#[cfg(test)]
mod tests {
    use super::super::rules::tests::person;
    use super::*;

    fn at(ms: u64) -> String {
        ms.to_string()
    }

    fn ann() -> Who {
        Who { community: "7".into(), person: "ann".into() }
    }

    #[test]
    fn a_person_is_there_as_long_as_one_of_her_devices_is() {
        let mut presence = Presence::default();
        let mut phone = person("ann", "7", &[], false);
        phone.device = Some("phone".into());
        assert_eq!(
            presence.enter(1, "s1", &person("ann", "7", &[], false), "desktop", 0),
            Some((ann(), true))
        );
        assert_eq!(presence.enter(2, "s2", &phone, "mobile", 5), Some((ann(), false)));
        let view = presence.view(&ann(), at).unwrap();
        assert_eq!((view["totalDevices"].as_u64(), view["isOnline"].as_bool()), (Some(2), Some(true)));
        assert_eq!(view["devices"][1]["frameUID"], "phone");
        assert_eq!(view["primaryDevice"]["deviceType"], "mobile", "the one that was seen last");
        assert_eq!(presence.leave(1, 10), Some(Left::Device(ann())));
        assert_eq!(presence.view(&ann(), at).unwrap()["totalDevices"], 1);
        assert_eq!(presence.leave(2, 20), Some(Left::Person(ann())));
        assert_eq!((presence.leave(2, 20), presence.view(&ann(), at)), (None, None));
    }

    #[test]
    fn a_page_that_reloads_does_not_lose_its_device() {
        let mut presence = Presence::default();
        let claims = person("ann", "7", &[], false);
        presence.enter(1, "s1", &claims, "desktop", 0);
        presence.enter(2, "s2", &claims, "desktop", 1);
        let view = presence.view(&ann(), at).unwrap();
        assert_eq!(
            (view["totalDevices"].as_u64(), view["devices"][0]["socketId"].as_str()),
            (Some(1), Some("s2"))
        );
        presence.leave(1, 2);
        assert_eq!(presence.view(&ann(), at).unwrap()["devices"][0]["socketId"], "s2");
    }

    #[test]
    fn of_many_devices_of_one_person_the_newest_are_shown() {
        let mut presence = Presence::default();
        let many = FORUM_DEVICES_MAX as u64 + 4;
        for seat in 1..=many {
            let mut claims = person("ann", "7", &[], false);
            claims.device = Some(format!("d{seat}"));
            presence.enter(seat, "s", &claims, "desktop", seat);
        }
        let shown = |presence: &Presence| {
            let devices = presence.view(&ann(), at).unwrap()["devices"].clone();
            let names = devices.as_array().unwrap().iter().map(|device| device["frameUID"].to_string());
            names.collect::<Vec<_>>()
        };
        let all: Vec<String> = (1..=many).map(|seat| format!("\"d{seat}\"")).collect();
        assert_eq!(shown(&presence), all[4..]);
        presence.leave(many, 100);
        assert_eq!(shown(&presence), all[3..all.len() - 1], "the next one takes its place");
    }

    #[test]
    fn presence_stays_within_its_community() {
        let mut presence = Presence::default();
        for (seat, name, community) in [(1, "ann", "7"), (2, "bob", "7"), (3, "eve", "70"), (4, "ann", "8")] {
            presence.enter(seat, "s", &person(name, community, &[], false), "desktop", 0);
        }
        let names = |community| {
            let all = presence.everybody(community, at);
            all.iter().map(|view| view["userId"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(
            (names("7"), names("8"), names("70")),
            (vec!["ann".into(), "bob".into()], vec!["ann".into()], vec!["eve".to_owned()])
        );
        assert!(names("9").is_empty());
        assert!(presence.enter(5, "s", &person("zoe", "", &[], true), "desktop", 0).is_none());
    }

    #[test]
    fn what_not_everybody_may_enter_is_not_shown() {
        let mut presence = Presence::default();
        presence.enter(1, "s1", &person("ann", "7", &[], false), "desktop", 0);
        let mut looking = Looking { board: "5".into(), name: Some("Roads".into()), open: true };
        let spot = Spot {
            board: "5".into(),
            post: Some("9".into()),
            context: "comment",
            board_json: "5".into(),
            post_json: Some("9".into()),
        };
        presence.look(1, Some(&looking), 10);
        presence.write(1, Some(spot), 20);
        let device = presence.view(&ann(), at).unwrap()["primaryDevice"].clone();
        assert_eq!((&device["currentBoardId"], &device["currentBoardName"]), (&json!(5), &json!("Roads")));
        assert_eq!((&device["typingPostId"], &device["typingContext"]), (&json!(9), &json!("comment")));
        looking.open = false;
        presence.look(1, Some(&looking), 30);
        let device = presence.view(&ann(), at).unwrap()["primaryDevice"].to_string();
        assert!(!device.contains("Board") && !device.contains("yping"), "{device}");
    }

    #[test]
    fn news_of_a_person_are_told_together() {
        let mut presence = Presence::default();
        presence.enter(1, "s1", &person("ann", "7", &[], false), "desktop", 0);
        assert!(presence.due(10_000).is_empty(), "coming is told by itself");
        let looking = |board: &str| Some(Looking { board: board.into(), name: None, open: true });
        presence.look(1, looking("5").as_ref(), 10_000);
        presence.look(1, looking("6").as_ref(), 10_400);
        presence.look(1, looking("6").as_ref(), 10_450);
        assert!(presence.due(10_499).is_empty());
        assert_eq!(presence.due(10_500), [ann()]);
        assert!(presence.due(20_000).is_empty());
        presence.look(1, looking("6").as_ref(), 20_000);
        assert!(presence.due(30_000).is_empty(), "nothing changed");
    }

    #[test]
    fn devices_are_known_by_what_their_browsers_say() {
        for (agent, kind) in [
            ("Mozilla/5.0 (X11; Linux x86_64)", "desktop"),
            ("Mozilla/5.0 (iPhone; CPU iPhone OS 18) Mobile/15E148", "mobile"),
            ("Mozilla/5.0 (Linux; Android 15; Pixel) Mobile", "mobile"),
            ("Mozilla/5.0 (Linux; Android 15; SM-X910)", "tablet"),
            ("Mozilla/5.0 (iPad; CPU OS 18)", "tablet"),
            ("", "desktop"),
        ] {
            assert_eq!(device_kind(agent), kind, "{agent}");
        }
    }
}
