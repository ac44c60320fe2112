//! Two offices behind one Redis, and the forum's application beside them: one forum, as far as the design's keys define it.

use std::time::Duration;

use redis::AsyncCommands;
use redis::aio::MultiplexedConnection;
use serde_json::{Value, json};

use super::people::{Town, config};
use crate::harness::redis::RedisServer;

/// An office behind this Redis.
async fn office(redis: &RedisServer, events_per_minute: u32) -> Town {
    let (folder, mut config) = config();
    config.central = Some(redis.url().parse().unwrap());
    config.curia.events_per_minute = events_per_minute;
    let town = Town::start_with((folder, config)).await;
    let mut state = town.office.handle().bus().state();
    let found = tokio::time::timeout(Duration::from_secs(10), state.wait_for(|state| state.up)).await;
    drop(found.expect("Redis is reached").unwrap());
    town
}

/// The design's permission cache, as its application writes it.
async fn permits(line: &mut MultiplexedConnection, board: u64, roles: &str) {
    let rule = [("allowedRoles", roles), ("isPublic", if roles == "[]" { "true" } else { "false" })];
    line.hset_multiple::<_, _, _, ()>(format!("board_permissions:{board}"), &rule).await.unwrap();
}

/// Waits until a question to Redis has this answer.
async fn becomes<T: PartialEq + std::fmt::Debug>(wanted: T, mut ask: impl AsyncFnMut() -> T) {
    for _ in 0..250 {
        if ask().await == wanted {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(ask().await, wanted);
}

async fn members(line: &mut MultiplexedConnection, key: &str) -> Vec<String> {
    let mut members: Vec<String> = line.smembers(key).await.unwrap();
    members.sort_unstable();
    members
}

fn person(name: &str) -> Value {
    json!({ "sub": name, "uid": name, "cid": "7", "roles": ["clerk"] })
}

#[tokio::test]
async fn boards_rates_and_events_are_the_same_at_every_office() {
    let Some(redis) = RedisServer::start(None).await else { return };
    let (mut one, mut two) = (office(&redis, 10).await, office(&redis, 10).await);
    let mut line = redis.connect().await;
    permits(&mut line, 5, "[]").await;
    permits(&mut line, 6, r#"["clerk"]"#).await;
    one.open("ann", person("ann")).await;
    two.open("bob", person("bob")).await;
    for (town, name) in [(&mut one, "ann"), (&mut two, "bob")] {
        town.say(name, "joinBoard", json!([5])).await;
        town.say(name, "joinBoard", json!([6])).await;
        town.hears(name, &json!(["boardJoined", { "boardId": 6 }])).await;
    }
    becomes(vec!["ann".to_owned(), "bob".to_owned()], async || members(&mut line, "board_users:6").await)
        .await;
    becomes(Some("6".to_owned()), async || line.get("user_current_board:bob").await.unwrap()).await;
    becomes(Some(r#"["5","6"]"#.to_owned()), async || line.get("user_boards:ann").await.unwrap()).await;
    let session: String = line.get("user_session:ann").await.unwrap();
    assert!(session.contains("\"communityId\":\"7\"") && session.contains("socketId"), "{session}");
    for (key, most_s) in [
        ("user_session:ann", 300),
        ("user_boards:ann", 600),
        ("user_current_board:ann", 1_800),
        ("rate_limit:ann:board:join", 60),
    ] {
        let left: i64 = line.ttl(key).await.unwrap();
        assert!((most_s - 30..=most_s).contains(&left), "{key} lives {left} s");
    }
    one.forget().await;
    two.forget().await;

    // What is said on the bus, and what is said to one office, is heard at both, once.
    let post = |id: u64| json!({ "communityId": "7", "board_id": 6, "id": id });
    let emit = json!({ "room": "community:7", "event": "newPost", "payload": post(1) }).to_string();
    redis.publish("curia/emit", emit.as_bytes()).await;
    one.emit(json!({ "room": "community:7", "event": "newPost", "payload": post(2) })).await;
    one.marker("7").await;
    for (town, name) in [(&mut one, "ann"), (&mut two, "bob")] {
        town.hears_named(name, "marker").await;
        let mut heard = town.heard(name).await;
        heard.retain(|event| !event.starts_with("user"));
        assert_eq!(heard, ["newPost", "newPost", "marker"], "{name}");
    }

    // A rule that the application changes counts at both; one that an office is told is written as the design says.
    permits(&mut line, 6, r#"["mayor"]"#).await;
    one.emit(json!({ "room": "board:6", "event": "postLockApplied", "payload": { "postId": 1 } })).await;
    for (town, name) in [(&mut one, "ann"), (&mut two, "bob")] {
        town.hears_named(name, "error").await;
        assert!(!town.heard(name).await.contains(&"postLockApplied".to_owned()), "{name} is out");
    }
    becomes(Vec::<String>::new(), async || members(&mut line, "board_users:6").await).await;
    let settings = json!({ "boardId": 6, "settings": { "permissions": { "allowedRoles": ["clerk"] } } });
    one.emit(json!({ "room": "board:6", "event": "board:settingsChanged", "payload": settings })).await;
    two.hears("bob", &json!(["boardJoined", { "boardId": 6 }])).await;
    let rule: (String, String) =
        line.hmget("board_permissions:6", &["allowedRoles", "isPublic"]).await.unwrap();
    assert_eq!(rule, (r#"["clerk"]"#.to_owned(), "false".to_owned()));

    // Ten of a kind in a minute, wherever they are said.
    two.open("ann", person("ann")).await;
    for _ in 0..4 {
        one.say("ann", "joinBoard", json!([5])).await;
        two.say("ann", "joinBoard", json!([5])).await;
    }
    becomes(Some(10), async || line.get("rate_limit:ann:board:join").await.unwrap()).await;
    one.say("ann", "joinBoard", json!([5])).await;
    one.hears("ann", &json!(["error", { "message": "Too many requests" }])).await;
}

fn of(state: &Value, event: &str, user: &str) -> Vec<Value> {
    let all = state["heard"].as_array().unwrap().iter().filter(|heard| heard[0] == event);
    let about = |news: &Value| news["userId"] == user || news["userPresence"]["userId"] == user;
    all.map(|heard| heard[1].clone()).filter(about).collect()
}

#[tokio::test]
async fn people_are_seen_at_every_office_and_in_their_own_community_only() {
    let Some(mut redis) = RedisServer::start(None).await else { return };
    let (mut one, mut two) = (office(&redis, 1_000).await, office(&redis, 1_000).await);
    let mut line = redis.connect().await;
    permits(&mut line, 5, "[]").await;
    two.open("bob", person("bob")).await;
    two.say("bob", "joinBoard", json!([5])).await;
    two.hears_named("bob", "boardJoined").await;
    two.open("cyd", person("cyd")).await;
    two.say("cyd", "user:online", json!([])).await; // speaks as the design does
    two.open("eve", json!({ "sub": "eve", "uid": "eve", "cid": "9" })).await;
    two.forget().await;

    one.open("ann", person("ann")).await;
    two.node.until("bob", "told", |state| of(state, "userOnline", "ann").len() == 1).await;
    two.node.until("cyd", "told", |state| of(state, "user:online", "ann").len() == 1).await;
    let known = one.hears_named("ann", "globalPresenceSync").await;
    let mut names: Vec<_> =
        known.as_array().unwrap().iter().map(|one| one["userId"].as_str().unwrap()).collect();
    names.sort_unstable();
    // Who comes first at an office learns of the others a moment later, by their word.
    let later =
        |state: &Value| of(state, "userOnline", "bob").len() + of(state, "userOnline", "cyd").len() >= 2;
    if names != ["ann", "bob", "cyd"] {
        one.node.until("ann", "told of the others", later).await;
    }

    // A second device, at the other office; then each leaves.
    two.open("phone", json!({ "sub": "ann", "uid": "phone", "cid": "7" })).await;
    let both = |state: &Value, event: &str| {
        of(state, event, "ann").last().is_some_and(|news| news["userPresence"]["totalDevices"] == 2)
    };
    two.node.until("bob", "told of two devices", |state| both(state, "userOnline")).await;
    one.node.until("ann", "told of two devices", |state| both(state, "userOnline")).await;
    one.say("ann", "joinBoard", json!([5])).await;
    one.hears_named("ann", "boardJoined").await;
    one.say("ann", "typing", json!([{ "boardId": 5, "postId": 9, "isTyping": true }])).await;
    two.node.until("bob", "told", |state| !of(state, "userTyping", "ann").is_empty()).await;
    one.node.order("close", "ann").await;
    let left = |state: &Value| {
        of(state, "userPresenceUpdate", "ann")
            .last()
            .is_some_and(|news| news["userPresence"]["totalDevices"] == 1)
    };
    two.node.until("bob", "told of one device", left).await;
    assert!(of(&two.node.state("bob").await, "userOffline", "ann").is_empty(), "still there with the phone");
    one.open("dan", person("dan")).await;
    two.node.order("close", "phone").await;
    two.node.until("bob", "told", |state| of(state, "userOffline", "ann").len() == 1).await;
    two.node.until("cyd", "told", |state| of(state, "user:offline", "ann").len() == 1).await;
    one.node.until("dan", "told", |state| of(state, "userOffline", "ann").len() == 1).await;

    // What was lost while Redis was away is made good when it is back.
    two.node.until("bob", "told", |state| of(state, "userOnline", "dan").len() == 1).await;
    redis.kill();
    let mut state = one.office.handle().bus().state();
    drop(state.wait_for(|state| !state.up).await.unwrap());
    one.node.order("close", "dan").await;
    one.open("fay", person("fay")).await;
    redis.start_again().await;
    two.node.until("bob", "told", |state| of(state, "userOffline", "dan").len() == 1).await;
    two.node.until("bob", "told", |state| of(state, "userOnline", "fay").len() == 1).await;
    let heard = two.heard("eve").await;
    assert!(heard.iter().all(|event| !event.starts_with("user")), "another community: {heard:?}");
}

#[tokio::test]
async fn a_board_that_people_sit_on_stays_as_it_is_while_nobody_can_tell_its_rule() {
    let Some(mut redis) = RedisServer::start(None).await else { return };
    let mut town = office(&redis, 1_000).await;
    let mut line = redis.connect().await;
    permits(&mut line, 6, r#"["clerk"]"#).await;
    for name in ["ann", "bob"] {
        town.open(name, person(name)).await;
    }
    town.open("cyd", json!({ "sub": "cyd", "uid": "cyd", "cid": "7" })).await;
    town.say("ann", "joinBoard", json!([6])).await;
    town.hears_named("ann", "boardJoined").await;
    redis.kill();
    let bus = town.office.handle().bus().clone();
    drop(bus.state().wait_for(|state| !state.up).await.unwrap());
    // As when it has been away for longer than what it said is kept.
    bus.delete("shared/board_permissions:6").unwrap();
    town.say("bob", "joinBoard", json!([6])).await;
    town.say("cyd", "joinBoard", json!([6])).await;
    town.hears("bob", &json!(["boardJoined", { "boardId": 6 }])).await;
    town.hears("cyd", &json!(["error", { "message": "Access denied: insufficient permissions" }])).await;
    assert!(!town.heard("ann").await.contains(&"error".to_owned()));
}
