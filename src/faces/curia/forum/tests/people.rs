//! People: writing, coming and going, as others are shown it.

use super::*;

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
fn who_types_on_is_shown_so_as_long_as_pages_remember() {
    let mut town = town();
    town.says(3, "joinBoard", json!(6));
    town.comes(7, person("pia", "7", &["clerk"], false));
    town.says(7, "board:join", json!(6));
    town.later(1_000);
    town.quiet();
    for second in 0..4 {
        let stamp = if second == 0 { Value::Null } else { town.last(3, "userTyping")["timestamp"].clone() };
        town.says(1, "typing", json!({ "boardId": 6, "isTyping": true }));
        assert_ne!(town.last(3, "userTyping")["timestamp"], stamp, "each time it says so");
        town.later(8_000);
    }
    let heard = town.heard(3);
    assert_eq!((heard.matches("userTyping").count(), heard.matches("userPresenceUpdate").count()), (4, 4));
    assert_eq!(town.heard(7), "typing:start", "who is told of the end waits for it");
}

#[test]
fn who_is_put_out_before_its_typing_was_shown_is_never_shown_typing() {
    let mut town = town();
    town.says(1, "joinBoard", json!(6));
    for on in [true, false] {
        town.says(1, "typing", json!({ "boardId": 5, "isTyping": on }));
    }
    town.says(1, "typing", json!({ "boardId": 6, "isTyping": true }));
    town.says(3, "joinBoard", json!(6));
    town.rule("6", r#"{"communityId":"7","allowedRoles":["mayor"]}"#);
    town.publishes("board:settingsChanged", json!({ "boardId": 6 }));
    town.quiet();
    town.later(1_000);
    assert!(!town.heard(3).contains("userTyping"));
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
fn a_persons_keys_stay_while_she_is_in_another_community() {
    let mut town = town();
    town.comes(6, person("ann", "8", &[], false));
    town.says(6, "joinBoard", json!(5));
    town.rule("8", r#"{"communityId":"8"}"#);
    town.says(6, "joinBoard", json!(8));
    town.says(1, "joinBoard", json!(6));
    town.goes(1);
    let session: Value = serde_json::from_str(&town.keys["user_session:ann"]).unwrap();
    assert_eq!((&session["communityId"], &session["socketId"]), (&json!("8"), &json!("s6")));
    assert_eq!(town.keys["user_current_board:ann"], "8");
    town.goes(6);
    assert!(!town.keys.contains_key("user_session:ann") && !town.keys.contains_key("user_current_board:ann"));
}
