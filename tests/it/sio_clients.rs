//! The stock `socket.io-client`, 4.0 and 4.8, by polling, by WebSocket and moving from one to the other: what a page
//! does with it works.

use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};
use townhall::bus::Message;
use townhall::faces::sio::SioOptions;

use crate::harness::Office;
use crate::harness::node::Node;
use crate::reference;

const VERSIONS: [&str; 2] = ["4.0", "4.8"];
const WAYS: [&[&str]; 3] = [&["polling"], &["websocket"], &["polling", "websocket"]];
/// Messages in one go.
const BURST: u64 = 1_000;

/// Every version by every way, as a client's name and how it is opened.
fn ways() -> Vec<(String, Value)> {
    let both = VERSIONS.iter().flat_map(|version| WAYS.iter().map(move |way| (version, way)));
    both.map(|(version, way)| {
        (format!("{version} {}", way.join(" to ")), json!({ "version": version, "transports": way }))
    })
    .collect()
}

/// Opens a client, with more options, and waits until it is in.
async fn open(node: &mut Node, client: &str, url: &str, way: &Value, more: Value) {
    opened(node, client, url, way, more).await;
    let last = way["transports"].as_array().unwrap().last().unwrap();
    node.until(client, "in", |state| state["connected"] == true && state["way"] == *last).await;
}

async fn opened(node: &mut Node, client: &str, url: &str, way: &Value, more: Value) {
    let mut command = json!({ "do": "open", "client": client, "url": url });
    for part in [way, &more] {
        command.as_object_mut().unwrap().extend(part.as_object().unwrap().clone());
    }
    node.tell(command).await;
}

/// The reference program's server with a page's times.
async fn reference() -> (String, DropGuard) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, until) = (listener.local_addr().unwrap(), CancellationToken::new());
    tokio::spawn(reference::serve(listener, SioOptions::default(), false, until.clone()));
    (format!("http://{address}"), until.drop_guard())
}

