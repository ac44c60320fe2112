//! The same with a real Redis between the back end and the office.

use std::time::Duration;

use serde_json::json;

use super::town::{ANN, Town, hears, record};
use crate::harness::node::Node;
use crate::harness::redis::RedisServer;

#[tokio::test]
async fn a_back_end_behind_redis_is_heard_alike() {
    let Some(redis) = RedisServer::start(None).await else { return };
    let town = Town::open(Some(redis), |_| {}).await;
    let redis = town.redis.as_ref().unwrap();
    let mut line = redis.connect().await;
    let set = |token: &str, value: &str| {
        let mut set = ::redis::cmd("SET");
        set.arg(format!("/current_users/{token}")).arg(value);
        set
    };
    set("A", ANN).query_async::<()>(&mut line).await.unwrap();
    set("broken", "not json").query_async::<()>(&mut line).await.unwrap();
    let mut node = Node::run("loomio.mjs").await;
    town.connect(&mut node, "ann", Some("A")).await;
    for client in ["broken", "wrong"] {
        town.connect(&mut node, client, Some(client)).await;
    }
    for rubbish in [&b"not json"[..], b"null", b"\xff", b"", b"{}", b"{\"room\":7}"] {
        redis.publish("/records", rubbish).await;
        redis.publish("/system_notice", b"{").await;
        redis.publish("chatbot/publish", rubbish).await;
    }
    for (room, id) in [("group-10", 1), ("group-99", 2), ("user-1", 3)] {
        redis.publish("/records", record(room, id).as_bytes()).await;
    }
    hears(&mut node, "ann", &[1.into(), 3.into()]).await;
    // The line breaks, the key goes, and what was missed comes all the same.
    node.tell(json!({ "do": "away", "client": "ann", "ms": 400 })).await;
    ::redis::cmd("DEL").arg("/current_users/A").query_async::<()>(&mut line).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    redis.publish("/records", record("group-11", 4).as_bytes()).await;
    redis.publish("/system_notice", br#"{"notice":"end"}"#).await;
    hears(&mut node, "ann", &[1.into(), 3.into(), 4.into(), "end".into()]).await;
    assert_eq!(node.state("ann").await["recovered"], json!([false, true]));
    for client in ["broken", "wrong"] {
        hears(&mut node, client, &["end".into()]).await;
    }
    // What the office itself publishes is heard once, though it comes back.
    assert_eq!(town.post("/records", &record("user-1", 5)).await, 200);
    assert_eq!(town.post("/system_notice", r#"{"notice":"over"}"#).await, 200);
    hears(&mut node, "ann", &[1.into(), 3.into(), 4.into(), "end".into(), 5.into(), "over".into()]).await;
}
