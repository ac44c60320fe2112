//! Each row of the event tables (Curia's `server.ts`, and the published design's event categories) with real
//! clients: everybody is asked what they heard, and how often.

use serde_json::{Value, json};

use super::people::Town;

/// Everybody: of community 7 three who speak as today and two who speak as the design does, a partner, an outsider.
const EVERYBODY: [&str; 7] = ["member", "clerk", "admin", "reader", "writer", "partner", "outsider"];

/// One publication, and who hears what of it. Who is not named hears nothing.
struct Row {
    say: Value,
    heard: &'static [(&'static str, &'static str)],
}

async fn everybody() -> Town {
    let mut town = Town::start().await;
    town.people().await;
    for (name, roles) in [("reader", json!([])), ("writer", json!(["clerk"]))] {
        town.open(name, json!({ "sub": name, "uid": name, "cid": "7", "roles": roles })).await;
    }
    for (name, board) in [("member", 5), ("admin", 5), ("clerk", 6)] {
        town.say(name, "joinBoard", json!([board])).await;
        town.hears_named(name, "boardJoined").await;
    }
    for (name, board) in [("reader", 5), ("writer", 6)] {
        town.say(name, "board:join", json!([board])).await;
        town.say(name, "post:join", json!([9])).await;
        town.hears_named(name, "post:joined").await;
    }
    town.forget().await;
    town
}

async fn walk(town: &mut Town, rows: &[Row]) {
    for row in rows {
        town.emit(row.say.clone()).await;
        for community in ["7", "8", "9"] {
            town.marker(community).await;
        }
        for name in EVERYBODY {
            town.hears_named(name, "marker").await;
            let mut heard = town.heard(name).await;
            heard.retain(|event| event != "marker");
            let wanted: Vec<&str> = row
                .heard
                .iter()
                .filter(|(who, _)| who.split(' ').any(|who| who == name))
                .flat_map(|(_, events)| events.split(' '))
                .collect();
            assert_eq!(heard, wanted, "{name}: {}", row.say);
            town.node.order("forget", name).await;
        }
    }
}

fn row(say: Value, heard: &'static [(&'static str, &'static str)]) -> Row {
    Row { say, heard }
}

