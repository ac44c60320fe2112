//! Several offices: each is told what the others' people do, and nobody is taken for gone who is somewhere.

use super::super::offices::Letter;
use super::*;

/// Hands everything that one office passed on to the other.
fn carry(from: &mut Town, name: &str, to: &mut Town) {
    for word in std::mem::take(&mut from.passed) {
        let message = Letter::message(name, word).unwrap();
        let letter = Letter::read(&message.body).unwrap();
        let todo = to.forum.hear_office(letter, to.now_ms);
        to.act(todo);
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
        let todo = two.forum.hear_office(letter, two.now_ms);
        two.act(todo);
    }
    assert_eq!(two.heard(1), "");
    for rubbish in
        ["", "null", "{}", r#"{"office":"x"}"#, r#"{"office":"","ask":true}"#, r#"{"office":"x","told":{}}"#]
    {
        assert!(Letter::read(rubbish.as_bytes()).is_none(), "{rubbish}");
    }
}
