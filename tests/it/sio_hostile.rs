//! One bad client of the channels stays one bad client: the real server, honest listeners beside whoever tries it, and
//! its memory.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};
use tokio_tungstenite::tungstenite::{Bytes, Message};
use tokio_tungstenite::{MaybeTlsStream, client_async};
use townhall::auth::Role;
use townhall::clock::Stopwatch;
use townhall::config::limits::{SIO_SESSIONS_PER_ADDRESS_MAX, SIO_STRAIN_MAX};
use townhall::faces::sio::SioOptions;

use crate::harness::channels::{Channels, Wire};
use crate::harness::{Client, OfficeProcess};

const POLLING: &str = "/socket.io/?EIO=4&transport=polling";
/// An honest message is late after this long. A server that is stuck takes many seconds; a test machine that builds
/// beside us takes one.
const LATE: Duration = Duration::from_secs(3);

// --- who is there ----------------------------------------------------------------------------------------

/// The real program, with an honest back end.
struct Town {
    office: OfficeProcess,
    back_end: Client,
    _folder: tempfile::TempDir,
}

/// Somebody with a room of their own.
struct Page {
    token: String,
    room: String,
}

impl Town {
    async fn open() -> Self {
        #[cfg(unix)] // elsewhere there is no such limit
        rlimit::increase_nofile_limit(8_192).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let office = OfficeProcess::start(&folder.path().join("data"));
        let back_end = office.client().with_token(&office.mint(Role::Service).await);
        Self { office, back_end, _folder: folder }
    }

    fn address(&self) -> SocketAddr {
        self.office.address()
    }

    async fn page(&self) -> Page {
        let client = self.office.client().with_token(&self.office.mint(Role::Viewer).await);
        let site = client.get("/api/v1/boot/site").await.json();
        let token = site["channel_token"].as_str().unwrap().to_owned();
        Page { token, room: format!("user-{}", site["current_user_id"].to_string().trim_matches('"')) }
    }

    async fn publish(&self, room: &str, number: u64, text: &str) {
        publish(&self.back_end, room, number, text).await;
    }

    /// A figure of `/metrics`; 0 when it was never counted.
    async fn figure(&self, name: &str) -> u64 {
        let text = self.office.admin().get("/metrics").await.text();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.map_or(0, |figure| figure.trim().parse::<f64>().unwrap() as u64)
    }

    async fn refused(&self, reason: &str) -> u64 {
        self.figure(&format!("townhall_refused_total{{reason=\"{reason}\"}}")).await
    }
}

async fn publish(back_end: &Client, room: &str, number: u64, text: &str) {
    let message = json!({ "room": room, "n": number, "text": text });
    let body = json!({ "channel": "/records", "message": message });
    let reply = back_end.post("/api/v1/channels", body).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
}

/// The number in a record, if this is one.
fn number(packet: &str) -> Option<u64> {
    let event: Value = serde_json::from_str(packet.strip_prefix("42")?).ok()?;
    (event[0] == "records").then(|| event[1]["n"].as_u64())?
}

/// A connection from one of many addresses.
async fn line(to: SocketAddr, from: u32) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::new(IpAddr::V4(Ipv4Addr::from(0x7f00_0100 + from)), 0)).unwrap();
    socket.connect(to).await.unwrap()
}

/// A WebSocket of the channels on this connection, its handshake read.
async fn wire_on(stream: TcpStream, to: SocketAddr, query: &str) -> Wire {
    let url = format!("ws://{to}/socket.io/?EIO=4&transport=websocket{query}");
    let (ws, _) = client_async(url, MaybeTlsStream::Plain(stream)).await.unwrap();
    let mut wire = Wire(ws);
    assert!(wire.text().await.starts_with('0'));
    wire
}

async fn wire(to: SocketAddr, from: u32) -> Wire {
    wire_on(line(to, from).await, to, "").await
}

/// A visitor of the channels: in, as nobody in particular.
async fn visitor(to: SocketAddr, from: u32) -> Wire {
    let mut wire = wire(to, from).await;
    wire.say("40").await;
    assert!(wire.text().await.starts_with("40{"));
    wire
}

