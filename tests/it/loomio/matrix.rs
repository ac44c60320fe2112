//! Bots, from the publication to the homeserver.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use townhall::clock::Stopwatch;

use super::app::App;
use super::town::{Town, hears};
use crate::harness::node::Node;

/// What bots log in with.
pub(super) const TOKEN: &str = "syt_canary";

/// A small homeserver: every alias is one room, every message is taken, after a while.
#[derive(Clone)]
pub(super) struct Homeserver {
    pub(super) address: SocketAddr,
    slow: Duration,
    calls: Arc<Mutex<Vec<(String, Value)>>>,
}

impl Homeserver {
    pub(super) async fn start(slow: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = Self { address, slow, calls: Arc::default() };
        let routes = Router::new().fallback(answer).with_state(server.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        server
    }

    /// Waits until so many calls were made: method and path, and what was said.
    pub(super) async fn calls(&self, count: usize) -> Vec<(String, Value)> {
        let watch = Stopwatch::start();
        loop {
            let calls = self.calls.lock().unwrap().clone();
            if calls.len() >= count {
                return calls;
            }
            assert!(watch.elapsed() < Duration::from_secs(15), "{calls:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn config(&self, channel: &str) -> Value {
        json!({ "server": format!("http://{}", self.address), "access_token": TOKEN, "channel": channel })
    }

    /// `chatbot/test`.
    pub(super) fn test(&self, channel: &str, message: &str) -> String {
        let mut test = self.config(channel);
        test["message"] = message.into();
        test.to_string()
    }

    /// `chatbot/publish`.
    pub(super) fn publish(&self, channel: &str, html: &str) -> String {
        json!({ "config": self.config(channel), "payload": { "html": html } }).to_string()
    }
}

async fn answer(State(server): State<Homeserver>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    assert_eq!(parts.headers["authorization"], format!("Bearer {TOKEN}"));
    let body = to_bytes(body, 100_000).await.unwrap();
    let call = format!("{} {}", parts.method, parts.uri);
    server.calls.lock().unwrap().push((call, serde_json::from_slice(&body).unwrap_or_default()));
    tokio::time::sleep(server.slow).await;
    axum::Json(json!({ "room_id": "!found:hs", "event_id": "$e" })).into_response()
}

#[tokio::test]
async fn case_9_both_forms_reach_the_room_by_alias_and_by_id() {
    for town in Town::both(|config| config.outbound_allow = vec!["127.0.0.1".into()]).await {
        let homeserver = Homeserver::start(Duration::ZERO).await;
        for (number, channel) in ["#town hall:hs", "!room:hs"].into_iter().enumerate() {
            let alias = channel.starts_with('#');
            let (room, before) = if alias { ("!found%3Ahs", 0) } else { ("!room%3Ahs", 6) };
            let lookup = "GET /_matrix/client/r0/directory/room/%23town%20hall%3Ahs".to_owned();
            let mut wanted: Vec<String> = alias.then_some(lookup).into_iter().collect();
            wanted.push(format!("POST /_matrix/client/r0/join/{room}"));
            wanted.push(format!("PUT /_matrix/client/r0/rooms/{room}/send/m.room.message/"));
            let html = "<p>a &amp; <b>b</b></p><p>c</p>";
            let says = [
                json!({ "msgtype": "m.notice", "body": "It works" }),
                json!({
                    "msgtype": "m.text", "body": "a & b\n\nc",
                    "format": "org.matrix.custom.html", "formatted_body": html
                }),
            ];
            let messages = [
                ("chatbot/test", homeserver.test(channel, "It works")),
                ("chatbot/publish", homeserver.publish(channel, html)),
            ];
            for (turn, ((bot, message), said)) in messages.into_iter().zip(says).enumerate() {
                assert_eq!(town.publish(bot, &message).await, 200);
                let from = before + turn * wanted.len();
                let calls = homeserver.calls(from + wanted.len()).await;
                for (call, wanted) in calls[from..].iter().zip(&wanted) {
                    assert!(call.0.starts_with(wanted), "{number} {call:?}: {wanted}");
                }
                assert_eq!(calls.last().unwrap().1, said);
            }
        }
    }
}

/// Homeservers that are slow, away, or somewhere forbidden: sockets and texts go on as if they were not there.
#[tokio::test]
async fn case_9_a_homeserver_that_is_slow_or_away_disturbs_nobody() {
    let app = App::start().await;
    let url = format!("http://{}", app.address);
    let change = |config: &mut townhall::config::Config| {
        config.outbound_allow = vec!["127.0.0.1".into()];
        config.loomio.app_url = Some(url.clone());
    };
    for town in Town::both(change).await {
        let slow = Homeserver::start(Duration::from_secs(4)).await;
        let away = Homeserver { address: "127.0.0.1:1".parse().unwrap(), ..slow.clone() };
        let forbidden = Homeserver { address: "10.0.0.1:80".parse().unwrap(), ..slow.clone() };
        let mut node = Node::run("loomio.mjs").await;
        town.user("A", super::town::ANN).await;
        town.connect(&mut node, "ann", Some("A")).await;
        for number in 0..20 {
            for homeserver in [&slow, &away, &forbidden] {
                let message = homeserver.publish(&format!("!room{number}:hs"), "<p>x</p>");
                assert_eq!(town.publish("chatbot/publish", &message).await, 200);
            }
        }
        // While all of them wait, records arrive and the application is asked about texts.
        let mut wanted = Vec::new();
        for number in 1..=10_u64 {
            let watch = Stopwatch::start();
            town.to_room("group-10", number).await;
            wanted.push(number.into());
            hears(&mut node, "ann", &wanted).await;
            assert!(watch.elapsed() < Duration::from_secs(1), "a record took {:?}", watch.elapsed());
        }
        let mut texts = Node::start().await;
        let watch = Stopwatch::start();
        let open = json!({
            "do": "open", "client": "a", "kind": "provider-4", "socket": "a",
            "url": town.office.ws("/hocuspocus"), "document": "comment-1-body", "token": "1,x"
        });
        texts.tell(open).await;
        texts.until("a", "in", |state| state["scope"] == "read-write").await;
        assert!(watch.elapsed() < Duration::from_secs(3), "a text opened after {:?}", watch.elapsed());
        slow.calls(1).await;
        let figures = town.office.admin().get("/metrics").await.text();
        assert!(figures.contains("townhall_bots_total{reason=\"failed\"}"), "{figures}");
    }
}
