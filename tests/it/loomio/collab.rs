//! Shared texts of Loomio: the application says who writes in them.

use serde_json::json;
use townhall::auth::Role;

use super::app::App;
use crate::harness::node::Node;
use crate::harness::redis::RedisServer;
use crate::harness::socket::Raw;
use crate::harness::{Office, PROGRAM};

const PROVIDERS: [&str; 2] = ["provider-3", "provider-4"];

async fn open(
    node: &mut Node,
    office: &Office,
    kind: &str,
    client: &str,
    document: &str,
    token: Option<&str>,
) {
    let open = json!({
        "do": "open", "client": client, "kind": kind, "socket": client, "url": office.ws("/hocuspocus"),
        "document": document, "token": token
    });
    node.tell(open).await;
}

#[tokio::test]
async fn case_7_only_a_plain_yes_of_the_application_lets_a_provider_in() {
    for redis in RedisServer::without_and_with().await {
        let app = App::start().await;
        let url = redis.as_ref().map(|redis| redis.url().parse().unwrap());
        let (office, _folder) = app.office(|config| config.central = url).await;
        let mut node = Node::start().await;
        for kind in PROVIDERS {
            for status in [200, 201, 401, 500, 302] {
                app.say(status);
                let client = format!("{kind} {status}");
                open(&mut node, &office, kind, &client, "comment-456-body", Some("123,abc")).await;
                let answered = |state: &serde_json::Value| {
                    !state["scope"].is_null()
                        || state["denied"].as_array().is_some_and(|denied| !denied.is_empty())
                };
                let state = node.until(&client, "answered", answered).await;
                let asked = app.take();
                assert_eq!(asked.len(), 1, "{client}");
                assert_eq!((&*asked[0].method, &*asked[0].path), ("POST", "/api/hocuspocus"));
                assert_eq!(asked[0].kind, "application/json; charset=UTF-8");
                let body = json!({ "user_secret": "123,abc", "document_name": "comment-456-body" });
                assert_eq!(asked[0].json(), body);
                match status {
                    200 => assert_eq!(state["scope"], "read-write", "{client}"),
                    _ => assert_eq!(state["denied"][0], "permission-denied", "{client}"),
                }
                if status == 500 {
                    // The socket is still there, and the same provider may try again.
                    app.say(200);
                    node.tell(json!({ "do": "authenticate", "client": client, "token": "123,abc" })).await;
                    node.until(&client, "in after all", |state| state["scope"] == "read-write").await;
                    app.take();
                }
                node.order("leave", &client).await;
                node.order("offline", &client).await;
            }
            app.say(401);
            let client = format!("{kind} nobody");
            open(&mut node, &office, kind, &client, "comment-456-body", None).await;
            node.until(&client, "denied", |state| state["denied"][0] == "permission-denied").await;
            assert_eq!(app.take()[0].json()["user_secret"], "");
            node.order("leave", &client).await;
            node.order("offline", &client).await;
        }
    }
}

#[tokio::test]
async fn a_redirect_counts_only_where_the_operator_says_so() {
    let app = App::start().await;
    let (office, _folder) = app.office(|config| config.loomio.follow_redirects = true).await;
    app.say(302);
    let mut node = Node::start().await;
    open(&mut node, &office, "provider-4", "a", "comment-456-body", Some("123,abc")).await;
    node.until("a", "let in", |state| state["scope"] == "read-write").await;
    let asked = app.take();
    assert_eq!((&*asked[1].method, &*asked[1].path), ("GET", "/fine"));
    assert!(asked[1].body.is_empty());
}

/// The page's editor: a fragment and a map, both of them in every provider.
async fn page(node: &mut Node, client: &str, xml: &str) {
    let wanted = json!({ "initialContentLoaded": true });
    node.until(client, "of one text", |state| {
        state["xml"] == xml && state["config"] == wanted && state["unsynced"] == 0
    })
    .await;
}

