//! Back ends that emit with Node's own Redis emitter, into the forum: its rules hold for them too.

use serde_json::{Value, json};

use super::people::{Town, config};
use crate::harness::node::Node;
use crate::harness::redis::RedisServer;

#[tokio::test]
async fn nodes_emitter_speaks_to_those_who_may_hear_it() {
    let Some(redis) = RedisServer::start(None).await else { return };
    let (folder, mut config) = config();
    config.central = Some(redis.url().parse().unwrap());
    let mut town = Town::start_with((folder, config)).await;
    town.people().await;
    town.say("member", "joinBoard", json!([5])).await;
    town.hears_named("member", "boardJoined").await;
    town.open("reader", json!({ "sub": "reader", "uid": "reader", "cid": "7", "roles": ["clerk"] })).await;
    town.say("reader", "board:join", json!([6])).await;
    town.hears_named("reader", "board:joined").await;
    town.forget().await;
    let mut back_end = Node::run("emitter.mjs").await;
    back_end.tell(json!({ "do": "open", "url": redis.url() })).await;
    let post = |board: u64, id: u64| json!({ "communityId": "7", "board_id": board, "id": id });
    let mut emit = async |mut order: Value, event: &str, payload: Value| {
        order["do"] = "emit".into();
        order["event"] = event.into();
        order["args"] = json!([payload]);
        back_end.tell(order).await;
    };
    emit(json!({ "to": "community:7" }), "newPost", post(6, 1)).await;
    emit(json!({ "to": ["community:7", "board:5"] }), "reactionUpdate", post(5, 2)).await;
    emit(json!({ "to": "community:7", "except": "board:5" }), "voteUpdate", post(5, 3)).await;
    // To everybody there is: in the forum people are spoken to by community.
    emit(json!({}), "newLock", json!({ "community_id": "7" })).await;
    emit(json!({ "to": "community:9" }), "marker", json!({})).await;
    emit(json!({ "to": "community:8" }), "marker", json!({})).await;
    emit(json!({ "to": "community:7" }), "marker", json!({})).await;
    for (name, wanted) in [
        ("member", "reactionUpdate"),
        ("clerk", "newPost reactionUpdate voteUpdate"),
        ("admin", "newPost reactionUpdate voteUpdate"),
        ("reader", "board:newPost reactionUpdate"),
        ("partner", "reactionUpdate voteUpdate"),
        ("outsider", ""),
    ] {
        town.hears_named(name, "marker").await;
        let mut heard = town.heard(name).await;
        heard.retain(|event| event != "marker");
        assert_eq!(heard.join(" "), wanted, "{name}");
    }
}
