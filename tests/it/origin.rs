//! A web page that somebody in the office visits cannot talk to the office's server.

use serde_json::json;
use townhall::auth::Role;

use crate::harness::http::handshake;
use crate::harness::{Office, Reply};

const SOCKETS: [&str; 3] = ["/hocuspocus", "/yjs/notes", "/yjs/record:a"];

/// Origins of pages that are not ours, for an office at `{A}` (address and port) and `{P}` (port).
const FOREIGN_ORIGINS: [&str; 46] = [
    "null",
    "",
    "http://",
    "http://evil.example",
    "https://evil.example",
    "http://evil.example:{P}",
    "http://127.0.0.1",
    "http://127.0.0.1:1",
    "http://127.0.0.1:80",
    "https://127.0.0.1",
    "http://127.0.0.2:{P}",
    "http://127.1:{P}",
    "http://0x7f000001:{P}",
    "http://2130706433:{P}",
    "http://0177.0.0.1:{P}",
    "http://0.0.0.0:{P}",
    "http://localhost:{P}",
    "http://localhost",
    "http://LOCALHOST:{P}",
    "http://localhost.evil.example:{P}",
    "http://{A}.evil.example",
    "http://{A}@evil.example",
    "http://evil.example@{A}",
    "http://evil.example/{A}",
    "http://evil.example#{A}",
    "http://evil.example?{A}",
    "http://{A}/",
    "http://{A}/page",
    "http://{A}:80",
    "http://{A} http://evil.example",
    "http://{A},http://evil.example",
    "http://{A}%00",
    "ftp://{A}",
    "ws://{A}",
    "file://",
    "file://{A}",
    "tauri://localhost",
    "tauri://{A}",
    "chrome-extension://abcdefghijklmnop",
    "moz-extension://abcdefgh",
    "http://[::1]:{P}",
    "http://[::ffff:127.0.0.1]:{P}",
    "http://[::ffff:7f00:1]:{P}",
    "//{A}",
    "{A}",
    "http://127.0.0.1:{P}.evil.example",
];

/// Hosts by which a page could have its own name point at us.
const FOREIGN_HOSTS: [&str; 30] = [
    "",
    "evil.example",
    "evil.example:{P}",
    "localhost.evil.example",
    "localhost.:{P}",
    "127.0.0.1.evil.example",
    "127.0.0.1.nip.io:{P}",
    "127.1:{P}",
    "0x7f.0.0.1:{P}",
    "0x7f000001",
    "2130706433",
    "0177.0.0.1",
    "127.0.0.1.",
    "127.0.0.1:",
    "127.0.0.1:99999",
    "127.0.0.1:{P}:80",
    "127.0.0.1:{P}x",
    "127.0.0.1 :{P}",
    "127.0.0.1, evil.example",
    "evil.example@127.0.0.1",
    "user@127.0.0.1:{P}",
    "[::1",
    "::1",
    "[::1]evil.example",
    "[fe80::1%25eth0]",
    "[127.0.0.1]",
    "townhall.local",
    "xn--lcalhost-54a",
    "*",
    "http://127.0.0.1:{P}",
];

fn filled(pattern: &str, office: &Office) -> String {
    let address = office.address();
    pattern.replace("{A}", &address.to_string()).replace("{P}", &address.port().to_string())
}

/// A record of what an attack could change: how many invitations are open, and the office's name.
async fn traces(office: &Office) -> (usize, String) {
    let invitations = office.admin().get("/api/v1/invitations").await.json();
    let name = office.admin().get("/api/v1/office").await.json()["name"].to_string();
    (invitations["invitations"].as_array().unwrap().len(), name)
}

/// Everything a page of this origin, or under this name, could try with the clerk's own cookie.
async fn attempts(office: &Office, cookie: &str, header: (&str, &str)) -> Vec<Reply> {
    let page = office.client().with_cookie(cookie).with(header.0, header.1);
    vec![
        page.post("/api/v1/invitations", json!({ "role": "admin" })).await,
        page.patch("/api/v1/office", json!({ "name": "Taken" })).await,
        page.post("/api/v1/office/sharing", json!({ "on": true })).await,
        page.delete("/api/v1/people/p-0").await,
        page.send("POST", "/api/v1/invitations", Some("text/plain"), b"{\"role\":\"admin\"}").await,
        page.send("POST", "/api/v1/join", Some("application/x-www-form-urlencoded"), b"code=A&name=B").await,
        page.send("OPTIONS", "/api/v1/invitations", None, b"").await,
    ]
}

async fn clerk(office: &Office) -> String {
    let link = office.handle().window_link();
    let once = link.split("#once=").nth(1).unwrap();
    let reply = office.client().post("/api/v1/auth/once", json!({ "once": once })).await;
    reply.cookie().unwrap()
}

