//! Nothing listens beyond this computer until the clerk shares, and a crowd at the door keeps nobody out.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::StreamExt;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use townhall::clock::Stopwatch;
use townhall::lan;

use crate::harness::http::{handshake, raw};
use crate::harness::{Client, Office, OfficeProcess};

const HALF_A_HEAD: &[u8] = b"GET /health HTTP/1.1\r\nHost: localhost\r\nX-Slow: ";

/// Reads until the other end closes; how long that took.
async fn until_closed(stream: &mut TcpStream, most: Duration) -> Option<Duration> {
    let watch = Stopwatch::start();
    let mut sink = [0; 1024];
    let read = async { while stream.read(&mut sink).await.is_ok_and(|n| n > 0) {} };
    timeout(most, read).await.ok().map(|()| watch.elapsed())
}

async fn reachable(address: SocketAddr) -> bool {
    match timeout(Duration::from_secs(2), TcpStream::connect(address)).await {
        Ok(Ok(_)) => Client::new(address).get("/health").await.status == 200,
        _ => false,
    }
}

/// Waits until this is so, for at most five seconds.
async fn eventually(what: &str, mut check: impl AsyncFnMut() -> bool) {
    let watch = Stopwatch::start();
    while !check().await {
        assert!(watch.elapsed() < Duration::from_secs(5), "{what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn only_this_computer_is_let_in_until_the_clerk_shares() {
    let office = Office::start().await;
    let port = office.address().port();
    let network: Vec<SocketAddr> = lan::addresses().iter().map(|a| SocketAddr::new(a.ip, port)).collect();
    if network.is_empty() {
        println!("this machine has no network address; only the switch itself is tried");
    }
    for address in &network {
        assert!(!reachable(*address).await, "{address} before sharing");
    }
    let state = office.admin().get("/api/v1/office").await.json();
    assert_eq!((&state["sharing"], &state["addresses"]), (&json!(false), &json!([])));

    let state = office.admin().post("/api/v1/office/sharing", json!({ "on": true })).await.json();
    assert_eq!(state["sharing"], true);
    assert_eq!(state["addresses"].as_array().unwrap().len(), network.len());
    for address in &network {
        assert!(reachable(*address).await, "{address} while sharing");
    }
    let invited = office.admin().post("/api/v1/invitations", json!({ "role": "editor" })).await.json();
    for address in state["addresses"].as_array().unwrap() {
        let link = invited["links"].as_array().unwrap().iter().find(|link| link["address"] == address["url"]);
        let url = format!("{}join#{}", address["url"].as_str().unwrap(), invited["code"].as_str().unwrap());
        assert_eq!(link.unwrap()["url"], url);
        assert!(link.unwrap()["qr"]["path"].as_str().is_some_and(|path| path.starts_with('M')));
    }
    let mut open = Vec::new();
    for address in &network {
        open.push(TcpStream::connect(address).await.unwrap());
    }
    let state = office.admin().post("/api/v1/office/sharing", json!({ "on": false })).await.json();
    assert_eq!(state["sharing"], false);
    for address in &network {
        eventually("shut after sharing", async || !reachable(*address).await).await;
    }
    assert_eq!(office.client().get("/health").await.status, 200);
    office.stop().await;
}

#[tokio::test]
async fn an_address_that_cannot_be_opened_is_not_shown_and_is_said() {
    let Some(main) = lan::addresses().first().map(|address| address.ip) else {
        println!("this machine has no network address; none can be taken");
        return;
    };
    let office = Office::start().await;
    let taken = TcpListener::bind((main, office.address().port())).await.unwrap();
    let shared = async || office.admin().get("/api/v1/office").await.json();
    let state = office.admin().post("/api/v1/office/sharing", json!({ "on": true })).await.json();
    assert_eq!((&state["sharing"], &state["shut"]), (&json!(true), &json!(true)));
    let shows_it = |state: &serde_json::Value| {
        state["addresses"].as_array().unwrap().iter().any(|address| address["ip"] == main.to_string())
    };
    assert!(!shows_it(&state), "{state}");
    drop(taken);
    eventually("it is opened once that is possible", async || shows_it(&shared().await)).await;
    assert_eq!(shared().await["shut"], false);
    office.stop().await;
}

#[tokio::test]
async fn sharing_survives_a_kill_and_ends_with_a_stop() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let is_shared =
        async |office: &OfficeProcess| office.admin().get("/api/v1/office").await.json()["sharing"] == true;
    let noted = async |office: &OfficeProcess| {
        office.admin().post("/api/v1/office/sharing", json!({ "on": true })).await;
        // Noted beside the answer.
        tokio::time::sleep(Duration::from_secs(1)).await;
    };
    if lan::addresses().is_empty() {
        println!("this machine has no network address; sharing on it is not resumed");
        return;
    }
    let office = OfficeProcess::start(&data);
    assert!(!is_shared(&office).await, "a first start");
    noted(&office).await;
    office.kill();

    let office = OfficeProcess::start(&data);
    eventually("shared again after a kill", async || is_shared(&office).await).await;
    let address = SocketAddr::new(lan::addresses()[0].ip, office.port());
    eventually("a colleague comes in", async || reachable(address).await).await;
    office.admin().post("/api/v1/office/sharing", json!({ "on": false })).await;
    assert!(!is_shared(&office).await, "what goes on by itself can be ended");
    eventually("shut again", async || !reachable(address).await).await;
    noted(&office).await;
    assert!(office.stop().success());

    let office = OfficeProcess::start(&data);
    assert!(!is_shared(&office).await, "after a stop somebody has to share again");
    noted(&office).await;
    office.admin().post("/api/v1/office/sharing", json!({ "on": false })).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    office.kill();
    let office = OfficeProcess::start(&data);
    assert!(!is_shared(&office).await, "it was ended before the kill");
    assert!(office.stop().success());
}

#[tokio::test]
async fn half_a_request_is_not_waited_for() {
    let office = Office::start().await;
    let mut stream = TcpStream::connect(office.address()).await.unwrap();
    stream.write_all(HALF_A_HEAD).await.unwrap();
    let dribble = async {
        let watch = Stopwatch::start();
        while watch.elapsed() < Duration::from_secs(20) && stream.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(200)).await;
            if let Ok(Ok(0)) = timeout(Duration::from_millis(1), stream.read(&mut [0; 512])).await {
                break;
            }
        }
        watch.elapsed()
    };
    let took = dribble.await;
    assert!((4..9).contains(&took.as_secs()), "{took:?}: traffic must not renew the deadline");
    let mut silent = TcpStream::connect(office.address()).await.unwrap();
    assert!(until_closed(&mut silent, Duration::from_secs(9)).await.is_some());
}

