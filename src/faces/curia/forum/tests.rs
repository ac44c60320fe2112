//! A small town: every promise as who heard what, and who did not.

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
    keys: BTreeMap<String, Value>,
    counted: Vec<&'static str>,
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
        let rule = board.as_ref().and_then(|board| self.rules.borrow().get(board).cloned());
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
                Do::Key(key, Some((value, _))) => {
                    self.keys.insert(key, value);
                }
                Do::Key(key, None) => {
                    self.keys.remove(&key);
                }
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

#[test]
fn boards_open_to_whom_they_are_for() {
    let mut town = town();
    for (seat, board, told, what) in [
        (1, json!(6), "boardJoined", json!({ "boardId": 6 })),
        (2, json!("5"), "boardJoined", json!({ "boardId": 5 })),
        (2, json!(6), "error", json!({ "message": "Access denied: insufficient permissions" })),
        (3, json!(6), "boardJoined", json!({ "boardId": 6 })),
        (4, json!(6), "error", json!({ "message": "Access denied: board not accessible" })),
        (4, json!(77), "error", json!({ "message": "Board not found" })),
        (4, json!(null), "error", json!({ "message": "Invalid board ID" })),
        (4, json!({}), "error", json!({ "message": "Invalid board ID" })),
    ] {
        town.says(seat, "joinBoard", board.clone());
        assert_eq!(town.last(seat, told), what, "{seat} {board}");
        assert!(town.heard(seat).starts_with(told));
    }
    town.comes(6, person("tom", "", &["clerk"], true));
    town.says(6, "joinBoard", json!(5));
    assert_eq!(town.last(6, "error"), json!({ "message": "Access denied: invalid user community" }));
    assert_eq!(town.keys["board_users:6"], json!(["adm", "ann"]));
    assert_eq!(town.keys["user_current_board:ann"], json!("6"));
    assert_eq!(town.keys["user_boards:bob"], json!(["5"]));
    assert_eq!(town.keys["rate_limit:bob:board:join"], json!(2));
    assert_eq!(town.keys["user_session:ann"]["socketId"], "s1");
    town.says(1, "leaveBoard", json!(null));
    town.says(1, "leaveBoard", json!(6));
    assert_eq!(town.keys["board_users:6"], json!(["adm"]));
    assert!(!town.keys.contains_key("user_current_board:ann"));
}

#[test]
fn nobody_hears_of_a_board_that_is_closed_to_him() {
    let mut town = town();
    town.publishes("newPost", json!({ "communityId": "7", "board_id": 6, "id": 9, "title": "secret" }));
    assert_eq!([1, 2, 3, 4, 5].map(|seat| town.heard(seat)), ["newPost", "", "newPost", "", ""]);
    town.publishes("newPost", json!({ "communityId": "7", "board_id": 5, "id": 8 }));
    assert_eq!(
        [1, 2, 3, 4, 5].map(|seat| town.heard(seat)),
        ["newPost", "newPost", "newPost", "newPost", ""]
    );
    town.publishes("newPost", json!({ "communityId": "7", "board_id": 99, "id": 7 }));
    assert_eq!(
        [1, 2, 3, 4, 5].map(|seat| town.heard(seat)),
        ["", "", "newPost", "", ""],
        "not known is closed"
    );
}