/// One request from an address, on a connection of its own: the answer's status and body.
async fn ask(to: SocketAddr, from: u32, method: &str, path: &str, body: &[u8]) -> (u16, String) {
    let mut stream = line(to, from).await;
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {to}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let mut all = Vec::new();
    let talk = async {
        // A server that refuses early does not read to the end.
        if stream.write_all(&[head.as_bytes(), body].concat()).await.is_ok() {
            stream.read_to_end(&mut all).await.ok();
        }
    };
    timeout(Duration::from_secs(35), talk).await.expect("an answer or an end");
    let text = String::from_utf8_lossy(&all).into_owned();
    let status = text.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    (status, text.split_once("\r\n\r\n").map_or(String::new(), |(_, body)| body.to_owned()))
}

/// A polling session's path.
async fn session(to: SocketAddr, from: u32) -> String {
    let (status, open) = ask(to, from, "GET", POLLING, b"").await;
    assert_eq!(status, 200, "{open}");
    let open: Value = serde_json::from_str(&open[1..]).unwrap();
    format!("{POLLING}&sid={}", open["sid"].as_str().unwrap())
}

// --- the honest ones -------------------------------------------------------------------------------------

/// What the honest ones saw.
#[derive(Default)]
struct Seen {
    stop: AtomicBool,
    told: AtomicU64,
    worst_ms: AtomicU64,
}

/// Three honest ones: a back end that publishes, and two pages of one person, on a WebSocket that hears at once, and
/// polling, that hears everything in order.
async fn witness(town: &Town) -> (Arc<Seen>, JoinHandle<()>) {
    let page = town.page().await;
    let (seen, back_end, at) = (Arc::new(Seen::default()), town.back_end.clone(), town.address());
    let stream = TcpStream::connect(at).await.unwrap();
    let mut wire = wire_on(stream, at, &format!("&channel_token={}", page.token)).await;
    wire.say("40").await;
    assert!(wire.text().await.starts_with("40{"));
    let polls = poll_to_the_end(town.office.client().without("Origin"), &page.token).await;
    let saw = seen.clone();
    let all = tokio::spawn(async move {
        for n in 0.. {
            let last = saw.stop.load(Ordering::Relaxed);
            let watch = Stopwatch::start();
            publish(&back_end, &page.room, n, if last { "last" } else { "honest" }).await;
            while number(&wire.text().await) != Some(n) {}
            saw.worst_ms.fetch_max(watch.elapsed().as_millis() as u64, Ordering::Relaxed);
            saw.told.store(n + 1, Ordering::Relaxed);
            if last {
                return assert_eq!(polls.await.unwrap(), n + 1, "the one who polls heard all of it");
            }
            sleep(Duration::from_millis(10)).await;
        }
    });
    (seen, all)
}

/// Comes in by polling, and polls until the last message: how many there were, in order.
async fn poll_to_the_end(client: Client, token: &str) -> JoinHandle<u64> {
    let open = client.get(&format!("{POLLING}&channel_token={token}")).await.text();
    let open: Value = serde_json::from_str(&open[1..]).unwrap();
    let path = format!("{POLLING}&sid={}", open["sid"].as_str().unwrap());
    let post = async |client: &Client, body: &str| {
        let reply = client.send("POST", &path, Some("text/plain"), body.as_bytes()).await;
        assert_eq!(reply.text(), "ok", "an honest one who polls is let go on");
    };
    post(&client, "40").await;
    assert!(client.get(&path).await.text().starts_with("40{"));
    let path = path.clone();
    tokio::spawn(async move {
        let mut next = 0;
        loop {
            let heard = client.get(&path).await.text();
            for packet in heard.split('\u{1e}') {
                match packet {
                    "2" => {
                        let reply = client.send("POST", &path, Some("text/plain"), b"3").await;
                        assert_eq!(reply.text(), "ok");
                    }
                    record => {
                        assert_eq!(number(record), Some(next), "{record}");
                        next += 1;
                        if record.contains("\"last\"") {
                            return next;
                        }
                    }
                }
            }
        }
    })
}

// --- what is tried ---------------------------------------------------------------------------------------

