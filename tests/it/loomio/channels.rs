//! Channels: real clients of a Loomio page hear what its back end publishes, and nothing else.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use townhall::auth::Role;
use townhall::config::Config;

use super::town::{ANN, Town, hears};
use crate::harness::http::raw;
use crate::harness::node::Node;
use crate::harness::redis::RedisServer;

async fn case_1(town: &Town, node: &mut Node, client: &str, token: &str) {
    town.user(token, ANN).await;
    town.connect(node, client, Some(token)).await;
    let first = json!({ "room": "group-10", "extra": { "z": 1, "a": [null] }, "records": { "events": [{ "id": 1 }] } });
    town.publish("/records", &first.to_string()).await;
    let second =
        json!({ "records": { "comments": [{ "id": 2, "body": "é\u{1f600}\u{2028}" }] }, "room": "user-1" });
    for message in [&json!({ "room": "group-99" }), &json!({ "room": null }), &second] {
        town.publish("/records", &message.to_string()).await;
    }
    let state = node.until(client, "told", |state| state["heard"].as_array().unwrap().len() >= 2).await;
    let heard = state["heard"].as_array().unwrap();
    assert_eq!(heard.len(), 2);
    for (event, published) in heard.iter().zip([first, second]) {
        assert_eq!((&event[0], &event[1]), (&json!("records"), &published));
        assert!(event[2].is_string(), "an offset at the end of {event}");
    }
    node.until(client, "upgraded", |state| {
        state["upgrades"].as_array().unwrap().contains(&"websocket".into())
    })
    .await;
}

#[tokio::test]
async fn case_1_records_reach_their_rooms_unchanged() {
    for town in Town::both(|_| {}).await {
        let mut node = Node::run("loomio.mjs").await;
        case_1(&town, &mut node, "ann", "A").await;
    }
}

#[tokio::test]
async fn case_2_an_unknown_token_and_none_hear_notices_only() {
    for town in Town::both(|_| {}).await {
        let mut node = Node::run("loomio.mjs").await;
        town.connect(&mut node, "wrong", Some("nobody-knows")).await;
        town.connect(&mut node, "none", None).await;
        town.to_room("group-10", 1).await;
        let notice = json!({ "version": "3.0.18", "notice": "hello", "reload": false });
        assert_eq!(town.publish("/system_notice", &notice.to_string()).await, 200);
        for client in ["wrong", "none"] {
            hears(&mut node, client, &["hello".into()]).await;
            assert_eq!(node.state(client).await["heard"][0][1], notice);
        }
    }
}