#[cfg(target_os = "linux")] // where all of 127.0.0.0/8 is this computer
#[tokio::test]
async fn two_thousand_dribbling_sockets_do_not_keep_a_colleague_out() {
    use std::net::{IpAddr, Ipv4Addr};

    use tokio::net::TcpSocket;

    rlimit::increase_nofile_limit(8_192).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let office = OfficeProcess::start(&folder.path().join("data"));
    let made = office.admin().post("/api/v1/invitations", json!({ "role": "editor" })).await.json();
    let mut crowd = Vec::new();
    for n in 0..2_000_u32 {
        let socket = TcpSocket::new_v4().unwrap();
        // Half of them from one address, half from as many as it takes.
        let from = if n % 2 == 0 { 1 } else { 2 + n / 32 };
        let from = Ipv4Addr::from(0x7f00_0000 + from);
        socket.bind(SocketAddr::new(IpAddr::V4(from), 0)).unwrap();
        let mut stream = socket.connect(office.address()).await.unwrap();
        stream.write_all(HALF_A_HEAD).await.ok();
        crowd.push(stream);
    }
    let dribble = tokio::spawn(async move {
        loop {
            for stream in &mut crowd {
                stream.write_all(b"x").await.ok();
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    for round in 0..5 {
        let watch = Stopwatch::start();
        let code = made["code"].as_str().unwrap();
        let name = format!("Colleague {round}");
        let reply = office.client().post("/api/v1/join", json!({ "code": code, "name": name })).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        println!("joined in {:?} beside 2,000 dribbling sockets", watch.elapsed());
        assert!(watch.elapsed() < Duration::from_secs(1), "{:?}", watch.elapsed());
    }
    dribble.abort();
}

#[tokio::test]
async fn strangers_of_one_address_are_counted_and_members_are_not() {
    let office = Office::start().await;
    let token = office.mint(townhall::auth::Role::Editor).await;
    let (host, bearer) = (office.address().to_string(), format!("Bearer {token}"));
    let mut members = Vec::new();
    for _ in 0..100 {
        let mut stream = TcpStream::connect(office.address()).await.unwrap();
        let head = format!(
            "GET /hocuspocus HTTP/1.1\r\nHost: {host}\r\nAuthorization: {bearer}\r\nConnection: Upgrade\r\n\
             Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 101");
        members.push(stream);
    }
    // A hundred members are no strangers: the next one is let in at once.
    assert_eq!(handshake(office.address(), "/hocuspocus", &[("Host", &host)]).await, 101);
    let connections = office.client().get("/health").await.json()["connections"].as_u64().unwrap();
    assert!(connections >= 101, "{connections}");
    drop(members);
    eventually("the seats are free again", async || {
        office.client().get("/health").await.json()["connections"].as_u64().unwrap() <= 3
    })
    .await;
}

#[tokio::test]
async fn large_heads_and_bodies_are_refused() {
    let office = Office::start().await;
    let long = "x".repeat(40 * 1024);
    let reply = office.client().with("X-Long", &long).get("/health").await;
    assert_eq!(reply.status, 431);
    let mut many = office.client();
    many.headers.extend((0..100).map(|n| (format!("X-{n}"), "y".to_owned())));
    assert_eq!(many.get("/health").await.status, 431);
    let reply = office.admin().post("/api/v1/tokens", json!({ "name": "x".repeat(70_000) })).await;
    assert_eq!((reply.status, reply.code().as_str()), (413, "too_large"));
    // A length that is a lie changes nothing: the bytes are counted as they come.
    let head = format!(
        "POST /api/v1/join HTTP/1.1\r\nHost: {0}\r\nOrigin: http://{0}\r\nContent-Type: application/json\r\n\
         Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n",
        office.address()
    );
    let mut bytes = head.into_bytes();
    for _ in 0..20 {
        bytes.extend_from_slice(b"2000\r\n");
        bytes.extend_from_slice(&[b'x'; 0x2000]);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"0\r\n\r\n");
    assert_eq!(raw(office.address(), &bytes).await.unwrap().status, 413);
}

#[tokio::test]
async fn garbage_at_the_door_ends_that_connection_only() {
    let office = Office::start().await;
    for bytes in
        [&b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..], b"\r\n\r\n\r\n", b"SSH-2.0-x\r\n", &[0; 9_000]]
    {
        let mut stream = TcpStream::connect(office.address()).await.unwrap();
        stream.write_all(bytes).await.ok();
        assert!(until_closed(&mut stream, Duration::from_secs(9)).await.is_some());
    }
    assert_eq!(office.client().get("/health").await.status, 200);
}

#[test]
fn a_start_that_cannot_work_says_why_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let office = OfficeProcess::start(&data);
    let (status, said) = OfficeProcess::fail(&data, &[], &[]);
    assert_eq!(
        (status.code(), last_line(&said).contains("already uses the folder")),
        (Some(3), true),
        "{said}"
    );

    let taken = office.address().to_string();
    let other = folder.path().join("other");
    let (status, said) = OfficeProcess::fail(&other, &["--listen", &taken], &[]);
    assert_eq!(
        (status.code(), last_line(&said).contains("cannot be listened on")),
        (Some(1), true),
        "{said}"
    );

    let config = folder.path().join("townhall.yml");
    std::fs::write(&config, "realtime:\n  prot: 3001\n").unwrap();
    let (status, said) = OfficeProcess::fail(&other, &["--config", config.to_str().unwrap()], &[]);
    assert_eq!((status.code(), last_line(&said).contains("line 2: prot: ")), (Some(2), true), "{said}");

    let (status, said) = OfficeProcess::fail(&other, &[], &[("TOWNHALL_LOG", "townhall=loud=er")]);
    assert_eq!((status.code(), said.contains("log filter")), (Some(2), true), "{said}");
}

fn last_line(text: &str) -> &str {
    text.trim_end().lines().next_back().unwrap_or_default()
}

#[cfg(unix)]
#[tokio::test]
async fn a_stop_is_graceful_and_quick() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let office = OfficeProcess::start(&data);
    let mut idle = TcpStream::connect(office.address()).await.unwrap();
    let made = office.mint(townhall::auth::Role::Editor).await;
    let watch = Stopwatch::start();
    let status = tokio::task::spawn_blocking(move || office.stop()).await.unwrap();
    assert!(status.success() && watch.elapsed() < Duration::from_secs(5), "{status} {:?}", watch.elapsed());
    assert!(until_closed(&mut idle, Duration::from_secs(1)).await.is_some());
    let office = OfficeProcess::start(&data);
    let me = office.client().with_token(&made).get("/api/v1/auth/me").await;
    assert_eq!(me.status, 200, "a token outlives a restart");
    assert!(office.link().contains("#once="));
}

#[tokio::test]
async fn a_stop_says_goodbye_to_every_socket() {
    let office = Office::start().await;
    let token = office.mint(townhall::auth::Role::Editor).await;
    let mut sockets = Vec::new();
    for n in 0..20 {
        let mut request = office.ws(&format!("/yjs/notes-{n}")).into_client_request().unwrap();
        let protocol = format!("auth.{token}").parse().unwrap();
        request.headers_mut().insert("Sec-WebSocket-Protocol", protocol);
        let (mut socket, _) = connect_async(request).await.unwrap();
        assert!(socket.next().await.unwrap().unwrap().is_binary());
        sockets.push(socket);
    }
    let watch = Stopwatch::start();
    let reading = tokio::spawn(async move {
        let mut goodbyes = 0;
        for mut socket in sockets {
            while let Some(Ok(message)) = socket.next().await {
                goodbyes += usize::from(message.is_close());
            }
        }
        goodbyes
    });
    office.stop().await;
    assert!(watch.elapsed() < Duration::from_secs(3), "{:?}", watch.elapsed());
    assert_eq!(reading.await.unwrap(), 20);
}

#[cfg(unix)] // where the number of open files has to be raised first
#[tokio::test]
async fn a_thousand_colleagues_behind_one_router_come_in_at_once() {
    rlimit::increase_nofile_limit(8_192).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let office = OfficeProcess::start(&folder.path().join("data"));
    let token = office.mint(townhall::auth::Role::Editor).await;
    let watch = Stopwatch::start();
    let mut coming = tokio::task::JoinSet::new();
    for _ in 0..1_000 {
        let mut request = office.ws("/yjs/meeting").into_client_request().unwrap();
        let protocol = format!("auth.{token}").parse().unwrap();
        request.headers_mut().insert("Sec-WebSocket-Protocol", protocol);
        coming.spawn(async move {
            let (mut socket, _) = connect_async(request).await.unwrap();
            assert!(socket.next().await.unwrap().unwrap().is_binary());
            socket
        });
    }
    let here = coming.join_all().await;
    println!("{} sockets of one address in {:?}", here.len(), watch.elapsed());
    assert!(watch.elapsed() < Duration::from_secs(10), "{:?}", watch.elapsed());
    assert!(office.client().get("/health").await.json()["connections"].as_u64().unwrap() >= 1_000);
}