/// Text that no client says, each an end.
fn malformed() -> Vec<String> {
    let million = |piece: &str| piece.repeat(990_000 / piece.len());
    let mut all: Vec<String> = [
        "abc",
        "",
        "5",
        "0{}",
        "4",
        "49",
        "4abc",
        "42",
        "42{}",
        "42[]",
        "42[\"connect\"]",
        "42[\"x\"",
        "42[\"x\\ud8",
        "40[]",
        "45500000-[\"x\"]",
        "45999999999999999999999-[\"x\"]",
        "45-[\"x\"]",
        "451-[\"x\",{\"_placeholder\":true,\"num\":9}]",
        "4299999999999999999999[\"x\"]",
        "42/é\u{0},[\"x\"]",
        "42/nowhere,[\"x\"]",
        "43[]",
        "44{}",
        "47",
        "b!!!!",
    ]
    .map(str::to_owned)
    .into();
    all.extend([
        format!("42[\"x\",{}", million("[")),
        format!("42[\"x\",{}{}]", "[".repeat(490_000), "]".repeat(490_000)),
        format!("42/{},[\"x\"]", million("é")),
        format!("42{}[\"x\"]", million("9")),
        format!("45{}-[\"x\"]", million("9")),
        format!("42[\"{}\"]", million("😀")),
        format!("451-[\"x\"{}]", million(",{\"_placeholder\":true,\"num\":1}")),
    ]);
    all
}

/// Everything malformed, by those who are in, by those who are not, and by polling: each ends that connection.
async fn say_what_is_malformed(at: SocketAddr) {
    for (n, text) in malformed().into_iter().enumerate() {
        let (begin, from) = (text.chars().take(20).collect::<String>(), n as u32);
        let mut member = visitor(at, from).await;
        member.0.send(Message::Text(text.clone().into())).await.ok();
        assert_eq!(member.closed().await, 1002, "{begin}");
        if text.len() < 1_000 {
            // Letters cut in half, at every place.
            let mut cut = visitor(at, from).await;
            let half = [
                b"42[\"x\",\"",
                [&b"\xc3"[..], b"\xf0\x9f", b"\xf0\x9f\x98", b"\xc3\xa9\xf0"][n % 4],
                b"\"]",
            ]
            .concat();
            send_frame(&mut cut, 0x81, half.len() as u64, &half).await;
            assert_eq!(cut.closed().await, 1007, "{half:?}");
            let mut stranger = wire(at, from).await;
            stranger.0.send(Message::Text(text.clone().into())).await.ok();
            assert_eq!(stranger.closed().await, 1002, "{begin}");
        }
        let path = session(at, from).await;
        assert_eq!(ask(at, from, "POST", &path, b"40").await, (200, "ok".to_owned()));
        let (status, _) = ask(at, from, "POST", &path, text.as_bytes()).await;
        assert_eq!(status, 400, "{begin}");
        assert_eq!(ask(at, from, "GET", &path, b"").await.0, 400, "{begin}");
    }
}

/// Writes a frame by hand: the length that it says, and what really follows.
async fn send_frame(wire: &mut Wire, opcode: u8, says: u64, content: &[u8]) {
    let mut frame = vec![opcode, 0x80 | 127];
    frame.extend(says.to_be_bytes());
    frame.extend([0; 4]); // a mask that changes nothing
    frame.extend(content);
    wire.0.get_mut().write_all(&frame).await.ok();
}

/// Lengths that are too much to believe.
async fn say_giant_lengths(at: SocketAddr) {
    for (says, code) in [(1_000_001, 1009), (u64::from(u32::MAX), 1009), (1 << 62, 1009), (u64::MAX, 1009)] {
        let mut member = visitor(at, 200).await;
        send_frame(&mut member, 0x82, says, b"x").await;
        let closed = member.closed().await;
        assert!([code, 1002].contains(&closed), "{says}: {closed}");
    }
    let mut pieces = visitor(at, 201).await;
    send_frame(&mut pieces, 0x01, 300_000, &[b'4'; 300_000]).await;
    for _ in 0..20 {
        send_frame(&mut pieces, 0x00, 300_000, &[b'x'; 300_000]).await;
    }
    assert_eq!(pieces.closed().await, 1009, "pieces add up");
    let path = session(at, 202).await;
    ask(at, 202, "POST", &path, b"40").await;
    let (status, body) = ask(at, 202, "POST", &path, &vec![b'4'; 1_000_001]).await;
    assert_eq!((status, body.contains("Payload too large")), (413, true));
    let path = session(at, 203).await;
    let (status, _) = ask(at, 203, "POST", &path, &vec![b'4'; 100_000]).await;
    assert_eq!(status, 413, "a stranger's share is smaller");
    let mut ten = visitor(at, 204).await;
    ten.say("4510-[\"x\"]").await;
    for _ in 0..10 {
        ten.0.send(Message::Binary(Bytes::from(vec![0; 999_999]))).await.ok();
    }
    assert_eq!(ten.closed().await, 1002, "ten attachments of a megabyte are too much together");
}

