//! What a program may rely on over HTTP: every route, its answer and its refusals.

use serde_json::json;
use townhall::auth::Role;

use crate::harness::Office;

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