#[tokio::test]
async fn case_8_two_write_and_the_text_outlives_them_and_the_server() {
    for redis in RedisServer::without_and_with().await {
        let app = App::start().await;
        let folder = tempfile::tempdir().unwrap();
        let start = async || {
            let mut config = townhall::config::Config::in_folder(folder.path().to_path_buf(), PROGRAM.into());
            config.loomio.app_url = Some(format!("http://{}", app.address));
            config.central = redis.as_ref().map(|redis| redis.url().parse().unwrap());
            Office::start_with(config).await
        };
        let (office, mut node) = (start().await, Node::start().await);
        for (client, kind, token) in [("ann", "provider-3", "1,a"), ("bob", "provider-4", "2,b")] {
            open(&mut node, &office, kind, client, "poll-7-details", Some(token)).await;
            node.settled(client).await;
        }
        node.tell(json!({ "do": "paragraph", "client": "ann", "text": "Where" })).await;
        node.tell(json!({ "do": "config", "client": "ann", "key": "initialContentLoaded", "value": true }))
            .await;
        page(&mut node, "bob", "<paragraph>Where</paragraph>").await;
        node.tell(json!({ "do": "paragraph", "client": "bob", "text": "shall we meet?" })).await;
        let text = "<paragraph>Where</paragraph><paragraph>shall we meet?</paragraph>";
        for client in ["ann", "bob"] {
            page(&mut node, client, text).await;
            node.order("leave", client).await;
            node.order("offline", client).await;
        }
        open(&mut node, &office, "provider-4", "third", "poll-7-details", Some("3,c")).await;
        page(&mut node, "third", text).await;
        node.order("leave", "third").await;
        office.stop().await;
        let office = start().await;
        open(&mut node, &office, "provider-3", "fourth", "poll-7-details", Some("4,d")).await;
        page(&mut node, "fourth", text).await;
    }
}

#[tokio::test]
async fn an_answer_counts_for_one_socket_and_a_new_one_asks_again() {
    let app = App::start().await;
    let (office, _folder) = app.office(|_| {}).await;
    let mut node = Node::start().await;
    open(&mut node, &office, "provider-4", "a", "comment-1-body", Some("1,x")).await;
    node.until("a", "in", |state| state["scope"] == "read-write").await;
    node.tell(json!({ "do": "authenticate", "client": "a", "token": "1,x" })).await;
    node.insert("a", "x").await;
    node.settled("a").await;
    assert_eq!(app.take().len(), 1);
    app.say(401);
    node.order("cut", "a").await;
    node.until("a", "out", |state| state["denied"].as_array().is_some_and(|denied| !denied.is_empty())).await;
    assert!(!app.take().is_empty());
}

#[tokio::test]
async fn nothing_but_the_application_opens_its_documents() {
    let app = App::start().await;
    let (office, _folder) = app.office(|_| {}).await;
    let token = office.mint(Role::Editor).await;
    // A token of the office itself, on the other path, and in the token's place.
    let url = office.ws("/yjs/comment-1-body");
    let mut socket = Raw::connect(&url, &[("authorization", &format!("Bearer {token}"))]).await;
    assert_eq!(socket.close_code().await, 4403);
    app.say(401);
    let mut node = Node::start().await;
    open(&mut node, &office, "provider-4", "a", "comment-1-body", Some(&token)).await;
    node.until("a", "denied", |state| state["denied"][0] == "permission-denied").await;
    assert_eq!(app.take().len(), 1);
    // A stranger's drafts bear the stranger's own token; the application itself would not look.
    app.say(200);
    open(&mut node, &office, "provider-4", "b", "group-new-5-description", Some("0,tok-en")).await;
    node.until("b", "denied", |state| state["denied"][0] == "permission-denied").await;
    assert!(app.take().is_empty());
    open(&mut node, &office, "provider-4", "c", "group-new-tok-en-description", Some("0,tok-en")).await;
    node.until("c", "in", |state| state["scope"] == "read-write").await;
    // What the office keeps beside it is still its own.
    open(&mut node, &office, "provider-4", "d", "notes", Some(&token)).await;
    node.until("d", "in", |state| state["scope"] == "read-write").await;
}
