//! The forum's real clients: who gets in, who hears what and, as important, who does not.

mod emitter;
mod expiry;
mod kill;
mod offices;
mod people;
mod tables;

use std::time::Duration;

use serde_json::{Value, json};
use townhall::auth::Role;

use crate::harness::node::Node;
use crate::harness::redis::RedisServer;
use crate::harness::{Office, OfficeProcess};
use people::{SECRET, Town, sign, sign_with, until};

#[tokio::test]
async fn where_no_forum_is_whoever_brings_a_token_is_told_the_same_as_today() {
    let (folder, mut config) = people::config();
    config.curia.jwt_secret = None;
    let mut town = Town::start_with((folder, config)).await;
    let token = sign(json!({ "alg": "HS256" }), &json!({ "sub": "u", "cid": "7", "exp": until(60) }));
    town.open_with("ann", json!({ "auth": { "token": token } })).await;
    let state = town.node.until("ann", "refused", |state| !state["refused"].is_null()).await;
    assert_eq!(state["refused"], "Server configuration error");
}

/// The program that runs today answers so (Curia's `server.ts`).
#[tokio::test]
async fn who_brings_no_good_token_is_told_the_same_as_today() {
    let mut town = Town::start().await;
    let good = json!({ "sub": "u", "cid": "7", "exp": until(60) });
    let header = json!({ "alg": "HS256" });
    let none = {
        let unsigned = sign(json!({ "alg": "none" }), &good);
        format!("{}.", unsigned.rsplit_once('.').unwrap().0)
    };
    for (name, token, told) in [
        ("empty", json!(""), "Authentication token required"),
        ("null", json!(null), "Authentication token required"),
        ("number", json!(7), "Authentication token required"),
        ("rubbish", json!("rubbish"), "Authentication failed"),
        (
            "expired",
            json!(sign(header.clone(), &json!({ "sub": "u", "exp": until(-1) }))),
            "Authentication failed",
        ),
        ("other key", json!(sign_with("another secret", header.clone(), &good)), "Authentication failed"),
        ("none", json!(none), "Authentication failed"),
        ("nobody", json!(sign(header, &json!({ "exp": until(60) }))), "Authentication failed"),
    ] {
        town.open_with(name, json!({ "auth": { "token": token } })).await;
        let state = town.node.until(name, "refused", |state| !state["refused"].is_null()).await;
        assert_eq!(
            (state["refused"].as_str(), state["connected"].as_bool()),
            (Some(told), Some(false)),
            "{name}"
        );
        assert_eq!(state["active"], false, "{name}: it does not try again by itself");
    }
    town.open_with("nothing", json!({ "auth": {} })).await;
    let state = town.node.until("nothing", "refused", |state| !state["refused"].is_null()).await;
    assert_eq!(state["refused"], "Authentication token required");
    let bearer = sign(json!({ "alg": "HS256", "typ": "JWT" }), &good);
    for (name, options) in [
        ("bearer", json!({ "bearer": bearer })),
        ("polling", json!({ "token": bearer, "transports": ["polling"] })),
        ("websocket", json!({ "token": bearer, "transports": ["websocket"] })),
        ("4.0", json!({ "token": bearer, "version": "4.0" })),
    ] {
        town.open_with(name, options).await;
        town.hears_named(name, "globalPresenceSync").await;
        town.hears_named(name, "userOnline").await;
    }
}