#[tokio::test(flavor = "multi_thread")]
async fn namespaces_auth_acknowledgements_and_binary_data() {
    let (url, _guard) = reference().await;
    let mut node = Node::run("sockets.mjs").await;
    for (client, way) in ways() {
        let auth = json!({ "token": "t", "é": [1, null] });
        open(&mut node, &client, &url, &way, json!({ "auth": auth })).await;
        node.until(&client, "told", |state| state["heard"] == 1).await;
        let heard = node.tell(json!({ "do": "heard", "client": client })).await;
        assert_eq!(heard, json!([["auth", auth]]), "{client}");
        let args = json!([1, "2", { "3": [false, null, "é😀\u{2028}"] }]);
        let ask = json!({ "do": "ask", "client": client, "event": "message-with-ack", "args": args });
        assert_eq!(node.tell(ask).await, args, "{client}");
        node.tell(json!({ "do": "say", "client": client, "event": "message", "args": args })).await;
        node.until(&client, "told", |state| state["heard"] == 1).await;
        let heard = node.tell(json!({ "do": "heard", "client": client })).await;
        let [name, back @ ..] = &heard[0].as_array().unwrap()[..] else { panic!("{heard}") };
        assert_eq!((name, back), (&json!("message-back"), &args.as_array().unwrap()[..]), "{client}");
        let binary = json!({ "do": "binary", "client": client, "event": "message-with-ack" });
        assert_eq!(node.tell(binary).await, json!([[1, 2], "x", [3]]), "{client}");

        let custom = format!("{client} /custom");
        open(&mut node, &custom, &format!("{url}/custom"), &way, json!({})).await;
        let ask = json!({ "do": "ask", "client": custom, "event": "message-with-ack", "args": [] });
        assert_eq!(node.tell(ask).await, json!([]), "{custom}");
        assert_ne!(node.state(&custom).await["id"], node.state(&client).await["id"]);
        let unknown = format!("{client} /unknown");
        opened(&mut node, &unknown, &format!("{url}/unknown"), &way, json!({})).await;
        let told = json!([{ "message": "Invalid namespace", "data": null }]);
        node.until(&unknown, "refused", |state| state["refused"] == told).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_messages_in_one_go_come_in_order() {
    let (url, _guard) = reference().await;
    let mut node = Node::run("sockets.mjs").await;
    for (client, way) in ways() {
        open(&mut node, &client, &url, &way, json!({})).await;
        node.tell(json!({ "do": "burst", "client": client, "event": "message", "count": BURST })).await;
    }
    for (client, _) in ways() {
        node.until(&client, "told", |state| state["heard"] == BURST + 1).await;
        let numbers = node.tell(json!({ "do": "numbers", "client": client, "name": "message-back" })).await;
        assert_eq!(numbers, json!((0..BURST).collect::<Vec<_>>()), "{client}");
        assert_eq!(node.state(&client).await["gone"], json!([]), "{client}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nine_tenths_of_a_megabyte_pass_and_one_and_a_half_are_refused_with_a_reason() {
    let (url, _guard) = reference().await;
    let mut node = Node::run("sockets.mjs").await;
    for (client, way) in ways() {
        open(&mut node, &client, &url, &way, json!({})).await;
        let large = json!({ "do": "large", "client": client, "event": "message", "back": "message-back",
            "bytes": 900_000 });
        assert_eq!(node.tell(large).await, true, "{client}: what came back is what was sent");
        let shout = json!({ "do": "shout", "client": client, "event": "message", "bytes": 1_500_000 });
        node.tell(shout).await;
        let gone = |state: &Value| state["gone"].as_array().is_some_and(|gone| !gone.is_empty());
        let state = node.until(&client, "told why", gone).await;
        // The 4.0 client keeps the code of a closed WebSocket to itself.
        let polls = way["transports"] == json!(["polling"]);
        if polls || way["version"] == "4.8" {
            assert_eq!(state["gone"][0]["code"], if polls { 413 } else { 1009 }, "{client}");
        }
        node.until(&client, "back", |state| state["ids"].as_array().unwrap().len() == 2).await;
        let ask = json!({ "do": "ask", "client": client, "event": "message-with-ack", "args": ["still"] });
        assert_eq!(node.tell(ask).await, json!(["still"]), "{client}: it came back by itself");
    }
}

/// The rooms of a Loomio page, in the product: who is in one hears all of it, also what was said while it was away.
#[tokio::test(flavor = "multi_thread")]
async fn rooms_and_what_was_missed() {
    let office = Office::start().await;
    let bus = office.handle().bus();
    let say = async |room: &str, value: Value| {
        let body = json!({ "room": room, "value": value }).to_string();
        bus.publish(&Message { channel: "/records".into(), body: body.into() }, None).await.unwrap();
    };
    let mut node = Node::run("sockets.mjs").await;
    let url = format!("http://{}", office.address());
    for (n, (client, way)) in ways().into_iter().enumerate() {
        let user = json!({ "name": client, "id": n, "group_ids": [1, 10 + n] });
        let key = format!("/current_users/{n}");
        bus.put_shared(&key, user.to_string().as_bytes(), None).await.unwrap();
        open(&mut node, &client, &url, &way, json!({ "query": { "channel_token": n.to_string() } })).await;
    }
    let text = "é".repeat(450_000);
    for n in 0..BURST {
        say("group-1", n.into()).await;
    }
    say("group-1", text.clone().into()).await;
    for (n, (client, _)) in ways().iter().enumerate() {
        say(&format!("group-{}", 10 + n), client.clone().into()).await;
        node.until(client, "told", |state| state["heard"] == BURST + 2).await;
        let heard = node.tell(json!({ "do": "heard", "client": client })).await;
        let heard: Vec<&Value> = heard.as_array().unwrap().iter().map(|all| &all[1]["value"]).collect();
        assert!(
            heard[..BURST as usize].iter().enumerate().all(|(at, number)| **number == at),
            "{client}: in order"
        );
        assert!(heard[BURST as usize] == text.as_str(), "{client}: nine tenths of a megabyte");
        assert_eq!(heard[BURST as usize + 1], client, "nobody else's group");
        node.tell(json!({ "do": "away", "client": client, "ms": 500 })).await;
    }
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    say("group-1", "missed".into()).await;
    for (client, way) in ways() {
        node.until(&client, "back", |state| state["connected"] == true && state["ids"][1].is_string()).await;
        // The 4.0 client knows nothing of recovery: it comes in anew, and goes on from there.
        let new = way["version"] == "4.8";
        if new {
            node.until(&client, "told what it missed", |state| state["heard"] == 1).await;
        }
        let state = node.state(&client).await;
        assert_eq!(state["ids"][0] == state["ids"][1], new, "{client}: {state}");
        assert_eq!(state["recovered"], if new { json!([false, true]) } else { json!([null, null]) });
    }
    say("group-1", "after".into()).await;
    for (client, way) in ways() {
        let count = if way["version"] == "4.8" { 2 } else { 1 };
        node.until(&client, "told", |state| state["heard"] == count).await;
    }
}