#[tokio::test]
async fn who_hears_the_events_of_today() {
    let mut town = everybody().await;
    let open = |more: Value| with(json!({ "communityId": "7", "board_id": 5, "postId": 9 }), more);
    let gated = |more: Value| with(json!({ "communityId": "7", "board_id": 6, "postId": 8 }), more);
    let event =
        |event: &str, payload: Value| json!({ "room": "community:7", "event": event, "payload": payload });
    let lock = |payload: Value| with(json!({ "community_id": "7" }), payload);
    let comment =
        |board: u64, post: u64| json!({ "comment": { "id": 1, "board_id": board, "post_id": post } });
    walk(
        &mut town,
        &[
            row(
                event("newPost", open(json!({ "id": 9 }))),
                &[("member clerk admin partner", "newPost"), ("reader", "board:newPost")],
            ),
            row(
                event("newPost", gated(json!({ "id": 8 }))),
                &[("clerk admin", "newPost"), ("writer", "board:newPost")],
            ),
            row(
                event("voteUpdate", open(json!({ "newCount": 1, "userIdVoted": "a" }))),
                &[("member clerk admin partner", "voteUpdate"), ("reader", "post:voteChanged")],
            ),
            row(
                event("voteUpdate", gated(json!({ "newCount": 1, "userIdVoted": "a" }))),
                &[("clerk admin", "voteUpdate"), ("writer", "post:voteChanged")],
            ),
            row(
                event("reactionUpdate", open(json!({}))),
                &[("member clerk admin partner reader writer", "reactionUpdate")],
            ),
            row(event("reactionUpdate", gated(json!({}))), &[("clerk admin writer", "reactionUpdate")]),
            row(
                event("commentReactionUpdate", open(json!({}))),
                &[("member clerk admin partner reader writer", "commentReactionUpdate")],
            ),
            row(
                event("commentReactionUpdate", gated(json!({}))),
                &[("clerk admin writer", "commentReactionUpdate")],
            ),
            row(
                event("newComment", open(comment(5, 9))),
                &[("member clerk admin partner", "newComment"), ("reader", "post:newComment")],
            ),
            row(event("newComment", gated(comment(6, 8))), &[("clerk admin", "newComment")]),
            row(
                event("newBoard", json!({ "communityId": "7", "board": { "id": 3, "settings": {} } })),
                &[("member clerk admin partner reader writer", "newBoard")],
            ),
            row(
                event(
                    "newBoard",
                    json!({ "communityId": "7", "board": { "id": 4, "settings": { "allowedRoles": ["clerk"] } } }),
                ),
                &[("clerk admin writer", "newBoard")],
            ),
            row(
                event("partnershipInviteReceived", json!({ "communityId": "7", "type": "created" })),
                &[("admin", "partnershipInviteReceived")],
            ),
            row(
                json!({
                    "room": "community:7:admins", "event": "partnershipStatusChanged",
                    "payload": { "communityId": "7", "type": "accepted" }
                }),
                &[("admin", "partnershipStatusChanged")],
            ),
            row(
                event("boardImported", json!({ "communityId": "7", "type": "import" })),
                &[("member clerk admin partner reader writer", "boardImported")],
            ),
            row(
                event("boardImportUndone", json!({ "communityId": "7" })),
                &[("member clerk admin partner reader writer", "boardImportUndone")],
            ),
            row(
                event("sharedBoardRemoved", json!({ "communityId": "7" })),
                &[("member clerk admin partner reader writer", "sharedBoardRemoved")],
            ),
            row(event("newLock", lock(json!({}))), &[("member clerk admin reader writer", "newLock")]),
            row(event("lockUpdated", lock(json!({}))), &[("member clerk admin reader writer", "lockUpdated")]),
            row(event("lockDeleted", lock(json!({}))), &[("member clerk admin reader writer", "lockDeleted")]),
            row(event("lockUsed", lock(json!({}))), &[("member clerk admin reader writer", "lockUsed")]),
            row(
                json!({ "room": "board:5", "event": "postLockApplied", "payload": lock(json!({ "postId": 9 })) }),
                &[("member admin reader", "postLockApplied")],
            ),
            row(
                json!({ "room": "board:6", "event": "postLockRemoved", "payload": lock(json!({ "postId": 8 })) }),
                &[("clerk writer", "postLockRemoved")],
            ),
            row(event("postDeleted", gated(json!({}))), &[("clerk admin writer", "postDeleted")]),
            row(
                event("postDeleted", open(json!({}))),
                &[("member clerk admin partner reader writer", "postDeleted")],
            ),
            row(event("partnershipUpdate", json!({ "communityId": "7" })), &[("admin", "partnershipUpdate")]),
            row(
                json!({ "room": "board:6", "event": "commentReactionUpdate", "payload": gated(json!({})) }),
                &[("clerk admin writer", "commentReactionUpdate")],
            ),
            row(
                event("boardSettingsChanged", json!({ "communityId": "7", "boardId": 5, "settings": {} })),
                &[("member clerk admin", "boardSettingsChanged"), ("reader", "board:settingsChanged")],
            ),
            row(event("newPost", json!({ "communityId": "7", "board_id": 99, "id": 1 })), &[("admin", "newPost")]),
        ],
    )
    .await;
}