/// A whole day of the forum, with what its strict mode asks for.
async fn a_day_in_the_forum(mut town: Town) {
    town.people().await;
    for (who, board, told) in [
        ("member", json!(5), json!(["boardJoined", { "boardId": 5 }])),
        ("clerk", json!("6"), json!(["boardJoined", { "boardId": 6 }])),
        ("admin", json!(6), json!(["boardJoined", { "boardId": 6 }])),
        ("member", json!(6), json!(["error", { "message": "Access denied: insufficient permissions" }])),
        ("partner", json!(6), json!(["error", { "message": "Access denied: board not accessible" }])),
        ("member", json!(77), json!(["error", { "message": "Board not found" }])),
        ("member", json!("seven"), json!(["error", { "message": "Invalid board ID" }])),
    ] {
        town.say(who, "joinBoard", json!([board])).await;
        town.hears(who, &told).await;
        town.forget().await;
    }
    for nothing in
        [json!([null]), json!([]), json!([{}]), json!([[null]]), json!([false]), json!([null, null])]
    {
        for event in
            ["leaveBoard", "typing", "joinBoard", "board:join", "post:join", "typing:start", "toString"]
        {
            if event != "joinBoard" && event != "board:join" {
                town.say("outsider", event, nothing.clone()).await;
            }
        }
    }
    town.say("member", "joinBoard", json!([5])).await;
    town.say("admin", "joinBoard", json!([5])).await;
    town.hears("admin", &json!(["boardJoined", { "boardId": 5 }])).await;
    town.forget().await;
    town.say("member", "typing", json!([{ "boardId": 5, "postId": 9, "isTyping": true }])).await;
    let typing = town.hears_named("admin", "userTyping").await;
    assert_eq!((&typing["userId"], &typing["isTyping"]), (&json!("member"), &json!(true)));

    // The copy for partners has four keys more.
    let post =
        json!({ "communityId": "7", "communityShortId": "town", "pluginId": "p", "id": 9, "board_id": 5 });
    town.emit(json!({ "room": "community:7", "event": "newPost", "payload": post })).await;
    assert_eq!(town.hears_named("member", "newPost").await, post, "as it was published");
    let mut copy = post.clone();
    copy["isCrossCommunityNotification"] = true.into();
    copy["sourceCommunityId"] = "7".into();
    copy["sourceCommunityName"] = "Partner Community".into();
    copy["crossCommunityNav"] = json!({ "communityShortId": "town", "pluginId": "p" });
    assert_eq!(town.hears_named("partner", "newPost").await, copy);

    // A second device of the same person.
    town.open("phone", json!({ "sub": "member", "uid": "phone", "cid": "7" })).await;
    let sync = town.hears_named("phone", "globalPresenceSync").await;
    let sync = sync.as_array().unwrap();
    let mine = sync.iter().find(|person| person["userId"] == "member").unwrap();
    assert_eq!((mine["totalDevices"].as_u64(), mine["devices"].as_array().map(Vec::len)), (Some(2), Some(2)));
    assert!(sync.iter().all(|person| person["communityId"] == "7"), "nobody of elsewhere");
    let told = town.hears_named("clerk", "userOnline").await;
    assert_eq!(told["userPresence"]["totalDevices"], 2);
    town.node.order("close", "phone").await;
    let told = town.hears_named("clerk", "userPresenceUpdate").await;
    assert_eq!(told["communityId"], "7");
    town.node.order("close", "clerk").await;
    assert_eq!(town.hears_named("member", "userOffline").await, json!({ "userId": "clerk" }));
    let partner = town.heard("partner").await;
    assert!(partner.iter().all(|event| !event.starts_with("user")), "presence stays at home: {partner:?}");
}

#[tokio::test]
async fn case_10_without_redis_and_with_it() {
    for redis in RedisServer::without_and_with().await {
        let (folder, mut config) = people::config();
        config.central = redis.as_ref().map(|redis| redis.url().parse().unwrap());
        a_day_in_the_forum(Town::start_with((folder, config)).await).await;
    }
}

