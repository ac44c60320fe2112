//! Real clients, as npm has them: Hocuspocus providers 2, 3 and 4, y-websocket 2 and 3, in the rooms of one office.

use std::time::Duration;

use serde_json::{Value, json};
use townhall::auth::Role;

use crate::harness::node::Node;
use crate::harness::stand::Stand;

const PROVIDERS: [&str; 3] = ["provider-2", "provider-3", "provider-4"];
const PLAIN: [&str; 2] = ["y-websocket-2", "y-websocket-3"];

/// Opens a client named like its kind.
async fn open(node: &mut Node, stand: &Stand, kind: &str, document: &str, token: &str) {
    open_as(node, stand, json!({ "client": kind, "kind": kind, "document": document, "token": token })).await;
}

async fn open_as(node: &mut Node, stand: &Stand, mut command: Value) {
    let path = if command["kind"].as_str().unwrap().starts_with("provider") { "/hocuspocus" } else { "/yjs" };
    command["do"] = "open".into();
    command["url"] = stand.url(path).into();
    if command["socket"].is_null() {
        command["socket"] = command["client"].clone();
    }
    node.tell(command).await;
}

fn people(state: &Value) -> Vec<&str> {
    state["people"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect()
}

#[tokio::test]
async fn five_kinds_of_client_write_in_one_room() {
    let stand = Stand::open().await;
    let mut node = Node::start().await;
    let token = stand.token(Role::Editor).await;
    let everybody: Vec<&str> = PROVIDERS.into_iter().chain(PLAIN).collect();
    for kind in &everybody {
        open(&mut node, &stand, kind, "notes", &token).await;
    }
    for kind in &everybody {
        node.until(kind, "synced", |state| state["isSynced"] == true).await;
    }
    for round in 0..10 {
        for kind in &everybody {
            node.insert(kind, &format!("{kind} says {round}. ")).await;
        }
    }
    let length = (0..10).flat_map(|_| &everybody).map(|kind| kind.len() + " says 0. ".len()).sum::<usize>();
    let mut texts = Vec::new();
    for kind in &everybody {
        let full = |state: &Value| state["text"].as_str().unwrap().len() == length;
        texts.push(node.until(kind, "complete", full).await["text"].clone());
    }
    assert!(texts.windows(2).all(|pair| pair[0] == pair[1]), "one text: {texts:?}");
    for kind in PROVIDERS {
        let state = node.settled(kind).await;
        assert_eq!(state["scope"], "read-write", "{kind}");
    }
    for kind in &everybody {
        node.tell(json!({ "do": "presence", "client": kind, "name": kind })).await;
    }
    for kind in &everybody {
        let mut all = everybody.clone();
        all.sort_unstable();
        node.until(kind, "aware of everybody", |state| people(state) == all).await;
    }
    // A pulled cable: gone for everybody within a second.
    node.order("cut", "provider-4").await;
    for kind in everybody.iter().filter(|kind| **kind != "provider-4") {
        let gone = |state: &Value| !people(state).contains(&"provider-4");
        node.until_within(Duration::from_secs(1), kind, "rid of a ghost", gone).await;
    }
}

#[tokio::test]
async fn a_reader_of_any_version_is_refused_and_its_text_stays_with_it() {
    let stand = Stand::open().await;
    let record = stand.record().await;
    let (editor, viewer) = (stand.token(Role::Editor).await, stand.token(Role::Viewer).await);
    let mut node = Node::start().await;
    open_as(
        &mut node,
        &stand,
        json!({ "client": "writer", "kind": "provider-4", "document": record, "token": editor }),
    )
    .await;
    let before = node.settled("writer").await["text"].clone();
    for kind in PROVIDERS.into_iter().chain(PLAIN) {
        open(&mut node, &stand, kind, &record, &viewer).await;
        node.until(kind, "synced", |state| state["isSynced"] == true).await;
        node.insert(kind, "not allowed").await;
    }
    for kind in PROVIDERS {
        let state = node.state(kind).await;
        assert_eq!(state["scope"], "readonly", "{kind}");
        assert_ne!(state["unsynced"], 0, "{kind} must not believe that it was saved");
    }
    node.insert("writer", " Adopted.").await;
    node.settled("writer").await;
    for kind in PROVIDERS.into_iter().chain(PLAIN) {
        node.until(kind, "up to date", |state| state["text"].as_str().unwrap().contains("Adopted.")).await;
    }
    let state = node.state("writer").await;
    assert_eq!(state["text"], format!("{} Adopted.", before.as_str().unwrap()));
}

#[tokio::test]
async fn a_denied_token_is_retried_on_the_same_socket() {
    let stand = Stand::open().await;
    let token = stand.token(Role::Editor).await;
    let mut node = Node::start().await;
    for kind in PROVIDERS {
        open(&mut node, &stand, kind, "notes", "wrong").await;
        node.until(kind, "denied", |state| state["denied"] == json!(["permission-denied"])).await;
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    let sockets = node.tell(json!({ "do": "sockets" })).await;
    assert_eq!(sockets, 3, "a denial leaves the socket");
    for kind in PROVIDERS {
        node.tell(json!({ "do": "authenticate", "client": kind, "token": token })).await;
        node.insert(kind, "let in. ").await;
        let state = node.settled(kind).await;
        assert_eq!(state["denied"], json!(["permission-denied"]), "{kind} was denied once");
        assert_eq!(state["closed"], json!([]), "{kind} kept its socket");
    }
    node.until("provider-2", "complete", |state| state["text"].as_str().unwrap().len() == 24).await;
}

#[tokio::test]
async fn edits_made_offline_arrive_once() {
    let stand = Stand::open().await;
    let token = stand.token(Role::Editor).await;
    let mut node = Node::start().await;
    let everybody: Vec<&str> = PROVIDERS.into_iter().chain(PLAIN).collect();
    for kind in &everybody {
        open(&mut node, &stand, kind, "notes", &token).await;
        node.until(kind, "synced", |state| state["isSynced"] == true).await;
        node.insert(kind, "online. ").await;
    }
    for kind in &everybody {
        node.until(kind, "complete", |state| state["text"].as_str().unwrap().len() == 40).await;
        node.order("offline", kind).await;
    }
    for kind in &everybody {
        node.until(kind, "offline", |state| state["isSynced"] != true).await;
        node.insert(kind, "offline. ").await;
        node.insert(kind, "still. ").await;
    }
    for kind in &everybody {
        node.order("online", kind).await;
    }
    let mut texts = Vec::new();
    for kind in &everybody {
        let state =
            node.until(kind, "complete", |state| state["text"].as_str().unwrap().len() == 40 + 5 * 16).await;
        texts.push(state["text"].clone());
    }
    assert!(texts.windows(2).all(|pair| pair[0] == pair[1]), "one text: {texts:?}");
    // Version 2 keeps what it wrote offline and sends it beside its answer, so it counts below zero.
    node.until("provider-2", "saved", |state| state["unsynced"].as_i64().unwrap() <= 0).await;
    for kind in ["provider-3", "provider-4"] {
        node.settled(kind).await;
    }
    // Again by a cut line, so that the server has not heard a goodbye.
    for kind in &everybody {
        node.order("cut", kind).await;
        node.insert(kind, "cut. ").await;
    }
    for kind in &everybody {
        node.until(kind, "complete", |state| state["text"].as_str().unwrap().len() == 120 + 5 * 5).await;
    }
}

#[tokio::test]
async fn two_providers_of_one_document_share_a_socket_by_session() {
    let stand = Stand::open().await;
    let token = stand.token(Role::Editor).await;
    let mut node = Node::start().await;
    for client in ["one", "two"] {
        open_as(
            &mut node,
            &stand,
            json!({ "client": client, "kind": "provider-4", "document": "notes", "token": token,
                    "socket": "shared", "session": true }),
        )
        .await;
        node.settled(client).await;
    }
    open(&mut node, &stand, "provider-3", "notes", &token).await;
    node.insert("one", "from one. ").await;
    node.insert("provider-3", "from three. ").await;
    for client in ["one", "two", "provider-3"] {
        node.until(client, "complete", |state| state["text"].as_str().unwrap().len() == 22).await;
        node.settled(client).await;
        node.tell(json!({ "do": "presence", "client": client, "name": client })).await;
    }
    for client in ["one", "two", "provider-3"] {
        node.until(client, "aware", |state| people(state) == ["one", "provider-3", "two"]).await;
    }
    assert_eq!(node.tell(json!({ "do": "sockets" })).await, 2);
    node.order("leave", "one").await;
    node.until("two", "alone on its socket", |state| people(state) == ["provider-3", "two"]).await;
    node.insert("provider-3", "still here").await;
    node.until("two", "complete", |state| state["text"].as_str().unwrap().len() == 32).await;
}

#[tokio::test]
async fn stateless_messages_go_round() {
    let stand = Stand::open().await;
    let token = stand.token(Role::Editor).await;
    let mut node = Node::start().await;
    for kind in PROVIDERS {
        open(&mut node, &stand, kind, "notes", &token).await;
        node.settled(kind).await;
    }
    for kind in PROVIDERS {
        node.tell(json!({ "do": "tell", "client": kind, "text": kind })).await;
        for other in PROVIDERS {
            let heard = |state: &Value| state["told"].as_array().unwrap().contains(&kind.into());
            node.until(other, "told", heard).await;
        }
    }
}

#[tokio::test]
async fn a_provider_without_presence_keeps_its_line_in_a_silent_room() {
    let stand = Stand::open().await;
    let token = stand.token(Role::Editor).await;
    let mut node = Node::start().await;
    for kind in PROVIDERS {
        open_as(
            &mut node,
            &stand,
            json!({ "client": kind, "kind": kind, "document": kind, "token": token, "awareness": false }),
        )
        .await;
        node.settled(kind).await;
    }
    // Providers give a line up after 30 seconds of silence.
    tokio::time::sleep(Duration::from_secs(40)).await;
    for kind in PROVIDERS {
        let state = node.state(kind).await;
        assert_eq!(state["closed"], json!([]), "{kind}");
        assert_eq!(state["isSynced"], true, "{kind}");
    }
}

#[tokio::test]
async fn whoever_may_not_come_in_is_told_for_good() {
    let stand = Stand::open().await;
    let mut node = Node::start().await;
    for kind in PLAIN {
        open(&mut node, &stand, kind, "notes", "wrong").await;
        node.until(kind, "refused", |state| state["closed"].as_array().unwrap().contains(&4401.into())).await;
    }
    let state = node.until("y-websocket-3", "stopped", |state| state["stopped"] == 4401).await;
    assert_eq!(state["closed"], json!([4401]), "version 3 does not knock again");
}

#[tokio::test]
async fn a_renewal_that_was_refused_makes_nobody_deaf() {
    let stand = Stand::open().await;
    let token = stand.token(Role::Editor).await;
    let mut node = Node::start().await;
    for kind in PROVIDERS {
        open(&mut node, &stand, kind, "notes", &token).await;
        node.settled(kind).await;
    }
    for kind in PROVIDERS {
        node.tell(json!({ "do": "authenticate", "client": kind, "token": "expired" })).await;
        node.until(kind, "denied", |state| !state["denied"].as_array().unwrap().is_empty()).await;
    }
    for kind in PROVIDERS {
        node.tell(json!({ "do": "authenticate", "client": kind, "token": token })).await;
        node.insert(kind, "written later. ").await;
    }
    for kind in PROVIDERS {
        node.until(kind, "complete", |state| state["text"].as_str().unwrap().len() == 45).await;
        node.settled(kind).await;
    }
}

#[tokio::test]
async fn access_taken_away_and_given_again_loses_no_word() {
    let stand = Stand::open().await;
    let token = stand.token(Role::Editor).await;
    let mut node = Node::start().await;
    for kind in ["provider-3", "provider-4"] {
        open(&mut node, &stand, kind, "notes", &token).await;
        node.settled(kind).await;
    }
    stand.revoke(&token).await;
    for kind in ["provider-3", "provider-4"] {
        node.until(kind, "denied", |state| !state["denied"].as_array().unwrap().is_empty()).await;
        node.insert(kind, "written meanwhile. ").await;
    }
    let token = stand.token(Role::Editor).await;
    for kind in ["provider-3", "provider-4"] {
        node.tell(json!({ "do": "authenticate", "client": kind, "token": token })).await;
    }
    for kind in ["provider-3", "provider-4"] {
        node.until(kind, "complete", |state| state["text"].as_str().unwrap().len() == 38).await;
        node.settled(kind).await;
    }
}

#[tokio::test]
async fn a_full_disk_is_told_to_every_version_and_what_was_written_then_is_saved_afterwards() {
    let Some(disk) = crate::disk::SmallDisk::mount("size=64m") else { return };
    let data = disk.root.join("data");
    std::fs::create_dir(&data).unwrap();
    let stand = Stand::open_in(&data).await;
    let token = stand.token(Role::Editor).await;
    let mut node = Node::start().await;
    for kind in PROVIDERS {
        open(&mut node, &stand, kind, "notes", &token).await;
        node.settled(kind).await;
    }
    let ballast = disk.root.join("ballast");
    let filled = std::fs::write(&ballast, vec![0; 64 << 20]);
    assert!(filled.is_err(), "the disk should be full");
    for kind in PROVIDERS {
        // More than the space that the store had set aside for itself.
        node.tell(json!({ "do": "insert", "client": kind, "text": "x".repeat(600_000) })).await;
    }
    for kind in PROVIDERS {
        let told = |state: &Value| told_store(state) == Some("full");
        node.until(kind, "told that the disk is full", told).await;
        node.insert(kind, "written meanwhile").await;
    }
    for kind in PROVIDERS {
        assert_ne!(node.state(kind).await["unsynced"], 0, "{kind} must not believe that it was saved");
    }
    std::fs::remove_file(&ballast).unwrap();
    for kind in PROVIDERS {
        let saved = |state: &Value| told_store(state) == Some("writable") && state["unsynced"] == 0;
        node.until_within(Duration::from_secs(3), kind, "saved", saved).await;
    }
    let texts =
        [node.state("provider-2").await, node.state("provider-3").await, node.state("provider-4").await];
    assert!(texts.iter().all(|state| state["text"] == texts[0]["text"]));
    drop(stand);
}

/// What a client was last told about the store.
fn told_store(state: &Value) -> Option<&'static str> {
    let last = state["told"].as_array().unwrap().last()?.as_str()?.to_owned();
    ["full", "faulty", "writable"]
        .into_iter()
        .find(|word| last == format!(r#"{{"townhall":{{"store":"{word}"}}}}"#))
}
