//! An office that stands alone gives its own people channel tokens, and says where they may write.

use serde_json::{Value, json};
use townhall::auth::Role;
use townhall::config::Config;

use crate::harness::node::Node;
use crate::harness::{Client, Office, PROGRAM};

async fn alone(visitors: bool) -> (Office, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let mut config = Config::in_folder(folder.path().to_path_buf(), PROGRAM.into());
    config.loomio.visitors = visitors;
    (Office::start_with(config).await, folder)
}

/// The user's id and the channel token of a page.
async fn boot(client: &Client) -> (Value, String) {
    let reply = client.get("/api/v1/boot/site").await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let site = reply.json();
    (site["current_user_id"].clone(), site["channel_token"].as_str().unwrap().to_owned())
}

/// What another server of texts is told, which has neither cookie nor page.
async fn asked(office: &Office, secret: &str, document: &str) -> u16 {
    let server = office.client().without("Origin");
    let question = json!({ "user_secret": secret, "document_name": document });
    server.post("/api/hocuspocus", question).await.status
}

#[tokio::test]
async fn a_page_gets_a_channel_token_that_is_its_persons() {
    let (office, _folder) = alone(false).await;
    let (token, id) = office.mint_named(Role::Editor).await;
    let ada = office.client().with_token(&token);
    let (user, channel) = boot(&ada).await;
    assert!(user.as_u64().is_some_and(|user| user > 0 && user < 1 << 53), "{user}");
    assert_eq!(boot(&ada).await, (user.clone(), channel.clone()));
    let (other, others) = boot(&office.client().with_token(&office.mint(Role::Editor).await)).await;
    assert!(other != user && others != channel && channel.len() == 64);
    let (nobody, strangers) = boot(&office.client()).await;
    assert!(nobody.is_null() && strangers.len() == 64);
    let secret = format!("{user},{channel}");
    for (document, status) in [
        ("comment-456-body", 200),
        ("discussionTemplate-1-description", 200),
        (&*format!("comment-new-{user}-4-Discussion-7-body"), 200),
        (&*format!("comment-new-{other}-4-body"), 403),
        (&*format!("user-{user}-shortBio"), 200),
        (&*format!("user-{other}-shortBio"), 403),
        ("comment-456", 400),
        ("letter-456-body", 400),
        ("record:a", 400),
        ("", 400),
    ] {
        assert_eq!(asked(&office, &secret, document).await, status, "{document}");
    }
    for bad in [
        format!("{other},{channel}"),
        format!("{user},{others}"),
        format!("{user},{token}"),
        format!("0,{strangers}"),
        format!("0,{channel}"),
        user.to_string(),
        format!("{user},"),
        String::new(),
    ] {
        assert_eq!(asked(&office, &bad, "comment-456-body").await, 401, "{bad}");
    }
    let server = office.client().without("Origin");
    for body in
        ["", "null", "[]", "{}", "{\"user_secret\":1,\"document_name\":2}", "{\"user_secret\":\"1,x\"}"]
    {
        let reply = server.send("POST", "/api/hocuspocus", Some("application/json"), body.as_bytes()).await;
        assert_eq!(reply.status, 400, "{body}");
    }
    // A page of another place gets nothing, and a reader may not write.
    let stranger = office.client().with("Origin", "http://elsewhere.example");
    assert_eq!(stranger.post("/api/hocuspocus", json!({})).await.status, 403);
    let (reader, channel) = boot(&office.client().with_token(&office.mint(Role::Viewer).await)).await;
    assert_eq!(asked(&office, &format!("{reader},{channel}"), "comment-456-body").await, 403);
    // With the person's access ends what the token opened.
    assert_eq!(office.admin().delete(&format!("/api/v1/tokens/{id}")).await.status, 204);
    assert_eq!(asked(&office, &secret, "comment-456-body").await, 401);
}

#[tokio::test]
async fn the_same_secret_opens_the_text_itself_and_ends_with_its_person() {
    let (office, _folder) = alone(false).await;
    let (token, id) = office.mint_named(Role::Editor).await;
    let (user, channel) = boot(&office.client().with_token(&token)).await;
    let mut node = Node::start().await;
    let open = |client: &str, document: &str, secret: String| {
        json!({
            "do": "open", "client": client, "kind": "provider-4", "socket": client,
            "url": office.ws("/hocuspocus"), "document": document, "token": secret
        })
    };
    node.tell(open("in", "comment-9-body", format!("{user},{channel}"))).await;
    node.insert("in", "Dear all").await;
    node.settled("in").await;
    node.tell(open("wrong", "comment-9-body", format!("{user},x{channel}"))).await;
    node.until("wrong", "denied", |state| state["denied"][0] == "permission-denied").await;
    office.admin().delete(&format!("/api/v1/tokens/{id}")).await;
    node.until("in", "out", |state| state["denied"].as_array().is_some_and(|all| !all.is_empty())).await;
}

#[tokio::test]
async fn a_strangers_drafts_bear_the_strangers_own_token() {
    let (office, _folder) = alone(true).await;
    let (nobody, token) = boot(&office.client()).await;
    let (_, other) = boot(&office.client()).await;
    assert!(nobody.is_null() && token != other);
    let secret = format!("0,{token}");
    for (document, status) in [
        (format!("group-new-{token}-description"), 200),
        (format!("group-new-{other}-description"), 403),
        (format!("comment-new-{token}-body"), 403),
        ("group-new-5-description".to_owned(), 403),
        ("group-5-description".to_owned(), 403),
    ] {
        assert_eq!(asked(&office, &secret, &document).await, status, "{document}");
    }
    let made_up = "0".repeat(64);
    assert_eq!(asked(&office, &format!("0,{made_up}"), &format!("group-new-{made_up}-x")).await, 401);
}
