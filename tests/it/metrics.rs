//! What an operator sees, and what must never be seen there: no secret is in any log, figure or address.

use crate::harness::Office;

#[tokio::test]
async fn the_figures_of_the_promises_are_there() {
    let office = Office::start().await;
    office.client().with("Host", "evil.example").get("/").await;
    let reply = office.client().get("/metrics").await;
    assert_eq!(reply.status, 200);
    let text = reply.text();
    for name in [
        "townhall_connections 1",
        "townhall_rooms ",
        "townhall_peers ",
        "townhall_messages_in_total ",
        "townhall_messages_out_total ",
        "townhall_edits_saved_total ",
        "townhall_refused_total{reason=\"host_not_ours\"} 1",
        "townhall_commit_seconds_bucket",
        "townhall_writer_queue ",
        "townhall_outbox_bytes ",
        "townhall_resyncs_total ",
        "townhall_store_writable 1",
        "townhall_memory_bytes ",
    ] {
        assert!(text.contains(name), "{name} is missing in\n{text}");
    }
    assert!(text.ends_with("# EOF\n"));
}

/// The program is asked to end, which is a signal.
#[cfg(unix)]
mod secrets {
    use serde_json::json;
    use tokio::net::TcpStream;
    use townhall::auth::Role;

    use crate::harness::http::handshake;
    use crate::harness::{OfficeProcess, admin_token};

    /// Brings secrets to every place that takes one, and to some that do not.
    async fn use_secrets(office: &OfficeProcess, secrets: &mut Vec<String>) {
        let admin = office.admin();
        let token = office.mint(Role::Editor).await;
        let invitation = admin.post("/api/v1/invitations", json!({ "role": "editor" })).await.json();
        let code = invitation["code"].as_str().unwrap().to_owned();
        let joined = office.client().post("/api/v1/join", json!({ "code": code, "name": "Ada" })).await;
        let session = joined.json()["token"].as_str().unwrap().to_owned();
        let once = office.link().split("#once=").nth(1).unwrap().to_owned();
        office.client().post("/api/v1/auth/once", json!({ "once": once })).await;
        let wrong = "canary0000000000000000000000000000000000000000000000000000000000".to_owned();
        for secret in [&token, &session, &wrong, &code] {
            office.client().with_token(secret).get("/api/v1/auth/me").await;
            office.client().with_cookie(&format!("townhall_session={secret}")).get("/api/v1/auth/me").await;
            office.client().get(&format!("/?token={secret}")).await;
            office.client().get(&format!("/api/v1/nothing?token={secret}")).await;
            office.client().post("/api/v1/join", json!({ "code": secret, "name": "G" })).await;
            office.client().post("/api/v1/auth/once", json!({ "once": secret })).await;
            office.client().post("/api/v1/join", json!({ "code": 7, "name": secret })).await;
            let host = office.address().to_string();
            let protocol = format!("auth.{secret}");
            let headers = [("Host", host.as_str()), ("Sec-WebSocket-Protocol", &protocol)];
            handshake(office.address(), "/yjs/notes", &headers).await;
            handshake(office.address(), &format!("/yjs/notes?token={secret}"), &[("Host", &host)]).await;
            let foreign = [("Host", host.as_str()), ("Origin", "http://evil.example"), ("Cookie", secret)];
            handshake(office.address(), &format!("/hocuspocus?token={secret}"), &foreign).await;
        }
        drop(TcpStream::connect(office.address()).await);
        secrets.extend([token, session, wrong, once, code.replace('-', ""), code]);
    }

    #[tokio::test]
    async fn no_secret_is_ever_logged() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let everything = [("TOWNHALL_LOG", "trace"), ("RUST_LOG", "trace"), ("RUST_BACKTRACE", "1")];
        let mut secrets = Vec::new();
        for form in ["text", "json"] {
            let mut environment = everything.to_vec();
            environment.push(("TOWNHALL_LOG_FORMAT", form));
            let office = OfficeProcess::start_with(&data, &[], &environment);
            use_secrets(&office, &mut secrets).await;
            let figures = office.client().get("/metrics").await.text();
            let health = office.client().get("/health").await.text();
            let log = office.log();
            tokio::task::spawn_blocking(move || office.stop()).await.unwrap();
            secrets.push(admin_token(&data));
            for secret in &secrets {
                for (place, text) in [("the log", &log), ("the figures", &figures), ("the health", &health)] {
                    let at = text.find(secret.as_str());
                    assert!(
                        at.is_none(),
                        "{place} shows {secret}: {:?}",
                        at.map(|at| &text[at.saturating_sub(200)..at])
                    );
                }
            }
            for said in ["the office is open", "joined", "token minted", "a request was refused", "answered"]
            {
                assert!(log.contains(said), "{said:?} is not in the log:\n{log}");
            }
            assert!(!log.contains("?token"), "a query was logged:\n{log}");
        }
        let after = std::fs::read_to_string(data.with_extension("log")).unwrap();
        assert!(after.contains("stopped"), "{after}");
    }
}