/// Says the same for ever, as fast as it is heard, and comes back when it is closed. Nothing is a WebSocket's own ping.
async fn flood(
    at: SocketAddr,
    from: u32,
    stop: Arc<AtomicBool>,
    packets: &'static [&'static str],
    reads: bool,
) {
    while !stop.load(Ordering::Relaxed) {
        let mut wire = visitor(at, from).await;
        'one: while !stop.load(Ordering::Relaxed) {
            for packet in packets {
                let said = wire.0.feed(match *packet {
                    "" => Message::Ping(Bytes::new()),
                    text => Message::Text(text.into()),
                });
                // A server that has heard enough takes nothing for a while.
                if matches!(timeout(Duration::from_millis(500), said).await, Ok(Err(_))) {
                    break 'one;
                }
            }
            while reads && let Ok(Some(heard)) = timeout(Duration::ZERO, wire.0.next()).await {
                if matches!(heard, Err(_) | Ok(Message::Close(_))) {
                    break 'one;
                }
            }
        }
    }
}

/// As many packets as fit into one payload: its sender is stopped.
async fn flood_in_one_payload(at: SocketAddr) {
    let path = session(at, 650).await;
    ask(at, 650, "POST", &path, b"40").await;
    let (status, body) = ask(at, 650, "POST", &path, "6\u{1e}".repeat(450_000).as_bytes()).await;
    assert_eq!((status, body.contains("Too many messages")), (429, true), "{body}");
    assert_eq!(ask(at, 650, "GET", &path, b"").await.0, 400, "its session is over");
}

/// Opens sessions and does nothing with them.
async fn open_and_forget(at: SocketAddr, stop: Arc<AtomicBool>) {
    for n in (0..).take_while(|_| !stop.load(Ordering::Relaxed)) {
        let (status, _) = ask(at, 300 + n % 4, "GET", POLLING, b"").await;
        assert!([200, 503].contains(&status), "{status}");
        sleep(Duration::from_millis(2)).await;
    }
}

/// Somebody has another one's secret session id, and uses it from elsewhere. It is worth no more than the session: a
/// second request beside the owner's ends it, and the owner takes it up again where nobody knows the new one.
async fn steal_a_session(town: &Town) {
    let (at, page) = (town.address(), town.page().await);
    let open = ask(at, 400, "GET", &format!("{POLLING}&channel_token={}", page.token), b"").await.1;
    let open: Value = serde_json::from_str(&open[1..]).unwrap();
    let path = format!("{POLLING}&sid={}", open["sid"].as_str().unwrap());
    ask(at, 400, "POST", &path, b"40").await;
    let connected = ask(at, 400, "GET", &path, b"").await.1;
    let connected: Value = serde_json::from_str(connected.strip_prefix("40").unwrap()).unwrap();
    // The public id opens nothing, on no transport.
    for id in [&connected["sid"], &connected["pid"]] {
        let forged = format!("{POLLING}&sid={}", id.as_str().unwrap());
        for (method, body) in [("GET", ""), ("POST", "1")] {
            assert_eq!(ask(at, 401, method, &forged, body.as_bytes()).await.0, 400);
        }
    }
    // The secret one: whoever listens beside the owner ends the session for both.
    let (owner, thief) = tokio::join!(ask(at, 400, "GET", &path, b""), async {
        sleep(Duration::from_millis(100)).await;
        ask(at, 401, "GET", &path, b"").await
    });
    assert_eq!(owner, (200, "1".to_owned()), "the owner is told that it is over");
    assert_eq!(thief.0, 400, "and the other one hears nothing");
    town.publish(&page.room, 7, "secret").await;
    assert_eq!(ask(at, 401, "GET", &path, b"").await.0, 400);
    let mut owner = wire_on(line(at, 400).await, at, &format!("&channel_token={}", page.token)).await;
    owner.say(&format!("40{{\"pid\":{}}}", connected["pid"])).await;
    let again: Value = serde_json::from_str(owner.text().await.strip_prefix("40").unwrap()).unwrap();
    assert_eq!(again["sid"], connected["sid"], "who was there before is there again");
    assert_eq!(number(&owner.text().await), Some(7), "and missed nothing");
    drop(owner);
    steal_by_another_transport(at, &page).await;
}

