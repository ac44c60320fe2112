//! What a program may rely on over HTTP: every route, its answer and its refusals.

mod records;

use std::time::Duration;

use futures_util::StreamExt;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};
use townhall::auth::Role;
use townhall::clock::Stopwatch;
use townhall::config::Config;

use crate::harness::{Client, Office, PROGRAM};

#[tokio::test]
async fn an_office_is_healthy_once_it_is_ready() {
    let office = Office::start().await;
    let reply = office.client().get("/health").await;
    assert_eq!(reply.status, 200);
    let health = reply.json();
    assert_eq!(health["status"], "ok");
    assert_eq!(health["store"], "writable");
    assert_eq!(health["bus"], "embedded");
    assert_eq!(health["version"], env!("CARGO_PKG_VERSION"));
    office.stop().await;
}

#[tokio::test]
async fn a_minted_token_says_who_one_is_until_it_is_revoked() {
    let office = Office::start().await;
    for (role, word) in [(Role::Admin, "admin"), (Role::Editor, "editor"), (Role::Viewer, "viewer")] {
        let (token, id) = office.mint_named(role).await;
        assert_eq!(token.len(), 64);
        let me = office.client().with_token(&token).get("/api/v1/auth/me").await;
        assert_eq!((me.status, me.json()["user"]["role"].as_str()), (200, Some(word)));
        assert_eq!(office.admin().delete(&format!("/api/v1/tokens/{id}")).await.status, 204);
        let me = office.client().with_token(&token).get("/api/v1/auth/me").await;
        assert_eq!((me.status, me.code()), (401, "not_logged_in".to_owned()));
        assert_eq!(office.admin().delete(&format!("/api/v1/tokens/{id}")).await.status, 404);
    }
}

#[tokio::test]
async fn a_one_time_link_logs_this_computer_in_once() {
    let office = Office::start().await;
    let link = office.handle().window_link();
    let once = link.split("#once=").nth(1).unwrap();
    let reply = office.client().post("/api/v1/auth/once", json!({ "once": once })).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(reply.json()["user"]["role"], "admin");
    let set = reply.header("set-cookie").unwrap();
    assert!(set.contains("HttpOnly") && set.contains("SameSite=Strict") && set.contains("Path=/"), "{set}");
    let window = office.client().with_cookie(&reply.cookie().unwrap());
    assert_eq!(window.get("/api/v1/auth/me").await.json()["user"]["id"], "host");
    let again = office.client().post("/api/v1/auth/once", json!({ "once": once })).await;
    assert_eq!((again.status, again.code()), (403, "code_not_valid".to_owned()));
}

async fn window(office: &Office) -> Client {
    let link = office.handle().window_link();
    let once = link.split("#once=").nth(1).unwrap();
    let reply = office.client().post("/api/v1/auth/once", json!({ "once": once })).await;
    office.client().with_cookie(&reply.cookie().unwrap())
}

async fn joined(office: &Office, name: &str, role: &str) -> (Value, String) {
    let made = office.admin().post("/api/v1/invitations", json!({ "role": role })).await.json();
    let reply = office.client().post("/api/v1/join", json!({ "code": made["code"], "name": name })).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    (reply.json()["user"].clone(), reply.json()["token"].as_str().unwrap().to_owned())
}

/// A socket at `/yjs/<room>`, let in by its token.
async fn socket(office: &Office, token: &str) -> WebSocketStream<MaybeTlsStream<TcpStream>> {
    let mut request = office.ws("/yjs/minutes").into_client_request().unwrap();
    let protocol = format!("auth.{token}").parse().unwrap();
    request.headers_mut().insert("Sec-WebSocket-Protocol", protocol);
    let (mut socket, _) = connect_async(request).await.unwrap();
    let first = timeout(Duration::from_secs(5), socket.next()).await.unwrap().unwrap().unwrap();
    assert!(first.is_binary(), "{first:?}");
    socket
}

/// How long until this socket is closed.
async fn closed_after(socket: &mut WebSocketStream<MaybeTlsStream<TcpStream>>) -> Duration {
    let watch = Stopwatch::start();
    let end = async {
        while let Some(Ok(message)) = socket.next().await
            && !message.is_close()
        {}
    };
    timeout(Duration::from_secs(10), end).await.expect("the socket is closed");
    watch.elapsed()
}

#[tokio::test]
async fn the_host_and_colleagues_see_who_is_here() {
    let office = Office::start().await;
    let host = window(&office).await;
    let (ada, token) = joined(&office, "Ada", "editor").await;
    let _here = socket(&office, &token).await;
    let people = office.client().with_token(&token).get("/api/v1/people").await.json();
    let people = people["people"].as_array().unwrap();
    let of = |id: &Value| people.iter().find(|p| p["id"] == *id).unwrap_or_else(|| panic!("{id} {people:?}"));
    assert_eq!(of(&ada["id"])["name"], "Ada");
    assert_eq!(of(&ada["id"])["documents"], json!(["minutes"]));
    assert_eq!((&of(&ada["id"])["online"], &of(&ada["id"])["role"]), (&json!(true), &json!("editor")));
    assert_eq!(of(&json!("host"))["documents"], json!([]));

    let renamed = host.patch("/api/v1/auth/me", json!({ "name": "Bea (clerk)" })).await;
    assert_eq!((renamed.status, &renamed.json()["user"]["name"]), (200, &json!("Bea (clerk)")));
    let again = window(&office).await;
    assert_eq!(again.get("/api/v1/auth/me").await.json()["user"]["name"], "Bea (clerk)");
    assert_eq!(host.patch("/api/v1/auth/me", json!({ "name": " " })).await.code(), "name_missing");
}

