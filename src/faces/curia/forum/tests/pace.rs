//! How much of one thing is heard, and how often the same is told.

use super::*;

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
    let asked = |name: &str, first: Value| {
        let asks = town.forum.asks(1, &said::read(name, Some(&first)).unwrap().1, town.now_ms);
        (asks.kinds.len(), asks.board)
    };
    assert_eq!(asked("joinBoard", json!(5)), (0, None), "what is refused here asks nobody");
    assert_eq!(asked("typing", json!({ "boardId": 6, "isTyping": true })), (1, Some("6".into())));
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

/// Who was shown voting, and the count that was told with it.
fn told(town: &mut Town) -> Vec<(String, u64)> {
    let heard = std::mem::take(town.heard.entry(2).or_default());
    let votes = heard.into_iter().filter(|(event, _)| event == "voteUpdate");
    votes
        .map(|(_, vote)| (vote["userIdVoted"].as_str().unwrap().into(), vote["newCount"].as_u64().unwrap()))
        .collect()
}

fn vote(town: &mut Town, voter: &str, count: u64) {
    let vote =
        json!({ "communityId": "7", "board_id": 5, "postId": 9, "newCount": count, "userIdVoted": voter });
    town.publishes("voteUpdate", vote);
}

#[test]
fn the_count_that_is_told_last_is_the_one_that_was_said_last() {
    let mut town = town();
    for (voter, count) in [("x", 1), ("x", 0), ("y", 1)] {
        vote(&mut town, voter, count);
    }
    assert_eq!(told(&mut town), [("x".into(), 1)], "the first at once");
    town.later(300);
    assert_eq!(told(&mut town), [("x".into(), 0), ("y".into(), 1)], "nobody's vote is left out");
    for count in 2..=20 {
        vote(&mut town, "x", count);
    }
    town.publishes(
        "post:voteAdded",
        json!({ "boardId": 5, "postId": 9, "newCount": 21, "userIdVoted": "z" }),
    );
    town.later(300);
    assert_eq!(told(&mut town), [("x".into(), 20), ("z".into(), 21)], "whatever event it came by");
    town.later(1_000);
    assert!(told(&mut town).is_empty());
}

#[test]
fn votes_that_wait_are_told_when_the_forum_ends() {
    let mut town = town();
    vote(&mut town, "x", 1);
    vote(&mut town, "y", 2);
    let todo = town.forum.end();
    town.act(todo);
    assert_eq!(told(&mut town), [("x".into(), 1), ("y".into(), 2)]);
}

#[test]
fn a_vote_that_is_said_in_several_rooms_is_told_in_each() {
    let mut town = town();
    for room in ["community:7", "community:8", "community:9"] {
        let vote =
            RawValue::from_string(r#"{"postId":9,"newCount":1,"userIdVoted":"x"}"#.to_owned()).unwrap();
        let vote = Publication::new(Some(room), "voteUpdate", vote).unwrap();
        let todo = town.forum.publish(vote, Facts::default(), None, town.now_ms).unwrap();
        town.act(todo);
    }
    town.later(300);
    assert_eq!([2, 4, 5].map(|seat| town.heard(seat)), ["voteUpdate"; 3]);
}
