//! Tokens that end, sessions taken up again, and how times are written.

use super::*;

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
fn a_token_ends_once_and_nothing_more_is_heard_of_who_brought_it() {
    let mut town = town();
    let mut claims = person("tim", "7", &["clerk"], false);
    claims.expires_at_ms = START_MS + 90_000;
    town.comes(6, claims);
    let end_ms = START_MS + 90_000;
    let rules = |board: &str| town.rules.borrow().get(board).cloned();
    let join = said::read("joinBoard", Some(&json!(5))).unwrap().1;
    assert!(town.forum.hear(6, Words::Deployed, join.clone(), &rules, end_ms).is_empty(), "not told so yet");
    // Its connection takes its time to end.
    let of_tim = |todo: &[Do]| {
        todo.iter().filter(|one| matches!(one, Do::Tell(6, "auth:expired", _) | Do::Close(6))).count()
    };
    assert_eq!([0, 100, 200].map(|late_ms| of_tim(&town.forum.tick(end_ms + late_ms))), [2, 0, 0]);
    assert!(town.forum.hear(6, Words::Deployed, join, &rules, end_ms + 300).is_empty());
}

#[test]
fn what_was_kept_for_a_fresh_token_is_of_no_use_after_a_session_was_taken_up_again() {
    let mut town = town();
    let until = |ms: u64| Claims { expires_at_ms: START_MS + ms, ..person("tim", "7", &["clerk"], false) };
    town.comes(6, until(10_000));
    town.says(6, "joinBoard", json!(6));
    town.later(11_000);
    town.comes_back(7, until(999_000), &["board:6", "board:6/typing"]);
    town.says(7, "leaveBoard", json!(6));
    town.goes(7);
    town.comes(8, until(999_000));
    assert!(!town.rooms[&8].contains("board:6"), "it had left the board since");
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