#[tokio::test]
async fn taking_a_right_away_works_at_once() {
    let office = Office::start().await;
    let host = window(&office).await;
    let (ada, token) = joined(&office, "Ada", "editor").await;
    let mut here = socket(&office, &token).await;
    assert_eq!(host.delete(&format!("/api/v1/people/{}", ada["id"].as_str().unwrap())).await.status, 204);
    let took = closed_after(&mut here).await;
    assert!(took < Duration::from_secs(1), "{took:?}");
    assert_eq!(office.client().with_token(&token).get("/api/v1/people").await.status, 401);
    let people = host.get("/api/v1/people").await.text();
    assert!(!people.contains("Ada"), "{people}");
    // The code the person came by is closed too.
    assert_eq!(host.get("/api/v1/invitations").await.json(), json!({ "invitations": [] }));
    assert_eq!(host.delete("/api/v1/people/host").await.code(), "host_stays");
    assert_eq!(host.delete("/api/v1/people/p-0000000000000000").await.status, 404);

    let (minted, id) = office.mint_named(Role::Editor).await;
    let mut here = socket(&office, &minted).await;
    assert_eq!(office.admin().delete(&format!("/api/v1/tokens/{id}")).await.status, 204);
    let took = closed_after(&mut here).await;
    assert!(took < Duration::from_secs(1), "{took:?}");
}

#[tokio::test]
async fn a_token_with_an_end_ends_and_closes_its_sockets() {
    let office = Office::start().await;
    let new = json!({ "name": "Short", "role": "editor", "expires_in_s": 2 });
    let minted = office.admin().post("/api/v1/tokens", new).await.json();
    let token = minted["token"].as_str().unwrap();
    let mut here = socket(&office, token).await;
    let took = closed_after(&mut here).await;
    assert!(
        took < Duration::from_millis(4_500),
        "{took:?}: two seconds of life, one to notice, and a busy machine"
    );
    assert_eq!(office.client().with_token(token).get("/api/v1/auth/me").await.status, 401);
}

#[tokio::test]
async fn the_office_has_a_name_that_lasts() {
    let folder = tempfile::tempdir().unwrap();
    let office = Office::start_in(folder.path()).await;
    let state = office.admin().get("/api/v1/office").await.json();
    assert_eq!((&state["name"], &state["sharing"]), (&json!("Townhall"), &json!(false)));
    assert_eq!((&state["store"], &state["version"]), (&json!("writable"), &json!(env!("CARGO_PKG_VERSION"))));
    let renamed = office.admin().patch("/api/v1/office", json!({ "name": "Mairie de Pont-Aven" })).await;
    assert_eq!((renamed.status, &renamed.json()["name"]), (200, &json!("Mairie de Pont-Aven")));
    office.stop().await;
    let office = Office::start_in(folder.path()).await;
    let again = office.admin().get("/api/v1/office").await.json();
    assert_eq!(again["name"], "Mairie de Pont-Aven");
    assert!(state["id"].is_string() && again["id"] == state["id"], "an office keeps its id");
}

#[tokio::test]
async fn each_route_asks_for_the_right_it_needs() {
    let office = Office::start().await;
    let viewer = office.client().with_token(&office.mint(Role::Viewer).await);
    let editor = office.client().with_token(&office.mint(Role::Editor).await);
    let members = [("GET", "/api/v1/auth/me"), ("GET", "/api/v1/office"), ("GET", "/api/v1/people")];
    let hosts = [
        ("PATCH", "/api/v1/office"),
        ("POST", "/api/v1/office/sharing"),
        ("GET", "/api/v1/invitations"),
        ("POST", "/api/v1/invitations"),
        ("DELETE", "/api/v1/invitations/a"),
        ("DELETE", "/api/v1/people/a"),
        ("POST", "/api/v1/tokens"),
        ("DELETE", "/api/v1/tokens/a"),
    ];
    let kind = Some("application/json");
    for (method, path) in members.into_iter().chain(hosts) {
        let reply = office.client().send(method, path, kind, b"{}").await;
        assert_eq!((reply.status, reply.code().as_str()), (401, "not_logged_in"), "{method} {path}");
    }
    for (method, path) in members {
        assert_eq!(viewer.send(method, path, None, b"").await.status, 200, "{method} {path}");
    }
    for (method, path) in hosts {
        for client in [&viewer, &editor] {
            let reply = client.send(method, path, kind, b"{}").await;
            assert_eq!((reply.status, reply.code().as_str()), (403, "not_allowed"), "{method} {path}");
        }
    }
}