#[test]
fn a_socket_in_two_rooms_hears_once() {
    let mut town = town();
    town.rule("5", r#"{"communityId":"7","importedBy":["8"]}"#);
    town.says(1, "joinBoard", json!(5));
    town.says(4, "joinBoard", json!(5));
    town.later(1_000);
    town.quiet();
    town.publishes("commentReactionUpdate", json!({ "communityId": "7", "board_id": 5, "commentId": 1 }));
    assert_eq!(town.last(4, "commentReactionUpdate")["isCrossCommunityNotification"], true);
    assert_eq!([1, 2, 3, 4].map(|seat| town.heard(seat)), ["commentReactionUpdate"; 4]);
}

#[test]
fn changed_settings_move_people_at_once() {
    let mut town = town();
    town.says(1, "joinBoard", json!(6));
    town.says(2, "joinBoard", json!(6));
    town.says(1, "typing", json!({ "boardId": 6, "isTyping": true }));
    town.quiet();
    town.rule("6", r#"{"communityId":"7","allowedRoles":["mayor"]}"#);
    town.publishes("board:settingsChanged", json!({ "boardId": 6, "settings": {} }));
    assert_eq!(town.heard(1), "error", "out, told why, and it does not hear the news of the board");
    assert_eq!(town.heard(3), "boardSettingsChanged");
    town.publishes("commentReactionUpdate", json!({ "communityId": "7", "board_id": 6 }));
    assert_eq!((town.heard(1), town.heard(2)), (String::new(), String::new()));
    town.rule("6", r#"{"communityId":"7"}"#);
    town.publishes("board:settingsChanged", json!({ "boardId": 6 }));
    for seat in [1, 2] {
        assert!(town.heard(seat).starts_with("boardJoined"), "both asked for it, and both are in");
    }
    town.rule("6", r#"{"communityId":"7","allowedRoles":["clerk"]}"#);
    town.says(3, "board:settingsChanged", json!({ "boardId": 6 }));
    assert!(town.heard(2).contains("error"), "an administrator's word makes the rule count");
    let before = town.heard(1);
    town.says(2, "board:settingsChanged", json!({ "boardId": 6 }));
    assert!(town.heard(2).contains("error") && !before.contains("error"));
}

#[test]
fn a_rule_that_changed_without_a_word_counts_before_the_next_message() {
    let mut town = town();
    town.says(1, "joinBoard", json!(6));
    town.later(1_000);
    town.quiet();
    town.rule("6", r#"{"communityId":"7","allowedRoles":["mayor"]}"#);
    town.publishes("postLockApplied", json!({ "boardId": 6, "postId": 9 }));
    assert_eq!(town.heard(1), "error");
}

#[test]
fn who_speaks_as_the_design_does_hears_it_so() {
    let mut town = town();
    town.says(1, "board:join", json!(6));
    assert_eq!(town.heard(1), "board:joined");
    town.says(3, "board:join", json!({ "boardId": "6" }));
    assert_eq!((town.heard(1), town.heard(3)), ("user:joinedBoard".into(), "board:joined".into()));
    town.says(2, "board:join", json!(6));
    assert_eq!(town.last(2, "error"), json!({ "message": "Access denied to board" }));
    town.quiet();
    let comment = json!({ "id": 1, "board_id": 6, "post_id": 9, "author_user_id": "x" });
    for (event, payload, published) in [
        ("newPost", json!({ "communityId": "7", "board_id": 6, "id": 9 }), "board:newPost"),
        (
            "voteUpdate",
            json!({ "communityId": "7", "board_id": 6, "postId": 9, "newCount": 1 }),
            "post:voteChanged",
        ),
        ("newComment", json!({ "communityId": "7", "board_id": 6, "postId": 9, "comment": comment }), ""),
        (
            "post:voteAdded",
            json!({ "boardId": 6, "postId": 9, "newCount": 2 }),
            "post:voteAdded post:voteChanged",
        ),
        ("post:commentDeleted", json!({ "postId": 9, "commentId": 1 }), ""),
    ] {
        town.publishes(event, payload);
        assert_eq!(town.heard(1), published, "{event}");
        assert_eq!(town.heard(2), "", "{event}");
    }
    town.says(1, "post:join", json!(9));
    town.says(1, "post:join", json!({ "postId": 9, "boardId": 5 }));
    town.quiet();
    town.publishes("post:newComment", json!({ "postId": 9, "comment": comment, "author": {} }));
    town.publishes("post:commentDeleted", json!({ "postId": 9, "commentId": 1 }));
    assert_eq!(town.heard(1), "post:newComment post:commentDeleted", "the board of a post is known by now");
    assert_eq!(town.heard(3), "", "the board is not the post");
    town.says(3, "post:join", json!({ "postId": 9, "boardId": 5 }));
    town.quiet();
    town.publishes("post:newComment", json!({ "postId": 9, "comment": comment, "author": {} }));
    assert_eq!(town.heard(3), "", "a post claimed for another board is silent");
    town.says(1, "post:leave", json!(9));
    town.publishes("post:commentDeleted", json!({ "postId": 9, "commentId": 1 }));
    assert_eq!(town.heard(1), "post:newComment");
}

#[test]
fn writing_is_shown_to_those_on_the_board_and_to_nobody_else() {
    let mut town = town();
    for seat in [1, 3] {
        town.says(seat, "joinBoard", json!(6));
    }
    town.comes(7, person("pia", "7", &["clerk"], false));
    town.says(7, "board:join", json!(6));
    town.says(7, "post:join", json!(9));
    town.later(1_000);
    town.quiet();
    town.says(1, "typing", json!({ "boardId": 6, "postId": 9, "isTyping": true }));
    let told = town.last(3, "userTyping");
    assert_eq!(
        (&told["userId"], &told["isTyping"], &told["postId"]),
        (&json!("ann"), &json!(true), &json!(9))
    );
    assert_eq!([1, 2, 3, 4].map(|seat| town.heard(seat)), ["", "", "userTyping", ""]);
    assert_eq!(town.last(7, "typing:start"), json!({ "userId": "ann", "userName": "ANN" }));
    for _ in 0..20 {
        town.says(1, "typing", json!({ "boardId": 6, "postId": 9, "isTyping": true }));
    }
    assert!(!town.heard(3).contains("userTyping"), "said again is not told again, nor counted");
    town.later(15_200);
    assert_eq!(town.last(3, "userTyping")["isTyping"], false, "nothing more was said");
    assert_eq!(town.last(7, "typing:stop"), json!({ "userId": "ann" }));
    town.quiet();
    town.says(2, "typing", json!({ "boardId": 6, "isTyping": true }));
    assert_eq!(
        (town.heard(2), town.heard(3)),
        ("error".into(), String::new()),
        "not on a board that is closed"
    );
    for nothing in
        [json!(null), json!([]), json!({ "boardId": null, "isTyping": true }), json!({ "boardId": 6 })]
    {
        town.says(2, "typing", nothing);
    }
    assert_eq!(town.heard(2), "");
    town.says(1, "typing", json!({ "boardId": 6, "isTyping": true }));
    town.later(600);
    town.quiet();
    town.goes(1);
    assert_eq!(town.last(3, "userTyping")["isTyping"], false, "a lost connection stops writing");
}

#[test]
fn people_come_and_go_in_their_own_community_only() {
    let mut town = town();
    town.says(3, "user:online", json!(null));
    let mut phone = person("ann", "7", &["clerk"], false);
    phone.device = Some("phone".into());
    town.comes(6, phone);
    let devices = town.last(2, "userOnline")["userPresence"]["devices"].clone();
    assert_eq!(devices.as_array().unwrap().len(), 2, "both devices of one person");
    let sync = town.last(6, "globalPresenceSync");
    assert_eq!(sync.as_array().unwrap().len(), 3, "ann, bob and the administrator: nobody of elsewhere");
    town.comes(8, person("new", "7", &[], false));
    assert_eq!(town.last(3, "user:online"), json!({ "userId": "new", "boardId": null }));
    assert_eq!(town.heard(4) + &town.heard(5), "", "neither partners nor others");
    town.goes(6);
    town.later(600);
    assert_eq!(town.last(2, "userPresenceUpdate")["userPresence"]["totalDevices"], 1);
    town.quiet();
    town.goes(1);
    assert_eq!(town.last(2, "userOffline"), json!({ "userId": "ann" }));
    assert_eq!(town.last(3, "user:offline"), json!({ "userId": "ann" }));
    assert_eq!((town.heard(3), town.heard(4) + &town.heard(5)), ("user:offline".into(), String::new()));
    assert!(!town.keys.contains_key("user_session:ann"));
}

#[test]
fn a_board_that_is_closed_to_some_is_not_shown_in_presence() {
    let mut town = town();
    town.says(1, "joinBoard", json!(6));
    town.later(600);
    let device = town.last(2, "userPresenceUpdate")["userPresence"]["primaryDevice"].clone();
    assert_eq!((device.get("currentBoardId"), device["userId"].as_str()), (None, Some("ann")));
    town.says(1, "joinBoard", json!(5));
    town.later(600);
    let device = town.last(2, "userPresenceUpdate")["userPresence"]["primaryDevice"].clone();
    assert_eq!(device["currentBoardId"], 5);
}

#[test]
fn ten_of_a_kind_in_a_minute_and_thirty_news_of_presence() {
    let mut town = town();
    for n in 1..=12 {
        town.says(1, "joinBoard", json!(5));
        let told = town.heard(1);
        assert_eq!(told.contains("boardJoined"), n <= 10, "{n}: {told}");
    }
    town.says(1, "leaveBoard", json!(5));
    town.says(1, "typing", json!({ "boardId": 5, "isTyping": true }));
    assert!(town.heard(2).is_empty() && town.counted.contains(&"curia_rate_limit"));
    town.later(60_000);
    town.says(1, "joinBoard", json!(5));
    assert!(town.heard(1).contains("boardJoined"), "a new minute");

    let mut town = Town::with(Pace { events: 1_000, presence: 30 });
    town.comes(1, person("ann", "7", &[], false));
    town.comes(2, person("bob", "7", &[], false));
    town.quiet();
    for n in 0..31 {
        let event = if n % 2 == 0 { "joinBoard" } else { "leaveBoard" };
        town.says(1, event, json!(5));
        town.later(600);
    }
    let news = town.heard(2);
    assert_eq!(news.matches("userPresenceUpdate").count(), 30, "the 31st is dropped");
    assert!(town.counted.contains(&"curia_presence_limit"));
}

#[test]
fn votes_of_one_kind_are_told_together_and_the_last_count_arrives() {
    let mut town = town();
    let about = json!({ "communityId": "7", "board_id": 5, "postId": 9 });
    let vote = |count: u64, voter: &str| {
        let mut vote = about.clone();
        vote["newCount"] = count.into();
        vote["userIdVoted"] = voter.into();
        vote
    };
    for count in 1..=20 {
        town.publishes("voteUpdate", vote(count % 2, "x"));
    }
    town.publishes("voteUpdate", vote(7, "y"));
    assert_eq!(town.heard(2), "voteUpdate voteUpdate", "the first of each voter at once");
    town.later(300);
    assert_eq!(town.last(2, "voteUpdate")["newCount"], 0);
    assert_eq!(town.heard(2), "voteUpdate");
    town.later(1_000);
    assert_eq!(town.heard(2), "");
}

#[test]
fn a_token_that_ends_is_announced_and_its_place_is_kept() {
    let mut town = town();
    let until = |ms: u64| {
        let mut claims = person("tim", "7", &["clerk"], false);
        claims.expires_at_ms = START_MS + ms;
        claims
    };
    town.comes(6, until(90_000));
    town.says(6, "board:join", json!(6));
    town.says(6, "post:join", json!(9));
    town.quiet();
    town.later(29_000);
    assert_eq!(town.heard(6), "");
    town.later(2_000);
    assert_eq!(town.last(6, "auth:expiring")["secondsLeft"], 60);
    town.later(50_000);
    assert_eq!(town.heard(6), "auth:expiring", "once");
    town.later(10_000);
    assert_eq!(town.heard(6), "auth:expired (closed)");
    // A new socket of the same device with a fresh token: its vocabulary and its places are as before.
    town.comes(7, until(999_000));
    let words = Words::Published;
    for room in [words.community("7"), words.role("7", "clerk"), words.board("6"), words.post("6", "9")] {
        assert!(town.rooms[&7].contains(&room), "{room}");
    }
    assert!(!town.rooms[&7].contains(&Words::Deployed.community("7")));
}

#[test]
fn who_takes_a_session_up_again_is_where_it_was_and_may_be() {
    let mut town = town();
    town.goes(1);
    town.comes_back(9, person("ann", "7", &["clerk"], false), &["board:6", "board:6/typing", "board:5"]);
    town.later(1_000);
    town.quiet();
    town.publishes("postLockApplied", json!({ "boardId": 6, "postId": 9 }));
    assert_eq!(town.heard(9), "postLockApplied");
    town.goes(9);
    town.comes_back(10, person("ann", "7", &[], false), &["board:6", "board:6/typing", "board:5"]);
    assert!(
        !town.rooms[&10].iter().any(|room| room.starts_with("board:6")),
        "the role is gone, and the board"
    );
    town.goes(2);
    town.comes_back(11, person("bob", "7", &[], false), &["published/community:7", "published/board:5"]);
    assert!(!town.rooms[&11].contains("community:7") && town.rooms[&11].contains("published/board:5"));
}

#[test]
fn the_time_is_written_as_javascript_writes_it() {
    assert_eq!(iso(1_800_000_000_042), "2027-01-15T08:00:00.042Z");
    assert_eq!(iso(0), "1970-01-01T00:00:00.000Z");
}