/// Whoever moves another one's session to a WebSocket has it until the owner asks again, and no longer.
async fn steal_by_another_transport(at: SocketAddr, page: &Page) {
    let open = ask(at, 400, "GET", &format!("{POLLING}&channel_token={}", page.token), b"").await.1;
    let open: Value = serde_json::from_str(&open[1..]).unwrap();
    let sid = open["sid"].as_str().unwrap();
    let path = format!("{POLLING}&sid={sid}");
    ask(at, 400, "POST", &path, b"40").await;
    let connected = ask(at, 400, "GET", &path, b"").await.1;
    let connected: Value = serde_json::from_str(connected.strip_prefix("40").unwrap()).unwrap();
    let url = format!("ws://{at}/socket.io/?EIO=4&transport=websocket&sid={sid}");
    let mut thief = Wire(client_async(url, MaybeTlsStream::Plain(line(at, 401).await)).await.unwrap().0);
    thief.say("2probe").await;
    assert_eq!(thief.text().await, "3probe");
    thief.say("5").await;
    // Its owner finds out with the next request, and takes it up again.
    while ask(at, 400, "GET", &path, b"").await
        != (400, "{\"code\":3,\"message\":\"Bad request\"}".to_owned())
    {}
    let mut owner = wire_on(line(at, 400).await, at, &format!("&channel_token={}", page.token)).await;
    owner.say(&format!("40{{\"pid\":{}}}", connected["pid"])).await;
    let again: Value = serde_json::from_str(owner.text().await.strip_prefix("40").unwrap()).unwrap();
    assert_eq!(again["sid"], connected["sid"]);
    assert_eq!(thief.closed().await, 1008, "what was stolen is taken back");
}

/// A page that does not read: it is closed, and hears everything once it comes back.
async fn read_nothing(town: &Town) {
    let (at, page) = (town.address(), town.page().await);
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(16 * 1024).unwrap();
    let mut slow =
        wire_on(socket.connect(at).await.unwrap(), at, &format!("&channel_token={}", page.token)).await;
    slow.say("40").await;
    let connected: Value = serde_json::from_str(slow.text().await.strip_prefix("40").unwrap()).unwrap();
    let (text, before) = ("x".repeat(80_000), town.refused("outbox_overflow").await);
    let mut said = 0;
    while town.refused("outbox_overflow").await == before {
        assert!(said < 400, "its outbox has a bound");
        town.publish(&page.room, said, &text).await;
        said += 1;
    }
    town.publish(&page.room, said, "after").await;
    drop(slow);
    let mut back = wire_on(line(at, 500).await, at, &format!("&channel_token={}", page.token)).await;
    back.say(&format!("40{{\"pid\":{}}}", connected["pid"])).await;
    assert!(back.text().await.contains(connected["sid"].as_str().unwrap()));
    for n in 0..=said {
        assert_eq!(number(&back.text().await), Some(n), "once, in order");
    }
}

// --- two thousand that dribble ---------------------------------------------------------------------------

const HALF_HEADS: usize = 700;
const BODIES: usize = 600;
const HALF_FRAMES: usize = 700;

/// Two thousand connections of a hundred addresses: heads of requests, bodies and frames that come byte by byte and
/// have no end.
async fn crowd(at: SocketAddr) -> Vec<TcpStream> {
    let mut coming = JoinSet::new();
    let mut crowd = Vec::new();
    for n in 0..HALF_HEADS + BODIES + HALF_FRAMES {
        let from = 1_000 + (n % 100) as u32;
        coming.spawn(async move {
            if n < HALF_HEADS {
                let mut stream = line(at, from).await;
                stream.write_all(b"GET /socket.io/?EIO=4 HTTP/1.1\r\nX-Slow: ").await.ok();
                return stream;
            }
            if n < HALF_HEADS + BODIES {
                let path = session(at, from).await;
                ask(at, from, "POST", &path, b"40").await;
                let mut stream = line(at, from).await;
                let head = format!(
                    "POST {path} HTTP/1.1\r\nHost: {at}\r\nContent-Length: 900000\r\n\r\n42[\"x\",\""
                );
                stream.write_all(head.as_bytes()).await.ok();
                return stream;
            }
            let mut half = wire(at, from).await;
            send_frame(&mut half, 0x81, 900_000, b"40{\"").await;
            match half.0.into_inner() {
                MaybeTlsStream::Plain(stream) => stream,
                _ => panic!("plain"),
            }
        });
        if coming.len() >= 50 {
            crowd.push(coming.join_next().await.unwrap().unwrap());
        }
    }
    crowd.extend(coming.join_all().await);
    crowd
}