#[tokio::test]
async fn every_failure_has_the_same_form() {
    let office = Office::start().await;
    let admin = office.admin();
    let failures = [
        (admin.get("/api/v1/nothing").await, 404, "not_found"),
        (admin.get("/assets/nothing.js").await, 404, "not_found"),
        (admin.delete("/api/v1/auth/me").await, 405, "method_not_allowed"),
        (admin.post("/", json!({})).await, 405, "method_not_allowed"),
        (admin.send("POST", "/api/v1/tokens", Some("application/json"), b"{").await, 400, "bad_request"),
        (admin.post("/api/v1/tokens", json!({ "name": "A", "role": "king" })).await, 400, "bad_request"),
        (admin.post("/api/v1/tokens", json!({ "name": "", "role": "viewer" })).await, 400, "name_missing"),
        (
            admin.post("/api/v1/invitations", json!({ "role": "editor", "expires_in_s": 0 })).await,
            400,
            "bad_request",
        ),
        (admin.send("POST", "/api/v1/tokens", None, b"{}").await, 415, "json_expected"),
        (admin.delete("/api/v1/tokens/xyz").await, 404, "not_found"),
        (admin.delete("/api/v1/invitations/xyz").await, 404, "not_found"),
    ];
    for (reply, status, code) in failures {
        assert_eq!(
            (reply.status, reply.json()["success"].as_bool()),
            (status, Some(false)),
            "{}",
            reply.text()
        );
        assert_eq!(reply.code(), code);
        assert!(!reply.json()["error"]["message"].as_str().unwrap().is_empty());
    }
}

#[tokio::test]
async fn every_answer_tells_the_browser_to_load_nothing_from_elsewhere() {
    let office = Office::start().await;
    for path in ["/", "/join", "/records/abc", "/health", "/api/v1/auth/me", "/nothing.js"] {
        let reply = office.client().get(path).await;
        let policy = reply.header("content-security-policy").unwrap();
        for rule in ["default-src 'none'", "script-src 'self';", "frame-ancestors 'none'", "base-uri 'none'"]
        {
            assert!(policy.contains(rule), "{path}: {policy}");
        }
        assert!(!policy.contains("unsafe-eval") && !policy.contains("http:"), "{path}: {policy}");
        assert_eq!(reply.header("x-content-type-options"), Some("nosniff"), "{path}");
        assert_eq!(reply.header("referrer-policy"), Some("no-referrer"), "{path}");
        assert!(reply.header("cache-control").is_some() && reply.header("set-cookie").is_none(), "{path}");
    }
    for path in ["/", "/join", "/records", "/records/record-1"] {
        let reply = office.client().get(path).await;
        assert_eq!(reply.status, 200, "{path}");
        assert!(reply.header("content-type").unwrap().starts_with("text/html"), "{path}");
    }
}

#[tokio::test]
async fn people_who_joined_are_still_in_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let office = Office::start_in(folder.path()).await;
    let (ada, session) = joined(&office, "Ada", "editor").await;
    let made = office.admin().post("/api/v1/invitations", json!({ "role": "editor" })).await.json();
    office.stop().await;
    let office = Office::start_in(folder.path()).await;
    let me = office.client().with_token(&session).get("/api/v1/auth/me").await;
    assert_eq!((me.status, &me.json()["user"]), (200, &ada));
    // Codes are closed by a restart.
    let reply = office.client().post("/api/v1/join", json!({ "code": made["code"], "name": "Bea" })).await;
    assert_eq!(reply.code(), "code_not_valid");
    assert_eq!(
        office.admin().delete(&format!("/api/v1/people/{}", ada["id"].as_str().unwrap())).await.status,
        204
    );
    office.stop().await;
    let office = Office::start_in(folder.path()).await;
    assert_eq!(office.client().with_token(&session).get("/api/v1/auth/me").await.status, 401);
}

#[tokio::test]
async fn the_configured_numbers_count() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = Config::in_folder(folder.path().to_path_buf(), PROGRAM.into());
    config.realtime.max_rooms = 2;
    config.realtime.room_grace = Duration::from_millis(100);
    config.documents_free = true;
    let office = Office::start_with(config).await;
    let token = office.mint(Role::Editor).await;
    let open = async |room: &str| {
        let mut request = office.ws(&format!("/yjs/{room}")).into_client_request().unwrap();
        let protocol = format!("auth.{token}").parse().unwrap();
        request.headers_mut().insert("Sec-WebSocket-Protocol", protocol);
        let (mut socket, _) = connect_async(request).await.unwrap();
        let let_in = matches!(socket.next().await, Some(Ok(first)) if first.is_binary());
        let_in.then_some(socket)
    };
    let (one, two) = (open("one").await, open("two").await);
    assert!(one.is_some() && two.is_some());
    assert!(open("three").await.is_none(), "two rooms are all there are");
    drop(one);
    let watch = Stopwatch::start();
    while open("three").await.is_none() {
        assert!(watch.elapsed() < Duration::from_secs(5), "a room nobody is in makes room");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
