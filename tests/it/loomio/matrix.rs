//! Bots, from the publication to the homeserver.

use std::time::Duration;

use serde_json::json;
use townhall::clock::Stopwatch;

use super::app::App;
use super::town::Town;
use crate::harness::node::Node;

#[tokio::test]
async fn case_9_a_bot_speaks_and_a_homeserver_that_is_away_disturbs_nobody() {
    let homeserver = App::start().await;
    let town = Town::alone(|config| config.outbound_allow = vec!["127.0.0.1".into()]).await;
    let mut node = Node::run("loomio.mjs").await;
    town.connect(&mut node, "witness", None).await;
    let server = format!("http://{}", homeserver.address);
    for server in ["http://127.0.0.1:1", &server, "https://10.0.0.1"] {
        let config = json!({ "server": server, "access_token": "syt_canary", "channel": "!room:hs" });
        let message = json!({ "config": config, "payload": { "html": "<p>a &amp; b</p>" } });
        let watch = Stopwatch::start();
        assert_eq!(town.publish("chatbot/publish", &message.to_string()).await, 200);
        assert!(watch.elapsed() < Duration::from_secs(1), "publishing waits for no homeserver");
    }
    town.publish("/system_notice", r#"{"notice":"meanwhile"}"#).await;
    node.until("witness", "told", |state| state["heard"][0][1]["notice"] == "meanwhile").await;
    let watch = Stopwatch::start();
    let mut calls = Vec::new();
    while calls.len() < 2 {
        calls.extend(homeserver.take());
        assert!(watch.elapsed() < Duration::from_secs(10), "{calls:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(calls[0].path, "/_matrix/client/r0/join/!room%3Ahs");
    assert!(calls[1].path.starts_with("/_matrix/client/r0/rooms/!room%3Ahs/send/m.room.message/"));
    assert_eq!(calls[1].json()["body"], "a & b");
    let metrics = town.office.admin().get("/metrics").await.text();
    assert!(metrics.contains("townhall_bots_total{reason=\"sent\"} 1"), "{metrics}");
    assert!(!metrics.contains("canary"));
}
