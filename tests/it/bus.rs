//! What is published reaches whoever listens, with and without a central Redis, and nobody waits for one that is away.

mod central;
mod collections;
mod emitted;
#[cfg(target_os = "linux")] // where a file can be named as the authority to trust
mod encrypted;
mod faults;
mod layouts;
mod lines;

use serde_json::json;
use townhall::auth::Role;

use crate::harness::Office;

#[tokio::test]
async fn programs_and_administrators_publish_and_nobody_else() {
    let office = Office::start().await;
    let said = json!({ "channel": "/records", "message": { "room": "group-1", "records": {} } });
    for (role, status) in [(Role::Admin, 200), (Role::Service, 200), (Role::Editor, 403), (Role::Viewer, 403)]
    {
        let client = office.client().with_token(&office.mint(role).await);
        let reply = client.post("/api/v1/channels", said.clone()).await;
        assert_eq!(reply.status, status, "{role:?}: {}", reply.text());
        if status == 200 {
            assert_eq!(reply.json()["forwarded"], false);
        }
    }
    assert_eq!(office.client().post("/api/v1/channels", said.clone()).await.status, 401);
    let admin = office.admin();
    for (body, status, code) in [
        (json!({ "channel": "", "message": 1 }), 400, "bad_channel"),
        (json!({ "channel": "a\nb", "message": 1 }), 400, "bad_channel"),
        (json!({ "channel": "a" }), 400, "bad_request"),
        (json!({ "channel": "a", "message": 1, "id": "" }), 400, "bad_request"),
        (json!({ "channel": "a", "message": "x".repeat(1024 * 1024) }), 413, "too_large"),
    ] {
        let reply = admin.post("/api/v1/channels", body).await;
        assert_eq!((reply.status, reply.code().as_str()), (status, code));
    }
    let plain = admin.send("POST", "/api/v1/channels", Some("text/plain"), b"{}").await;
    assert_eq!(plain.status, 415);
}

#[tokio::test]
async fn a_program_that_publishes_reads_nothing() {
    let office = Office::start().await;
    let service = office.client().with_token(&office.mint(Role::Service).await);
    assert_eq!(service.get("/api/v1/auth/me").await.json()["user"]["role"], "service");
    for path in ["/api/v1/records", "/api/v1/people", "/api/v1/office", "/api/v1/invitations"] {
        assert_eq!(service.get(path).await.status, 403, "{path}");
    }
    let reply = office.admin().post("/api/v1/invitations", json!({ "role": "service" })).await;
    assert_eq!(reply.status, 400, "{}", reply.text());
}
