//! Back ends that emit with Node's own Redis emitter are heard by the clients of a page.

use serde_json::{Value, json};

use super::town::{ANN, Town, hears};
use crate::harness::node::Node;
use crate::harness::redis::RedisServer;

fn records(number: u64) -> Value {
    json!({ "records": { "events": [{ "id": number }] } })
}

#[tokio::test]
async fn nodes_emitter_reaches_the_rooms_it_names_and_nobody_else() {
    let Some(redis) = RedisServer::start(None).await else { return };
    let town = Town::open(Some(redis), |_| {}).await;
    let redis = town.redis.as_ref().unwrap();
    town.user("A", ANN).await;
    town.user("B", r#"{"name":"Bob","group_ids":[10],"id":2}"#).await;
    let mut page = Node::run("loomio.mjs").await;
    for (client, token) in [("ann", Some("A")), ("bob", Some("B")), ("nobody", None)] {
        town.connect(&mut page, client, token).await;
    }
    let mut back_end = Node::run("emitter.mjs").await;
    back_end.tell(json!({ "do": "open", "url": redis.url() })).await;
    let mut emit = async |number: u64, mut order: Value| {
        order["do"] = "emit".into();
        order["event"] = "records".into();
        order["args"] = json!([records(number)]);
        back_end.tell(order).await;
    };
    emit(1, json!({ "to": "group-10" })).await;
    emit(2, json!({ "to": ["group-10", "user-1", "group-11"] })).await; // in three rooms, and heard once
    emit(3, json!({ "to": "group-10", "except": "user-1" })).await;
    emit(4, json!({ "to": ["group-10", "community:7"], "except": ["user-2", "nowhere"] })).await;
    emit(5, json!({ "to": "group-10", "volatile": true })).await;
    emit(6, json!({ "to": "group-99" })).await;
    emit(7, json!({ "namespace": "/admin", "to": "group-10" })).await;
    // What it says about other servers' sockets is not for us: rooms are the office's own business.
    for order in [
        json!({ "do": "join", "to": "notice", "room": "group-10" }),
        json!({ "do": "leave", "to": "user-1", "room": "group-10" }),
        json!({ "do": "disconnect", "to": "group-10" }),
    ] {
        back_end.tell(order).await;
    }
    for rubbish in [&b"not msgpack"[..], b"\x93\xa1x\x80\x80", b"", b"\xdd\xff\xff\xff\xff"] {
        redis.publish("socket.io#/#", rubbish).await;
        redis.publish("socket.io#/#group-10#", rubbish).await;
    }
    back_end
        .tell(json!({ "do": "emit", "event": "records", "args": [records(8)], "bytes": [[1, 2, 255]] }))
        .await;
    let all = |numbers: &[u64]| numbers.iter().map(|&number| number.into()).collect::<Vec<Value>>();
    hears(&mut page, "ann", &all(&[1, 2, 4, 5, 8])).await;
    hears(&mut page, "bob", &all(&[1, 2, 3, 5, 8])).await;
    hears(&mut page, "nobody", &all(&[8])).await;
    let binary = page.state("nobody").await["heard"][0][2].clone();
    assert_eq!(binary, json!({ "type": "Buffer", "data": [1, 2, 255] }));
    let figures = town.office.admin().get("/metrics").await.text();
    let refused = figures.lines().filter(|line| line.contains("refused_total{reason=\"emitter_"));
    let refused: usize = refused.map(|line| line.rsplit(' ').next().unwrap().parse::<usize>().unwrap()).sum();
    assert_eq!(refused, 8, "each piece of rubbish is counted: {figures}");

    // Who is away hears later what was kept, and what was volatile not at all.
    page.tell(json!({ "do": "away", "client": "ann", "ms": 500 })).await;
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    for (number, volatile) in [(9, false), (10, true), (11, false)] {
        let order = json!({
            "do": "emit", "to": "user-1", "volatile": volatile, "event": "records", "args": [records(number)]
        });
        back_end.tell(order).await;
    }
    hears(&mut page, "ann", &all(&[1, 2, 4, 5, 8, 9, 11])).await;
    assert_eq!(page.state("ann").await["recovered"], json!([false, true]));
}