/// A byte a second on each, until all are closed: after how long.
async fn dribble(mut crowd: Vec<TcpStream>) -> Duration {
    let watch = Stopwatch::start();
    let mut scratch = [0; 4096];
    while !crowd.is_empty() {
        let mut left = Vec::with_capacity(crowd.len());
        for mut stream in crowd {
            let written = timeout(Duration::from_millis(10), stream.write_all(b"x")).await;
            let over = loop {
                match stream.try_read(&mut scratch) {
                    Ok(0) => break true,
                    Ok(_) => {}
                    Err(error) => break error.kind() != std::io::ErrorKind::WouldBlock,
                }
            };
            if !over && !matches!(written, Ok(Err(_))) {
                left.push(stream);
            }
        }
        crowd = left;
        assert!(watch.elapsed() < Duration::from_secs(60), "{} are still there", crowd.len());
        sleep(Duration::from_secs(1)).await;
    }
    watch.elapsed()
}

// --- the tests -------------------------------------------------------------------------------------------

/// The greatest of the program's resident memory until it is told to stop, in KiB.
fn highest(office: &OfficeProcess, stop: Arc<AtomicBool>) -> std::thread::JoinHandle<u64> {
    let status = format!("/proc/{}/status", office.id());
    std::thread::spawn(move || {
        let mut highest = 0;
        while !stop.load(Ordering::Relaxed) {
            let status = std::fs::read_to_string(&status).unwrap_or_default();
            let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
            let kib = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
            highest = highest.max(kib.unwrap_or(0));
            std::thread::sleep(Duration::from_millis(50));
        }
        highest
    })
}

