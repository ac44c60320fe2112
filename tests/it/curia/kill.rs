//! A client of the forum when the program is killed under it.

use serde_json::{Value, json};
use townhall::auth::Role;

use super::people::{SECRET, sign, until};
use crate::harness::OfficeProcess;
use crate::harness::node::Node;
use crate::harness::redis::RedisServer;

#[tokio::test]
async fn after_a_kill_a_client_with_a_fresh_token_is_where_it_was_and_has_what_it_missed() {
    for redis in RedisServer::without_and_with().await {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let url = redis.as_ref().map(RedisServer::url).unwrap_or_default();
        let mut environment = vec![("TOWNHALL_CURIA_JWT_SECRET", SECRET)];
        environment.extend((!url.is_empty()).then_some(("REDIS_URL", url.as_str())));
        let office = OfficeProcess::start_with(&data, &[], &environment);
        let listen = office.address().to_string();
        let back_end = office.client().with_token(&office.mint(Role::Service).await);
        let emit_in = async |room: &str, event: &str, payload: Value| {
            let body = json!({ "room": room, "event": event, "payload": payload });
            let reply = back_end.post("/api/v1/emit", body).await;
            assert_eq!(reply.status, 200, "{}", reply.text());
        };
        let emit = async |event: &str, payload: Value| emit_in("board:6", event, payload).await;
        let board = json!({ "id": 6, "settings": { "permissions": { "allowedRoles": ["clerk"] } } });
        emit("newBoard", json!({ "communityId": "7", "board": board })).await;
        let token = |seconds: i64| {
            let claims =
                json!({ "sub": "tim", "uid": "d", "cid": "7", "roles": ["clerk"], "exp": until(seconds) });
            sign(json!({ "alg": "HS256" }), &claims)
        };
        let mut node = Node::run("forum.mjs").await;
        let open =
            json!({ "do": "open", "client": "tim", "url": format!("http://{listen}"), "token": token(600) });
        node.tell(open).await;
        node.until("tim", "in", |state| state["connected"] == true).await;
        node.tell(json!({ "do": "say", "client": "tim", "event": "board:join", "args": [6] })).await;
        let named = |state: &Value, name: &str| {
            state["heard"].as_array().unwrap().iter().filter(|heard| heard[0] == name).count()
        };
        node.until("tim", "on the board", |state| named(state, "board:joined") == 1).await;
        emit("postLockApplied", json!({ "postId": 1 })).await;
        node.until("tim", "told", |state| named(state, "postLockApplied") == 1).await;
        let before = node.state("tim").await["id"].clone();

        node.order("away", "tim").await;
        emit("postLockApplied", json!({ "postId": 2 })).await;
        office.kill();
        let office = OfficeProcess::start_with(&data, &["--listen", &listen], &environment);
        for post in 3..=4 {
            emit("postLockApplied", json!({ "postId": post })).await;
        }
        emit_in("board:66", "newPost", json!({ "communityId": "9", "id": 5 })).await;
        node.tell(json!({ "do": "token", "client": "tim", "token": token(900) })).await;
        node.order("back", "tim").await;
        let state = node.until("tim", "told", |state| named(state, "postLockApplied") >= 4).await;
        assert_eq!((&state["recovered"], &state["id"]), (&json!(true), &before));
        let heard = state["heard"].as_array().unwrap().iter().filter(|heard| heard[0] == "postLockApplied");
        let posts: Vec<_> = heard.map(|heard| heard[1]["postId"].as_u64().unwrap()).collect();
        assert_eq!(posts, [1, 2, 3, 4], "each once, in order");
        emit("postLockApplied", json!({ "postId": 6 })).await;
        node.until("tim", "on its board", |state| named(state, "postLockApplied") == 5).await;
        assert_eq!(named(&node.state("tim").await, "board:newPost"), 0);
        drop(office);
    }
}
