//! A token that ends over polling: its bearer is told once and is out, whether it collects what is said to it or not.

use std::time::Duration;

use serde_json::{Value, json};

use super::people::{Town, sign, until};
use crate::harness::Client;

/// A client that speaks by requests, as it likes.
struct Requests {
    client: Client,
    path: String,
}

impl Requests {
    /// Comes in with a token that ends so many seconds from now, and goes to board 5.
    async fn on_board(town: &Town, name: &str, seconds: i64) -> Self {
        let claims = json!({ "sub": name, "uid": name, "cid": "7", "exp": until(seconds) });
        let auth = json!({ "token": sign(json!({ "alg": "HS256" }), &claims) });
        let path = "/socket.io/?EIO=4&transport=polling";
        let hello = town.office.client().get(path).await.text();
        let hello: Value = serde_json::from_str(&hello[1..]).unwrap();
        let path = format!("{path}&sid={}", hello["sid"].as_str().unwrap());
        let requests = Self { client: town.office.client(), path };
        assert_eq!(requests.say(&format!("40{auth}")).await, 200);
        assert_eq!(requests.say("42[\"joinBoard\",5]").await, 200);
        while !requests.hear().await.contains("boardJoined") {}
        requests
    }

    async fn say(&self, packet: &str) -> u16 {
        self.client.send("POST", &self.path, Some("text/plain"), packet.as_bytes()).await.status
    }

    async fn hear(&self) -> String {
        self.client.get(&self.path).await.text()
    }
}

async fn town() -> Town {
    let mut town = Town::start().await;
    town.boards().await;
    town.open("ann", json!({ "sub": "ann", "uid": "ann", "cid": "7" })).await;
    town.say("ann", "joinBoard", json!([5])).await;
    town.hears_named("ann", "boardJoined").await;
    town
}

#[tokio::test]
async fn a_page_on_requests_is_told_once_and_then_that_it_is_over() {
    let town = town().await;
    let page = Requests::on_board(&town, "tim", 2).await;
    let mut heard = String::new();
    loop {
        let more = page.hear().await;
        if more == "1" {
            break;
        }
        heard += &more;
    }
    assert_eq!(heard.matches("auth:expired").count(), 1, "{heard}");
}

#[tokio::test]
async fn who_only_speaks_is_not_heard_after_its_token_ended_and_then_is_out() {
    let mut town = town().await;
    let tim = Requests::on_board(&town, "tim", 2).await;
    let typing = |on: bool| format!("42{}", json!(["typing", { "boardId": 5, "isTyping": on }]));
    assert_eq!(tim.say(&typing(true)).await, 200);
    town.hears_named("ann", "userTyping").await;
    // It does not ask for what is said to it.
    for number in 0.. {
        if tim.say(&typing(number % 2 == 1)).await != 200 {
            break;
        }
        assert!(number < 200, "its session goes on");
        tokio::time::sleep(Duration::from_millis(100)).await; // how fast it speaks
    }
    town.marker("7").await;
    town.hears_named("ann", "marker").await;
    let heard = town.node.state("ann").await["heard"].clone();
    let heard = heard.as_array().unwrap();
    let gone = heard.iter().position(|event| event == &json!(["userOffline", { "userId": "tim" }])).unwrap();
    let after: Vec<&Value> = heard[gone..].iter().filter(|event| event[0] == "userTyping").collect();
    assert!(after.is_empty(), "{after:?}");
}