#[tokio::test]
async fn case_3_wire_form() {
    for town in Town::both(|_| {}).await {
        let at = town.office.address();
        let url = format!("ws://{at}/socket.io/?EIO=4&transport=websocket&channel_token=A");
        town.user("A", ANN).await;
        let (mut socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
        let mut next = async |say: Option<&str>| {
            if let Some(say) = say {
                socket.send(Message::text(say)).await.unwrap();
            }
            socket.next().await.unwrap().unwrap().into_text().unwrap().to_string()
        };
        assert!(next(None).await.starts_with("0{"));
        assert_eq!(next(Some("40/records,")).await, r#"44/records,{"message":"Invalid namespace"}"#);
        let joined = next(Some("40")).await;
        let joined: Value = serde_json::from_str(joined.strip_prefix("40").unwrap()).unwrap();
        assert!(joined["sid"].is_string() && joined["pid"].is_string());
        // Byte for byte, spaces and the order of keys included: only the offset is added.
        let text = r#"{ "records" : {"z":1.50,"a":"\u00e9"} ,"room":"group-10" }"#;
        assert_eq!(town.publish("/records", text).await, 200);
        let event = next(None).await;
        let rest =
            event.strip_prefix(&format!(r#"42["records",{text},""#)).unwrap_or_else(|| panic!("{event}"));
        assert!(rest.ends_with(r#""]"#) && rest.len() > 4, "{event}");
    }
}

#[tokio::test]
async fn case_6_only_the_configured_origin_is_let_in_and_an_old_protocol_is_told_so() {
    let origins = |config: &mut Config| config.channels_origins = vec!["https://loomio.example.org".into()];
    for town in Town::both(origins).await {
        only_the_configured_origin(&town).await;
    }
}

async fn only_the_configured_origin(town: &Town) {
    let at = town.office.address();
    let get = |query: &str, origin: &str, method: &str| {
        format!(
            "{method} /socket.io/?{query} HTTP/1.1\r\nHost: {at}\r\nOrigin: {origin}\r\nConnection: close\r\n\
             Access-Control-Request-Method: POST\r\n\r\n"
        )
    };
    let ours = "https://loomio.example.org";
    let open = raw(at, get("EIO=4&transport=polling", ours, "GET").as_bytes()).await.unwrap();
    assert_eq!(open.status, 200);
    assert_eq!(open.header("access-control-allow-origin"), Some(ours));
    assert_eq!(open.header("access-control-allow-credentials"), Some("true"));
    let packet: Value = serde_json::from_str(open.text().strip_prefix('0').unwrap()).unwrap();
    assert_eq!(
        (&packet["pingInterval"], &packet["pingTimeout"], &packet["maxPayload"], &packet["upgrades"]),
        (&json!(25000), &json!(20000), &json!(1_000_000), &json!(["websocket"]))
    );
    let preflight = raw(at, get("EIO=4&transport=polling", ours, "OPTIONS").as_bytes()).await.unwrap();
    assert_eq!((preflight.status, preflight.header("access-control-allow-origin")), (204, Some(ours)));
    let wrong =
        raw(at, get("EIO=4&transport=polling", "https://evil.example", "GET").as_bytes()).await.unwrap();
    assert_ne!(wrong.header("access-control-allow-origin"), Some("https://evil.example"));
    let old = raw(at, get("EIO=3&transport=polling", ours, "GET").as_bytes()).await.unwrap();
    assert_eq!((old.status, old.json()["code"].clone()), (400, json!(5)));
}

#[tokio::test]
async fn case_4_what_was_missed_comes_after_all() {
    for town in Town::both(|_| {}).await {
        let mut node = Node::run("loomio.mjs").await;
        town.user("A", ANN).await;
        town.connect(&mut node, "ann", Some("A")).await;
        town.to_room("group-10", 1).await;
        hears(&mut node, "ann", &[1.into()]).await;
        town.forget("A").await;
        node.tell(json!({ "do": "away", "client": "ann", "ms": 600 })).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        town.to_room("group-11", 2).await;
        town.to_room("group-99", 3).await;
        town.publish("/system_notice", r#"{"notice":"missed"}"#).await;
        hears(&mut node, "ann", &[1.into(), 2.into(), "missed".into()]).await;
        let state = node.state("ann").await;
        assert_eq!(state["recovered"], json!([false, true]));
        assert_eq!(state["ids"][0], state["ids"][1]);
        town.to_room("user-1", 4).await;
        hears(&mut node, "ann", &[1.into(), 2.into(), "missed".into(), 4.into()]).await;
    }
}

/// The second half: who stays away for longer than messages are kept begins anew, and is told so.
#[tokio::test]
async fn case_4_after_the_window_nothing_is_recovered() {
    for town in Town::both(|config| config.channels_window = Duration::from_secs(1)).await {
        let mut node = Node::run("loomio.mjs").await;
        town.user("A", ANN).await;
        town.connect(&mut node, "ann", Some("A")).await;
        town.to_room("group-10", 1).await;
        hears(&mut node, "ann", &[1.into()]).await;
        node.tell(json!({ "do": "away", "client": "ann", "ms": 2_500 })).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        town.to_room("group-10", 2).await;
        let state =
            node.until("ann", "back", |state| state["recovered"].as_array().unwrap().len() == 2).await;
        assert_eq!(state["recovered"], json!([false, false]));
        assert_ne!(state["ids"][0], state["ids"][1]);
        town.to_room("group-11", 3).await;
        hears(&mut node, "ann", &[1.into(), 3.into()]).await;
    }
}

#[tokio::test]
async fn a_membership_that_was_taken_away_meanwhile_is_not_restored() {
    for town in Town::both(|_| {}).await {
        let mut node = Node::run("loomio.mjs").await;
        town.user("A", ANN).await;
        town.connect(&mut node, "ann", Some("A")).await;
        node.tell(json!({ "do": "away", "client": "ann", "ms": 300 })).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        town.user("A", r#"{"name":"Ann","group_ids":[11],"id":1}"#).await;
        town.to_room("group-10", 1).await;
        town.to_room("group-11", 2).await;
        // Nothing had been heard before the line broke: that is no reason to lose anything.
        hears(&mut node, "ann", &[2.into()]).await;
        town.to_room("group-10", 3).await;
        town.to_room("group-11", 4).await;
        hears(&mut node, "ann", &[2.into(), 4.into()]).await;
        assert_eq!(node.state("ann").await["recovered"], json!([false, true]));
    }
}

#[tokio::test]
async fn a_membership_ends_while_somebody_listens() {
    let mut towns = Town::both(|_| {}).await;
    towns.insert(0, Town::alone(|config| config.loomio.keep_rooms = true).await);
    let kept = |place: usize| place == 0;
    // A Redis that loses its data while somebody listens takes nobody's membership away.
    let emptied = match RedisServer::start(None).await {
        Some(redis) => Some(Town::open(Some(redis), |_| {}).await),
        None => None,
    };
    let mut node = Node::run("loomio.mjs").await;
    let mut colleagues = Vec::new();
    for (place, town) in towns.iter().enumerate() {
        for name in ["changed", "deleted", "staying"] {
            town.user(name, ANN).await;
            town.connect(&mut node, &format!("{name} {place}"), Some(name)).await;
        }
        // Pages stay open for longer than their keys are known.
        town.user_for("aged", ANN, Some(Duration::from_secs(3))).await;
        town.connect(&mut node, &format!("aged {place}"), Some("aged")).await;
        let (token, id) = town.office.mint_named(Role::Viewer).await;
        let site = town.office.client().with_token(&token).get("/api/v1/boot/site").await.json();
        let own = site["channel_token"].as_str().unwrap();
        let colleague = format!("colleague {place}");
        town.connect(&mut node, &colleague, Some(own)).await;
        town.to_room("group-1", 1).await;
        hears(&mut node, &colleague, &[1.into()]).await;
        colleagues.push(id);
    }
    for (town, id) in towns.iter().zip(&colleagues) {
        town.user("changed", r#"{"name":"Ann","group_ids":[12],"id":1}"#).await;
        town.forget("deleted").await;
        town.office.admin().delete(&format!("/api/v1/tokens/{id}")).await;
    }
    if let Some(town) = &emptied {
        town.user("alone", ANN).await;
        town.connect(&mut node, "alone", Some("alone")).await;
        let mut line = town.redis.as_ref().unwrap().connect().await;
        ::redis::cmd("FLUSHALL").exec_async(&mut line).await.unwrap();
    }
    tokio::time::sleep(Duration::from_secs(12)).await;
    if let Some(town) = &emptied {
        town.to_room("group-10", 7).await;
        hears(&mut node, "alone", &[7.into()]).await;
    }
    for (place, town) in towns.iter().enumerate() {
        for (room, number) in [("group-1", 2), ("group-10", 3), ("group-12", 4), ("user-1", 5)] {
            town.to_room(room, number).await;
        }
        town.publish("/system_notice", r#"{"notice":"end"}"#).await;
        let stays = vec![3.into(), 5.into(), "end".into()];
        for (name, wanted) in [
            ("staying", stays.clone()),
            ("aged", stays.clone()),
            ("changed", if kept(place) { stays.clone() } else { vec![4.into(), 5.into(), "end".into()] }),
            ("deleted", if kept(place) { stays } else { vec!["end".into()] }),
        ] {
            hears(&mut node, &format!("{name} {place}"), &wanted).await;
        }
        if !kept(place) {
            hears(&mut node, &format!("colleague {place}"), &[1.into(), "end".into()]).await;
        }
    }
}

#[tokio::test]
async fn case_5_hostile_data_changes_nothing() {
    for town in Town::both(|_| {}).await {
        let mut node = Node::run("loomio.mjs").await;
        town.connect(&mut node, "witness", None).await;
        for (channel, message) in [
            ("/records", "null"),
            ("/records", "\"not json\""),
            ("/records", "[]"),
            ("/records", r#"{"room":{}}"#),
            ("/records", r#"{"room":7}"#),
            ("/system_notice", "null"),
        ] {
            let status = town.post(channel, message).await;
            assert_eq!(status, 400, "{channel} {}", &message[..message.len().min(40)]);
        }
        for rubbish in [
            "null",
            "{}",
            "7",
            r#"{"config":{"server":"http://127.0.0.1:1"}}"#,
            r#"{"payload":{"html":"x"}}"#,
        ] {
            for channel in ["chatbot/publish", "chatbot/test", "chatbot/other"] {
                assert_eq!(town.publish(channel, rubbish).await, 200);
            }
        }
        // What comes from a bus is not even JSON.
        for channel in ["/records", "/system_notice", "chatbot/publish"] {
            for body in [&b"not json"[..], b"\xff\xfe", b"", b"{"] {
                let message = townhall::bus::Message::new(channel, bytes::Bytes::from_static(body)).unwrap();
                let _ = town.office.handle().bus().publish(&message, None).await;
            }
        }
        for (token, value) in
            [("a", "not json"), ("b", "null"), ("c", "[1]"), ("d", r#"{"name":"x","id":5}"#), ("e", "")]
        {
            town.user(token, value).await;
            town.connect(&mut node, token, Some(token)).await;
        }
        let endless = "x".repeat(3_000);
        town.connect(&mut node, "endless", Some(&endless)).await;
        town.to_room("user-5", 1).await;
        case_1(&town, &mut node, "ann", "A").await;
        town.publish("/system_notice", r#"{"notice":"alive"}"#).await;
        hears(&mut node, "d", &[1.into(), "alive".into()]).await;
        for client in ["witness", "a", "b", "c", "e", "endless"] {
            hears(&mut node, client, &["alive".into()]).await;
        }
    }
}