#[tokio::test]
async fn settings_move_people_in_and_out_at_once() {
    let mut town = Town::start().await;
    town.people().await;
    for who in ["member", "clerk"] {
        town.say(who, "joinBoard", json!([6])).await;
    }
    town.hears("clerk", &json!(["boardJoined", { "boardId": 6 }])).await;
    town.hears_named("member", "error").await;
    town.forget().await;
    let settings =
        |roles: Value| json!({ "boardId": 6, "settings": { "permissions": { "allowedRoles": roles } } });
    let changed =
        |roles| json!({ "room": "board:6", "event": "board:settingsChanged", "payload": settings(roles) });
    town.emit(changed(json!(["mayor"]))).await;
    let told = json!(["error", { "message": "Access denied: insufficient permissions" }]);
    town.hears("clerk", &told).await;
    town.forget().await;
    let lock = json!({ "postId": 9, "community_id": "7" });
    town.emit(json!({ "room": "board:6", "event": "postLockApplied", "payload": lock })).await;
    town.emit(changed(json!([]))).await;
    for who in ["member", "clerk"] {
        town.hears(who, &json!(["boardJoined", { "boardId": 6 }])).await;
        assert!(!town.heard(who).await.contains(&"postLockApplied".to_owned()), "{who} was out");
    }
    town.emit(json!({ "room": "board:6", "event": "postLockApplied", "payload": lock })).await;
    for who in ["member", "clerk"] {
        assert_eq!(town.hears_named(who, "postLockApplied").await, lock);
    }
}

#[tokio::test]
async fn a_token_that_ends_is_announced_and_a_fresh_one_keeps_the_place() {
    let mut town = Town::start().await;
    town.boards().await;
    let claims = |seconds| json!({ "sub": "tim", "uid": "desk", "cid": "7", "roles": ["clerk"], "exp": until(seconds) });
    town.open_raw("tim", &claims(3)).await;
    town.say("tim", "board:join", json!([6])).await;
    town.hears_named("tim", "board:joined").await;
    let told = town.hears_named("tim", "auth:expiring").await;
    assert!(told["secondsLeft"].as_u64().is_some_and(|left| left <= 3), "{told}");
    let before = town.node.state("tim").await["id"].clone();
    let fresh = sign(json!({ "alg": "HS256" }), &claims(600));
    town.node.tell(json!({ "do": "token", "client": "tim", "token": fresh })).await;
    let state = town.node.until("tim", "back", |state| state["times"] == 2).await;
    town.hears_named("tim", "auth:expired").await;
    assert_eq!((&state["recovered"], &state["id"]), (&json!(true), &before), "the same place");
    town.forget().await;
    let post = json!({ "communityId": "7", "board_id": 6, "id": 1 });
    town.emit(json!({ "event": "newPost", "payload": post })).await;
    town.hears_named("tim", "board:newPost").await;

    // With the old token it stays out, and is told so.
    town.open_raw("tom", &json!({ "sub": "tom", "cid": "7", "exp": until(2) })).await;
    let state = town.node.until("tom", "refused", |state| !state["refused"].is_null()).await;
    assert_eq!((&state["refused"], &state["active"]), (&json!("Authentication failed"), &json!(false)));
}

#[tokio::test]
async fn a_lost_connection_misses_nothing_of_its_boards_and_gets_nothing_of_others() {
    let mut town = Town::start().await;
    town.boards().await;
    town.open("clerk", json!({ "sub": "clerk", "uid": "c", "cid": "7", "roles": ["clerk"] })).await;
    town.say("clerk", "joinBoard", json!([6])).await;
    town.hears_named("clerk", "boardJoined").await;
    let comment = json!({ "communityId": "7", "board_id": 6, "commentId": 1 });
    town.emit(json!({ "event": "commentReactionUpdate", "payload": comment })).await;
    town.hears_named("clerk", "commentReactionUpdate").await;
    town.forget().await;
    town.node.order("cut", "clerk").await;
    for n in 2..=4 {
        let comment = json!({ "communityId": "7", "board_id": 6, "commentId": n });
        town.emit(json!({ "event": "commentReactionUpdate", "payload": comment })).await;
        let other = json!({ "communityId": "9", "board_id": 99, "commentId": n });
        town.emit(json!({ "event": "commentReactionUpdate", "payload": other })).await;
    }
    town.node.until("clerk", "back", |state| state["times"] == 2 && state["connected"] == true).await;
    town.marker("7").await;
    town.hears_named("clerk", "marker").await;
    let heard = town.node.state("clerk").await["heard"].clone();
    let ids: Vec<u64> = heard
        .as_array()
        .unwrap()
        .iter()
        .filter(|event| event[0] == "commentReactionUpdate")
        .map(|event| event[1]["commentId"].as_u64().unwrap())
        .collect();
    assert_eq!(ids, [2, 3, 4], "each once, in order");
}

