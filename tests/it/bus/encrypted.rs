//! A Redis behind TLS, with a certificate of the town's own authority.

use std::time::Duration;

use futures_util::StreamExt;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use serde_json::{Value, json};
use tokio::time::timeout;
use townhall::clock::Stopwatch;

use crate::harness::OfficeProcess;
use crate::harness::redis::RedisServer;

const SOON: Duration = Duration::from_secs(10);

/// The authority's certificate, and a server's for `localhost` with its key, all as PEM.
fn certificates() -> (String, String, String) {
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let authority_pem = authority.self_signed(&key).unwrap().pem();
    let issuer = Issuer::new(authority, key);
    let key = KeyPair::generate().unwrap();
    let server = CertificateParams::new(["localhost".to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
    (authority_pem, server.pem(), key.serialize_pem())
}

/// Waits until the settings page shows what is looked for.
async fn shown(office: &OfficeProcess, what: impl Fn(&Value) -> bool) -> Value {
    let watch = Stopwatch::start();
    loop {
        let shown = office.admin().get("/api/v1/settings/redis").await.json();
        if what(&shown["redis"]["state"]) {
            return shown;
        }
        assert!(watch.elapsed() < SOON, "{shown}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn an_encrypted_redis_is_used_where_its_certificate_is_trusted_and_nowhere_else() {
    let (authority, certificate, key) = certificates();
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let (authority, certificate, key) =
        (file("authority", &authority), file("certificate", &certificate), file("key", &key));
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let lines =
        format!("tls-port {port}\ntls-cert-file {certificate}\ntls-key-file {key}\ntls-auth-clients no\n");
    let Some(redis) = RedisServer::start_as(&lines, &[]).await else { return };
    let url = format!("rediss://localhost:{port}");

    let trusting = [("REDIS_URL", &*url), ("SSL_CERT_FILE", &*authority)];
    let office = OfficeProcess::start_with(&folder.path().join("one"), &[], &trusting);
    shown(&office, |state| state["up"] == true).await;
    let mut elsewhere = redis.listen("ours").await.into_on_message();
    let said = office.admin().post("/api/v1/channels", json!({ "channel": "ours", "message": 1 })).await;
    assert_eq!(said.status, 200, "{}", said.text());
    let heard = timeout(SOON, elsewhere.next()).await.expect("it gets there").unwrap();
    assert_eq!(heard.get_payload_bytes(), b"1");

    let office = OfficeProcess::start_with(&folder.path().join("two"), &[], &[("REDIS_URL", &*url)]);
    let shown = shown(&office, |state| !state["last_error"].is_null()).await;
    assert_eq!(shown["redis"]["state"]["up"], false, "{shown}");
    assert!(shown["redis"]["state"]["last_error"].as_str().unwrap().contains("certificate"), "{shown}");
}
