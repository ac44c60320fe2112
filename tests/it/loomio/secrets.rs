//! A whole day of Loomio at the loudest log level: nothing that opens anything stands in a log, a figure or an answer.

use std::time::Duration;

use serde_json::json;
use townhall::auth::Role;

use super::app::App;
use super::matrix::{Homeserver, TOKEN};
use crate::harness::OfficeProcess;
use crate::harness::node::Node;
use crate::harness::redis::RedisServer;

#[tokio::test]
async fn no_token_of_a_page_a_bot_or_the_application_is_ever_logged() {
    let Some(redis) = RedisServer::start(Some("redis-canary")).await else { return };
    let (app, homeserver) = (App::start().await, Homeserver::start(Duration::ZERO).await);
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let config = folder.path().join("townhall.yml");
    let text = format!("loomio:\n  app_url: http://{}\noutbound:\n  allow: ['127.0.0.1']\n", app.address);
    std::fs::write(&config, text).unwrap();
    let (config, url) = (config.to_str().unwrap(), redis.url());
    let environment = [("TOWNHALL_LOG", "trace"), ("REDIS_URL", url.as_str())];
    let office = OfficeProcess::start_with(&data, &["--config", config], &environment);
    let admin = office.admin();
    let up = async {
        while admin.get("/health").await.json()["bus_up"] != true {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), up).await.expect("Redis is reached");
    let session = office.mint(Role::Editor).await;
    let site = office.client().with_token(&session).get("/api/v1/boot/site").await.json();
    let own = site["channel_token"].as_str().unwrap().to_owned();

    let mut line = redis.connect().await;
    for (token, value) in [("page-canary", r#"{"id":1,"group_ids":[10]}"#), ("broken-canary", "value-canary")]
    {
        let mut set = ::redis::cmd("SET");
        set.arg(format!("/current_users/{token}")).arg(value).exec_async(&mut line).await.unwrap();
    }
    let mut node = Node::run("loomio.mjs").await;
    let at = format!("http://{}", office.address());
    for token in ["page-canary", "broken-canary", "unknown-canary", own.as_str()] {
        let query = json!({ "channel_token": token });
        node.tell(json!({ "do": "open", "client": token, "url": at, "query": query })).await;
        node.until(token, "connected", |state| state["connected"] == true).await;
    }
    node.tell(json!({ "do": "away", "client": "page-canary", "ms": 200 })).await;
    for (channel, message) in [
        ("/records", r#"{"room":"group-10","records":{"secret":"record-canary"}}"#.to_owned()),
        ("/records", "rubbish-canary".to_owned()),
        ("/system_notice", r#"{"notice":"hello"}"#.to_owned()),
        ("/system_notice", "rubbish-canary".to_owned()),
        ("chatbot/test", homeserver.test("#town:hs", "It works")),
        ("chatbot/publish", homeserver.publish("!room:hs", "<p>x</p>")),
        ("chatbot/publish", homeserver.publish("", "<p>x</p>")),
        ("chatbot/publish", r#"{"config":{"access_token":"syt_canary"}}"#.to_owned()),
        ("chatbot/publish", r#"{"config":{"server":"http://syt_canary@127.0.0.1:1","access_token":"syt_canary","channel":"!a:b"},"payload":{"html":"x"}}"#.to_owned()),
        ("chatbot/else", r#"{"access_token":"syt_canary"}"#.to_owned()),
        ("socket.io#/#", "rubbish-canary".to_owned()),
    ] {
        redis.publish(channel, message.as_bytes()).await;
    }
    homeserver.calls(5).await;
    let mut texts = Node::start().await;
    for (client, token, document, status) in [
        ("in", "1,app-canary", "comment-1-body", 200),
        ("out", "2,app-canary", "comment-1-body", 401),
        ("visitor", "0,visitor-canary", "group-new-visitor-canary-description", 200),
    ] {
        app.say(status);
        let open = json!({
            "do": "open", "client": client, "kind": "provider-4", "socket": client,
            "url": office.ws("/hocuspocus"), "document": document, "token": token
        });
        texts.tell(open).await;
        let answered =
            |state: &serde_json::Value| !state["scope"].is_null() || state["denied"][0].is_string();
        texts.until(client, "answered", answered).await;
    }
    ::redis::cmd("DEL").arg("/current_users/page-canary").exec_async(&mut line).await.unwrap();
    let question = json!({ "user_secret": "1,app-canary", "document_name": "comment-1-body" });
    office.client().without("Origin").post("/api/hocuspocus", question).await;
    node.until("page-canary", "back", |state| state["ids"].as_array().unwrap().len() == 2).await;

    let said = [
        office.log(),
        office.client().get("/metrics").await.text(),
        office.client().get("/health").await.text(),
    ];
    assert!(said[0].len() > 1_000 && said[0].contains("chatbot/else"), "the day was logged");
    for text in said {
        for secret in [TOKEN, "canary", &own, &session] {
            let line = text.lines().find(|line| line.contains(secret));
            assert!(line.is_none(), "{secret}: {line:?}");
        }
    }
}