#[tokio::test]
async fn who_hears_the_events_of_the_design() {
    let mut town = everybody().await;
    let on = |board: u64, more: Value| with(json!({ "boardId": board, "postId": 9 }), more);
    let event =
        |room: &str, event: &str, payload: Value| json!({ "room": room, "event": event, "payload": payload });
    let said = json!({ "comment": { "id": 1 }, "author": { "id": "u" } });
    walk(
        &mut town,
        &[
            row(
                event("board:5", "board:newPost", on(5, json!({ "post": { "id": 9 }, "author": {} }))),
                &[("reader", "board:newPost"), ("member clerk admin", "newPost")],
            ),
            row(
                event("board:6", "board:newPost", json!({ "post": { "id": 8 }, "author": {} })),
                &[("writer", "board:newPost"), ("clerk admin", "newPost")],
            ),
            row(
                event("board:5", "post:voteAdded", on(5, json!({ "postId": 21, "newCount": 2 }))),
                &[("reader", "post:voteAdded post:voteChanged"), ("member clerk admin", "voteUpdate")],
            ),
            row(
                event("board:6", "post:voteRemoved", on(6, json!({ "postId": 22, "newCount": 1 }))),
                &[("writer", "post:voteRemoved post:voteChanged"), ("clerk admin", "voteUpdate")],
            ),
            row(
                event("board:5", "post:voteChanged", on(5, json!({ "postId": 23, "newCount": 3 }))),
                &[("reader", "post:voteChanged"), ("member clerk admin", "voteUpdate")],
            ),
            row(
                event("post:9", "post:newComment", on(5, said.clone())),
                &[("reader", "post:newComment"), ("member clerk admin", "newComment")],
            ),
            row(event("post:8", "post:newComment", on(6, said)), &[("clerk admin", "newComment")]),
            row(
                event("post:9", "post:commentDeleted", on(5, json!({ "commentId": 1 }))),
                &[("reader", "post:commentDeleted")],
            ),
            row(
                event("board:5", "board:settingsChanged", json!({ "boardId": 5, "settings": {} })),
                &[("reader", "board:settingsChanged"), ("member clerk admin", "boardSettingsChanged")],
            ),
            row(
                event("post:9", "post:commentDeleted", on(6, json!({ "commentId": 1 }))),
                &[("writer", "post:commentDeleted")],
            ),
            row(event("typing:5", "typing:start", json!({ "userId": "u" })), &[("reader", "typing:start")]),
            row(event("typing:6", "typing:stop", json!({ "userId": "u" })), &[("writer", "typing:stop")]),
            row(
                event("community:7", "announcement", json!({})),
                &[("member clerk admin reader writer", "announcement")],
            ),
            row(event("community:7:admins", "announcement", json!({})), &[("admin", "announcement")]),
            row(
                event("community:9", "announcement", json!({ "communityId": "9" })),
                &[("outsider", "announcement")],
            ),
        ],
    )
    .await;
    // What people do, as others hear it.
    town.say("writer", "typing:start", json!([{ "postId": 9 }])).await;
    town.hears_named("clerk", "userTyping").await;
    town.say("member", "typing", json!([{ "boardId": 5, "postId": 9, "isTyping": true }])).await;
    town.hears("reader", &json!(["typing:start", { "userId": "member", "userName": "Unknown" }])).await;
    town.say("member", "typing", json!([{ "boardId": 5, "postId": 9, "isTyping": false }])).await;
    town.hears("reader", &json!(["typing:stop", { "userId": "member" }])).await;
    town.open("late", json!({ "sub": "late", "uid": "late", "cid": "7" })).await;
    town.hears("reader", &json!(["user:online", { "userId": "late", "boardId": null }])).await;
    town.say("late", "board:join", json!([5])).await;
    town.hears("reader", &json!(["user:joinedBoard", { "userId": "late", "boardId": 5 }])).await;
    town.node.order("close", "late").await;
    town.hears("reader", &json!(["user:offline", { "userId": "late" }])).await;
    for (name, never) in
        [("partner", "user"), ("outsider", "user"), ("reader", "userTyping"), ("clerk", "user:")]
    {
        let heard = town.heard(name).await;
        assert!(!heard.iter().any(|event| event.starts_with(never)), "{name}: {heard:?}");
    }
}

/// What a client does, and who hears of it; presence news of today's vocabulary included.
struct Act {
    who: &'static str,
    event: &'static str,
    first: Value,
    heard: &'static [(&'static str, &'static str)],
}

fn act(
    who: &'static str,
    event: &'static str,
    first: Value,
    heard: &'static [(&'static str, &'static str)],
) -> Act {
    Act { who, event, first, heard }
}

async fn watch(town: &mut Town, what: &str, heard: &[(&str, &str)]) {
    tokio::time::sleep(std::time::Duration::from_millis(800)).await; // presence is told half a second late
    for community in ["7", "8", "9"] {
        town.marker(community).await;
    }
    for name in EVERYBODY.into_iter().chain(["late"]) {
        if name == "late" && what == "close" {
            continue;
        }
        town.hears_named(name, "marker").await;
        let mut all = town.heard(name).await;
        all.retain(|event| event != "marker");
        all.sort_unstable();
        let mine = heard.iter().filter(|(who, _)| who.split(' ').any(|who| who == name));
        let mut wanted: Vec<&str> = mine.flat_map(|(_, events)| events.split(' ')).collect();
        wanted.sort_unstable();
        assert_eq!(all, wanted, "{name}: {what}");
        town.node.order("forget", name).await;
    }
}