#[tokio::test]
async fn ten_joins_a_minute_and_no_more() {
    let (folder, mut config) = people::config();
    config.curia.events_per_minute = 10;
    let mut town = Town::start_with((folder, config)).await;
    town.boards().await;
    town.open("ann", json!({ "sub": "ann", "uid": "a", "cid": "7" })).await;
    for _ in 0..11 {
        town.say("ann", "joinBoard", json!([5])).await;
    }
    town.hears("ann", &json!(["error", { "message": "Too many requests" }])).await;
    let heard = town.heard("ann").await;
    assert_eq!(heard.iter().filter(|event| *event == "boardJoined").count(), 10);
}

#[tokio::test]
async fn only_back_ends_say_something_and_only_where_there_is_a_forum() {
    let town = Town::start().await;
    let body = json!({ "room": "community:7", "event": "hello", "payload": { "communityId": "7" } });
    for (role, status) in [(Role::Viewer, 403), (Role::Editor, 403), (Role::Service, 200), (Role::Admin, 200)]
    {
        let client = town.office.client().with_token(&town.office.mint(role).await);
        assert_eq!(client.post("/api/v1/emit", body.clone()).await.status, status, "{role:?}");
    }
    assert_eq!(town.office.client().post("/api/v1/emit", body.clone()).await.status, 401);
    let member =
        sign(json!({ "alg": "HS256" }), &json!({ "sub": "u", "cid": "7", "adm": true, "exp": until(60) }));
    let client = town.office.client().with_token(&member);
    assert_eq!(
        client.post("/api/v1/emit", body.clone()).await.status,
        401,
        "a member's token is not a back end's"
    );
    let service = town.office.client().with_token(&town.office.mint(Role::Service).await);
    for (body, code) in [
        (json!({ "event": "hello", "payload": {} }), "message_refused"),
        (json!({ "room": "nowhere", "event": "hello", "payload": {} }), "message_refused"),
        (json!({ "room": "post:9", "event": "post:newComment", "payload": {} }), "message_refused"),
        (json!({ "room": "community:7", "event": "", "payload": {} }), "message_refused"),
        (json!({ "room": "community:7", "event": "hello" }), "bad_request"),
        (json!({ "room": "community:7", "event": "hello", "payload": {}, "id": "" }), "bad_request"),
        (json!(null), "bad_request"),
    ] {
        let reply = service.post("/api/v1/emit", body.clone()).await;
        assert_eq!((reply.status, reply.json()["error"]["code"].as_str()), (400, Some(code)), "{body}");
    }
    let without = Office::start().await;
    let reply = without.admin().post("/api/v1/emit", body).await;
    assert_eq!((reply.status, reply.json()["error"]["code"].as_str()), (503, Some("forum_off")));
}

#[tokio::test]
async fn no_token_and_no_secret_is_ever_logged_or_shown() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("townhall.yml"), format!("curia:\n  jwt_secret: \"{SECRET}\"\n"))
        .unwrap();
    let office = OfficeProcess::start_with(folder.path(), &[], &[("TOWNHALL_LOG", "trace")]);
    let token = sign(json!({ "alg": "HS256" }), &json!({ "sub": "u", "cid": "7", "exp": until(60) }));
    let mut node = Node::run("forum.mjs").await;
    let url = format!("http://{}", office.address());
    for (client, token) in [("good", token.clone()), ("bad", format!("{token}x"))] {
        node.tell(json!({ "do": "open", "client": client, "url": url, "token": token })).await;
    }
    node.until("good", "in", |state| state["connected"] == true).await;
    node.until("bad", "out", |state| !state["refused"].is_null()).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    let log = office.log();
    assert!(!log.is_empty() && !log.contains(SECRET) && !log.contains(&token), "a secret stands in the log");
}
