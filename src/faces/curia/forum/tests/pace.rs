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