#[tokio::test]
async fn who_hears_what_people_do() {
    let mut town = everybody().await;
    let today = "member clerk admin";
    town.open("late", json!({ "sub": "late", "uid": "late", "cid": "7" })).await;
    let came =
        [(today, "userOnline"), ("late", "userOnline globalPresenceSync"), ("reader writer", "user:online")];
    watch(&mut town, "comes", &came).await;
    let on = |is: bool| json!({ "boardId": 5, "postId": 9, "isTyping": is });
    for Act { who, event, first, heard } in [
        act(
            "late",
            "joinBoard",
            json!(5),
            &[
                ("member clerk admin", "userPresenceUpdate"),
                ("late", "boardJoined userPresenceUpdate"),
                ("reader", "user:joinedBoard"),
            ],
        ),
        act(
            "late",
            "typing",
            on(true),
            &[
                ("member admin", "userTyping userPresenceUpdate"),
                ("clerk late", "userPresenceUpdate"),
                ("reader", "typing:start"),
            ],
        ),
        act(
            "late",
            "typing",
            on(false),
            &[
                ("member admin", "userTyping userPresenceUpdate"),
                ("clerk late", "userPresenceUpdate"),
                ("reader", "typing:stop"),
            ],
        ),
        act("late", "joinBoard", json!(6), &[("late", "error")]),
        act("late", "typing", json!({ "boardId": 6, "isTyping": true }), &[("late", "error")]),
        act("late", "leaveBoard", json!(5), &[("member clerk admin late", "userPresenceUpdate")]),
        act("late", "leaveBoard", json!(null), &[]),
        act(
            "writer",
            "typing:start",
            json!({ "postId": 8 }),
            &[("clerk", "userTyping userPresenceUpdate"), ("member admin late", "userPresenceUpdate")],
        ),
        act(
            "writer",
            "typing:stop",
            json!(null),
            &[("clerk", "userTyping userPresenceUpdate"), ("member admin late", "userPresenceUpdate")],
        ),
        act("writer", "post:join", json!(8), &[("writer", "post:joined")]),
        act("writer", "post:leave", json!(8), &[]),
        act("reader", "board:join", json!(6), &[("reader", "error")]),
        act("reader", "board:settingsChanged", json!(5), &[("reader", "error")]),
        act("partner", "joinBoard", json!(5), &[("partner", "error")]),
        act("outsider", "typing", on(true), &[("outsider", "error")]),
        act("late", "newPost", json!({ "communityId": "7", "board_id": 5 }), &[]),
        act("late", "userOnline", json!({}), &[]),
        act("writer", "board:leave", json!(6), &[("member clerk admin late", "userPresenceUpdate")]),
    ] {
        town.say(who, event, json!([first])).await;
        watch(&mut town, &format!("{who} {event} {first}"), heard).await;
    }
    // Who left a board hears nothing of it any more; who is lost while writing has stopped.
    let lock = json!({ "room": "board:5", "event": "postLockApplied", "payload": { "postId": 9 } });
    town.emit(lock).await;
    watch(&mut town, "a lock", &[("member admin reader", "postLockApplied")]).await;
    town.say("late", "joinBoard", json!([5])).await;
    town.say("late", "typing", json!([on(true)])).await;
    town.hears_named("reader", "typing:start").await;
    town.forget().await;
    town.node.order("close", "late").await;
    watch(
        &mut town,
        "close",
        &[
            ("member admin", "userTyping userOffline"),
            ("clerk", "userOffline"),
            ("reader", "typing:stop user:offline"),
            ("writer", "user:offline"),
        ],
    )
    .await;
}

fn with(mut payload: Value, more: Value) -> Value {
    if let (Some(fields), Value::Object(more)) = (payload.as_object_mut(), more) {
        fields.extend(more);
    }
    payload
}
