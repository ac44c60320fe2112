//! Several offices: each is told what the others' people do, and nobody is taken for gone who is somewhere.

use super::super::offices::Letter;
use super::*;

/// Hands everything that one office passed on to the other.
fn carry(from: &mut Town, name: &str, to: &mut Town) {
    for word in std::mem::take(&mut from.passed) {
        let message = Letter::message(name, word).unwrap();
        let letter = Letter::read(&message.body).unwrap();
        hear(to, letter);
    }
}

fn hear(town: &mut Town, letter: Letter) {
    let rules = |board: &str| town.rules.borrow().get(board).cloned();
    let todo = town.forum.hear_office(letter, &rules, town.now_ms);
    town.act(todo);
}

#[test]
fn what_comes_from_other_offices_goes_by_the_boards_rule_too() {
    let (mut one, mut two) = (town(), Town::new());
    two.comes(1, person("cyd", "7", &["clerk"], false));
    let (mayors, clerks) = (
        r#"{"communityId":"7","allowedRoles":["mayor"]}"#,
        r#"{"communityId":"7","allowedRoles":["clerk"]}"#,
    );
    for (name, said) in
        [("typing", json!({ "boardId": 6, "isTyping": true })), ("board:settingsChanged", json!(6))]
    {
        two.says(1, "joinBoard", json!(6));
        one.passed.clear();
        two.quiet();
        // The bus says so to whoever asks; nobody at the second office has asked yet.
        two.rule("6", mayors);
        one.says(3, name, said);
        carry(&mut one, "one", &mut two);
        assert!(!two.rooms[&1].contains("board:6"), "{name}");
        assert!(two.heard(1).contains("error") && two.last(1, "userTyping").is_null());
        two.rule("6", clerks);
        two.later(1_000);
    }
}

#[test]
fn an_office_that_falls_silent_or_starts_again_takes_its_people_with_it() {
    let (mut one, mut two) = (Town::new(), Town::new());
    one.comes(1, person("ann", "7", &[], false));
    one.comes(2, person("bob", "7", &[], false));
    two.comes(1, person("cyd", "7", &[], false));
    carry(&mut one, "one", &mut two);
    assert_eq!(two.heard(1), "userOnline globalPresenceSync userOnline userOnline");
    // It started again, and only one of them is back: a round says so.
    let mut again = Town::new();
    again.now_ms += 5_000;
    two.now_ms += 5_000;
    again.comes(1, person("bob", "7", &[], false));
    let todo = again.forum.meet_offices(again.now_ms);
    again.act(todo);
    carry(&mut again, "one", &mut two);
    assert_eq!(two.last(1, "userOffline"), json!({ "userId": "ann" }));
    assert_eq!(two.heard(1).matches("userOffline").count(), 1);
    two.later(1_000);
    two.quiet();
    // It says that somebody is there again and again; then nothing more.
    for _ in 0..3 {
        again.later(160_000);
        two.later(160_000);
        carry(&mut again, "one", &mut two);
    }
    assert_eq!(two.heard(1), "");
    two.later(310_000);
    assert_eq!(two.last(1, "userOffline"), json!({ "userId": "bob" }));
}

#[test]
fn what_an_office_may_not_say_is_not_said() {
    let mut two = Town::new();
    two.comes(1, person("cyd", "7", &[], true));
    two.says(1, "joinBoard", json!(5));
    two.quiet();
    for (room, event) in [
        ("community:7", "userTyping"),
        ("community:7:admins", "typing:start"),
        ("board:5", "newPost"),
        ("board:5", "auth:expired"),
    ] {
        let letter = json!({ "office": "x", "said": { "to": [room], "event": event, "body": {} } });
        let letter = Letter::read(letter.to_string().as_bytes()).unwrap();
        hear(&mut two, letter);
    }
    assert_eq!(two.heard(1), "");
    for rubbish in
        ["", "null", "{}", r#"{"office":"x"}"#, r#"{"office":"","ask":true}"#, r#"{"office":"x","told":{}}"#]
    {
        assert!(Letter::read(rubbish.as_bytes()).is_none(), "{rubbish}");
    }
}