#[cfg(target_os = "linux")] // where all of 127.0.0.0/8 is this computer
#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_tried_ends_with_whoever_tries_it() {
    let town = Town::open().await;
    let (seen, honest) = witness(&town).await;
    sleep(Duration::from_millis(500)).await;
    let (before_kib, stop, at) =
        (town.office.resident_kib(), Arc::new(AtomicBool::new(false)), town.address());
    let highest = highest(&town.office, stop.clone());
    let (watch, floods_stop) = (Stopwatch::start(), Arc::new(AtomicBool::new(false)));
    let mut crowds = JoinSet::new();
    crowds.spawn(async move { dribble(crowd(at).await).await });
    let mut floods = JoinSet::new();
    for (n, (packets, reads)) in [
        (&["6"] as &'static [&'static str], true),
        (&["42[\"nobody-knows-this\",{\"a\":[1,2,3]}]"], true),
        (&["420[\"asks\",\"for an answer, and does not read it\"]"], false),
        (&["41", "40"], true),
        (&[""], false),
    ]
    .into_iter()
    .enumerate()
    {
        floods.spawn(flood(at, 600 + n as u32, floods_stop.clone(), packets, reads));
    }
    let forget = tokio::spawn(open_and_forget(at, floods_stop.clone()));
    let payload = tokio::spawn(flood_in_one_payload(at));
    say_what_is_malformed(at).await;
    say_giant_lengths(at).await;
    steal_a_session(&town).await;
    read_nothing(&town).await;
    let tried = watch.elapsed();
    payload.await.unwrap();
    while town.refused("packet_flood").await < 2 {
        assert!(watch.elapsed() < 5 * SIO_STRAIN_MAX, "who does not stop has to go");
        sleep(Duration::from_millis(250)).await;
    }
    floods_stop.store(true, Ordering::Relaxed);
    floods.join_all().await;
    forget.await.unwrap();
    let dribbled = crowds.join_next().await.unwrap().unwrap();
    stop.store(true, Ordering::Relaxed);
    seen.stop.store(true, Ordering::Relaxed);
    honest.await.expect("the honest ones were not disturbed");
    let grown_kib = highest.join().unwrap().saturating_sub(before_kib);
    let worst = Duration::from_millis(seen.worst_ms.load(Ordering::Relaxed));
    println!(
        "{} honest messages, {worst:?} at the worst; all tried in {tried:?}; the crowd was gone after {dribbled:?}; \
         memory grew by {grown_kib} KiB at most",
        seen.told.load(Ordering::Relaxed)
    );
    assert!(worst < LATE, "{worst:?}");
    assert!(grown_kib < 128 << 10, "grown by {grown_kib} KiB");
    for reason in
        ["malformed_packet", "message_too_large", "packet_flood", "outbox_overflow", "connect_timeout"]
    {
        assert!(town.refused(reason).await > 0, "{reason} is counted");
    }
    assert!(town.figure("townhall_connections").await < 20, "nobody of them is left");
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_that_nobody_uses_give_way_to_a_colleague_behind_the_same_router() {
    let channels = Channels::start_with(SioOptions::default()).await;
    let (mut member, _) = channels.member().await;
    for _ in 0..SIO_SESSIONS_PER_ADDRESS_MAX + 10 {
        channels.session().await;
    }
    let (mut newcomer, _) = channels.member().await;
    for wire in [&mut member, &mut newcomer] {
        wire.say("42[\"message\",1]").await;
        assert_eq!(wire.text().await, "42[\"message-back\",1]");
    }
    assert!(channels.sio.sessions() <= SIO_SESSIONS_PER_ADDRESS_MAX);
    assert!(channels.metrics.text().unwrap().contains("reason=\"channels_full\"}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_of_nobody_in_particular_give_way_too_and_a_members_does_not() {
    let channels = Channels::start_with(SioOptions::default()).await;
    let mut member = channels.open().await;
    member.say("40{\"token\":\"known\"}").await;
    assert!(member.text().await.starts_with("40{"));
    let nobody = async || {
        let sid = channels.session().await;
        assert_eq!(channels.post(&sid, "40").await.status, 200);
        sid
    };
    let (oldest, second) = (nobody().await, nobody().await);
    for _ in 3..SIO_SESSIONS_PER_ADDRESS_MAX + 1 {
        nobody().await;
    }
    assert_eq!(channels.poll(&oldest).await.status, 400, "it gave way to the newest");
    assert_eq!(channels.poll(&second).await.status, 200);
    member.say("42[\"message\",1]").await;
    while member.text().await != "42[\"message-back\",1]" {}
}

/// Signs of life are asked for often, and there is time to give them.
fn patient() -> SioOptions {
    SioOptions {
        ping_interval: Duration::from_millis(400),
        ping_timeout: Duration::from_secs(2),
        ..SioOptions::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn announced_data_that_does_not_come_ends_the_session() {
    let channels = Channels::start_with(patient()).await;
    let (mut wire, _) = channels.member().await;
    wire.say("452-[\"message\",{\"_placeholder\":true,\"num\":0}]").await;
    wire.say_binary(&[1]).await;
    let watch = Stopwatch::start();
    assert_eq!(wire.closed().await, 1008, "signs of life do not count");
    assert!(watch.elapsed() > Duration::from_millis(350), "{:?}", watch.elapsed());
    assert!(channels.metrics.text().unwrap().contains("reason=\"attachments_missing\"} 1"));
    // Who is slow, and goes on, is heard.
    let (mut wire, _) = channels.member().await;
    wire.say("455-[\"message\",{\"_placeholder\":true,\"num\":0}]").await;
    for _ in 0..5 {
        // Signs of life are given meanwhile.
        while timeout(Duration::from_millis(200), wire.next()).await.is_ok() {}
        wire.say_binary(&[1]).await;
    }
    while !wire.text().await.starts_with("455-[\"message-back\"") {}
}

#[tokio::test(flavor = "multi_thread")]
async fn members_whose_frames_never_end_are_gone_with_their_signs_of_life() {
    let channels = Channels::start_with(patient()).await;
    let mut crowd = Vec::new();
    for _ in 0..50 {
        let (mut wire, _) = channels.member().await;
        send_frame(&mut wire, 0x81, 900_000, b"42[\"x\",\"").await;
        crowd.push(wire);
    }
    let (mut honest, _) = channels.member().await;
    let watch = Stopwatch::start();
    while channels.sio.sessions() > 1 {
        for wire in &mut crowd {
            wire.0.get_mut().write_all(b"x").await.ok();
        }
        honest.say("42[\"message\",1]").await;
        while honest.text().await != "42[\"message-back\",1]" {}
        assert!(watch.elapsed() < Duration::from_secs(10), "all but the honest one go");
        sleep(Duration::from_millis(50)).await;
    }
}