#[tokio::test]
async fn no_foreign_page_changes_anything() {
    let office = Office::start().await;
    let cookie = clerk(&office).await;
    let before = traces(&office).await;
    for pattern in FOREIGN_ORIGINS {
        let origin = filled(pattern, &office);
        for reply in attempts(&office, &cookie, ("Origin", &origin)).await {
            assert_eq!((reply.status, reply.code().as_str()), (403, "origin_not_allowed"), "{origin:?}");
            assert_eq!(reply.header("access-control-allow-origin"), None, "{origin:?}");
        }
        assert_eq!(traces(&office).await, before, "{origin:?}");
    }
}

#[tokio::test]
async fn no_foreign_page_opens_a_socket() {
    let office = Office::start().await;
    let cookie = clerk(&office).await;
    let (host, own) = (office.address().to_string(), format!("http://{}", office.address()));
    for path in SOCKETS {
        for pattern in FOREIGN_ORIGINS {
            let origin = filled(pattern, &office);
            let headers = [("Host", host.as_str()), ("Origin", &origin), ("Cookie", &cookie)];
            assert_eq!(handshake(office.address(), path, &headers).await, 403, "{path} {origin:?}");
        }
        let twice = [("Host", host.as_str()), ("Origin", &own), ("Origin", "http://evil.example")];
        assert_eq!(handshake(office.address(), path, &twice).await, 403, "{path}");
    }
    let ours = [("Host", host.as_str()), ("Origin", own.as_str()), ("Cookie", &cookie)];
    assert_eq!(handshake(office.address(), "/hocuspocus", &ours).await, 101);
    // A program that is no browser sends no Origin; it says who it is inside.
    assert_eq!(handshake(office.address(), "/hocuspocus", &[("Host", &host)]).await, 101);
}

#[tokio::test]
async fn no_name_but_ours_reaches_a_route() {
    let office = Office::start().await;
    let cookie = clerk(&office).await;
    let before = traces(&office).await;
    for pattern in FOREIGN_HOSTS {
        let host = filled(pattern, &office);
        // The page believes that it talks to its own server: Origin and Host agree.
        let origin = format!("http://{host}");
        let page = office.client().with_cookie(&cookie).with("Host", &host).with("Origin", &origin);
        for path in ["/", "/health", "/metrics", "/api/v1/auth/me", "/api/v1/office", "/api/v1/records"] {
            let reply = page.get(path).await;
            assert_eq!((reply.status, reply.code().as_str()), (421, "host_not_ours"), "{host:?} {path}");
        }
        let reply = page.post("/api/v1/invitations", json!({ "role": "admin" })).await;
        assert_eq!(reply.status, 421, "{host:?}");
        for path in SOCKETS {
            let headers = [("Host", host.as_str()), ("Origin", origin.as_str()), ("Cookie", &cookie)];
            assert_eq!(handshake(office.address(), path, &headers).await, 421, "{host:?} {path}");
        }
    }
    assert_eq!(traces(&office).await, before);
    assert_eq!(office.client().without("Host").get("/health").await.status, 421);
    let twice = office.client();
    let mut twice = twice.with("Host", &office.address().to_string());
    twice.headers.push(("Host".to_owned(), "evil.example".to_owned()));
    assert_eq!(twice.get("/health").await.status, 421);
    let absolute = office.client().get("http://evil.example/health").await;
    assert_eq!(absolute.status, 421);
}

#[tokio::test]
async fn a_cookie_alone_changes_nothing_and_a_bearer_header_does() {
    let office = Office::start().await;
    let cookie = clerk(&office).await;
    let invite = json!({ "role": "editor" });
    let bare = office.client().without("Origin");
    let reply = bare.clone().with_cookie(&cookie).post("/api/v1/invitations", invite.clone()).await;
    assert_eq!(reply.status, 403);
    let token = office.mint(Role::Admin).await;
    let reply = bare.clone().with_token(&token).post("/api/v1/invitations", invite.clone()).await;
    assert_eq!(reply.status, 201);
    // Without an Origin a socket takes no cookie either: a browser always sends one.
    assert_eq!(bare.with_cookie(&cookie).get("/api/v1/auth/me").await.status, 200);
    let page = office.client().with_cookie(&cookie);
    assert_eq!(page.post("/api/v1/invitations", invite).await.status, 201);
    let form = page.send("POST", "/api/v1/invitations", Some("text/plain"), b"{\"role\":\"admin\"}").await;
    assert_eq!((form.status, form.code().as_str()), (415, "json_expected"));
}
