//! The channels' figures, and the same work done by the reference server in Node where that is installed.

use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::ear::{Ear, Times};
use super::floor::{self, Sends};
use super::office::{Measured, Office};
use super::redis_server::RedisServer;
use super::{line, percentile};

const CLIENTS: usize = 1_000;
const AT_ONCE: usize = 64;
const MESSAGE_BYTES: usize = 2_000;
const MESSAGES: usize = 160;
const PER_S: usize = 20;
const STARTS: usize = 7;

/// A server with everybody in `group-1`.
struct Server<'a> {
    process: &'a dyn Measured,
    port: u16,
    /// What clients bring.
    query: String,
    /// A publication's request line and headers, and what is around its message.
    head: String,
    around: (&'static str, &'static str),
}

/// What it cost.
struct Cost {
    idle_kib: f64,
    cpu_s: f64,
    late_ms: (f64, f64),
    heard: usize,
}

/// Ours, then Node's, then both side by side.
pub(crate) async fn figures() {
    let office = Office::start().await;
    let ours = measure(&office_server(&office, &office.channel_token().await)).await;
    drop(office);
    let node = Node::start(None);
    let theirs = match &node {
        Some(node) => Some(measure(&node.server()).await),
        None => None,
    };
    let both = |of: fn(&Cost) -> f64, unit: &str| beside(of(&ours), theirs.as_ref().map(of), unit);
    let pause = Duration::from_secs(1) / PER_S as u32;
    floor::bare_sends(Sends { readers: CLIENTS, rounds: MESSAGES / 2, pause, bytes: MESSAGE_BYTES }).await;
    println!("channels: {CLIENTS} clients in a room, {MESSAGE_BYTES} bytes, {PER_S}/s; ours / Node's, ratio");
    line("  per 100,000 deliveries", &both(|cost| cost.cpu_s, "CPU-s"), "<= 0.80 CPU-s");
    line("  heard", &format!("{} of {}", ours.heard, CLIENTS * MESSAGES), "all");
    line("  published by HTTP to heard, p50", &both(|cost| cost.late_ms.0, "ms"), "");
    line("  published by HTTP to heard, p99", &both(|cost| cost.late_ms.1, "ms"), "");
    line("  memory per idle connection", &both(|cost| cost.idle_kib, "KB"), "<= 10 KB");
}

/// What it costs when a thousand come to a server that just began, again and again.
pub(crate) async fn connects() {
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..STARTS {
        let office = Office::start().await;
        ours.push(per_connect(&office_server(&office, &office.channel_token().await)).await);
        drop(office);
        if let Some(node) = Node::start(None) {
            theirs.push(per_connect(&node.server()).await);
        }
    }
    ours.sort_unstable();
    theirs.sort_unstable();
    let median = |times: &[Duration]| (!times.is_empty()).then(|| percentile(times, 0.5));
    let ratio = beside(percentile(&ours, 0.5), median(&theirs), "CPU-ms");
    line(&format!("per connect of {CLIENTS}, median of {STARTS}"), &ratio, "<= 0.080 CPU-ms");
}

async fn per_connect(server: &Server<'_>) -> Duration {
    // What is loaded once is not a connection's.
    let first = Ear::connect(server.port, &server.query).await.unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    let cpu = server.process.cpu_closely();
    let ears = connect(server, CLIENTS).await;
    let spent = server.process.cpu_closely().saturating_sub(cpu);
    drop((first, ears));
    spent / CLIENTS as u32
}

/// Ours, and Node's beside it.
fn beside(ours: f64, theirs: Option<f64>, unit: &str) -> String {
    match theirs {
        Some(theirs) => format!("{ours:.3} / {theirs:.3} {unit}, {:.2}x", ours / theirs),
        None => format!("{ours:.3} {unit}"),
    }
}

/// The same messages from a back end behind a real Redis, where that is installed.
pub(crate) async fn through_redis() {
    let Some(redis) = RedisServer::start(None).await else { return };
    let office = Office::start_with(&["--redis", &redis.url()]).await;
    let mut back_end = redis.connect().await;
    let mut user = redis::cmd("SET");
    user.arg("/current_users/bench").arg(r#"{"id":1,"name":"Bench","group_ids":[1]}"#);
    user.query_async::<()>(&mut back_end).await.unwrap();
    // Who comes in before the office hears Redis is in no room yet.
    while office.counted("townhall_bus_up").await == 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let ours = heard_from(&redis, &office_server(&office, "bench")).await;
    drop(office);
    let node = Node::start(Some(&redis.url()));
    let theirs = match &node {
        Some(node) => Some(heard_from(&redis, &node.server()).await),
        None => None,
    };
    let port = floor::relay(redis.port(), "/records", MESSAGE_BYTES).unwrap();
    let least =
        Server { process: &Ourselves, port, query: String::new(), head: String::new(), around: ("", "") };
    let alone = connect(&least, 1).await;
    let least = say_and_hear(&least, alone, Publisher::in_redis(&redis)).await;
    line("Redis to one client through a bare relay, p50", &format!("{:.2} ms", least.late_ms.0), "");
    let both = |of: fn(&[Cost; 2]) -> f64| beside(of(&ours), theirs.as_ref().map(of), "ms");
    line("  published in Redis to heard by one, p50", &both(|[one, _]| one.late_ms.0), "<= 0.4 ms");
    line("  published in Redis to heard by one, p99", &both(|[one, _]| one.late_ms.1), "");
    line("  published in Redis to heard by all, p50", &both(|[_, all]| all.late_ms.0), "");
    line("  published in Redis to heard by all, p99", &both(|[_, all]| all.late_ms.1), "");
    line("  heard", &format!("{} of {}", ours[1].heard, CLIENTS * MESSAGES), "all");
}

/// What a back end says in Redis: heard by one client alone, and by all.
async fn heard_from(redis: &RedisServer, server: &Server<'_>) -> [Cost; 2] {
    let alone = connect(server, 1).await;
    let one = say_and_hear(server, alone, Publisher::in_redis(redis)).await;
    let ears = connect(server, CLIENTS).await;
    [one, say_and_hear(server, ears, Publisher::in_redis(redis)).await]
}

fn office_server<'a>(office: &'a Office, channel_token: &str) -> Server<'a> {
    Server {
        process: office,
        port: office.port,
        query: format!("&channel_token={channel_token}"),
        head: format!("POST /api/v1/channels HTTP/1.1\r\nAuthorization: Bearer {}\r\n", office.token),
        around: (r#"{"channel":"/records","message":"#, "}"),
    }
}

async fn measure(server: &Server<'_>) -> Cost {
    // What is loaded once is not a connection's.
    let first = Ear::connect(server.port, &server.query).await.unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    let kib = server.process.resident_kib();
    let ears = connect(server, CLIENTS).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let idle_kib = server.process.resident_kib().saturating_sub(kib) as f64 / CLIENTS as f64;
    drop(first);

    let publisher = Publisher::connect(server).await;
    Cost { idle_kib, ..say_and_hear(server, ears, publisher).await }
}

/// What it costs to tell everybody something, a number of times.
async fn say_and_hear(server: &Server<'_>, ears: Vec<Ear>, mut publisher: Publisher) -> Cost {
    let times = Times::new(MESSAGES);
    let mut listening = JoinSet::new();
    for ear in ears {
        listening.spawn(ear.listen(MESSAGES + 1, times.clone()));
    }
    publisher.publish(usize::MAX, || ()).await; // the first one finds everything cold
    tokio::time::sleep(Duration::from_millis(500)).await;
    let cpu = server.process.cpu();
    publish_all(&mut publisher, &times).await;
    let late: Vec<Vec<u64>> = listening.join_all().await;
    let cpu_s = (server.process.cpu() - cpu).as_secs_f64();
    let mut late: Vec<Duration> =
        late.iter().flat_map(|late| late.iter().skip(1)).map(|us| Duration::from_micros(*us)).collect();
    late.sort_unstable();
    Cost {
        idle_kib: 0.0,
        cpu_s: cpu_s * 100_000.0 / late.len().max(1) as f64,
        late_ms: (percentile(&late, 0.5), percentile(&late, 0.99)),
        heard: late.len(),
    }
}

async fn connect(server: &Server<'_>, clients: usize) -> Vec<Ear> {
    let places = Arc::new(tokio::sync::Semaphore::new(AT_ONCE));
    let mut connecting = JoinSet::new();
    for _ in 0..clients {
        let (places, port, query) = (places.clone(), server.port, server.query.clone());
        connecting.spawn(async move {
            let _place = places.acquire().await.unwrap();
            Ear::connect(port, &query).await.unwrap()
        });
    }
    connecting.join_all().await
}

async fn publish_all(publisher: &mut Publisher, times: &Times) {
    let mut beat = tokio::time::interval(Duration::from_secs(1) / PER_S as u32);
    for (n, said) in times.said.iter().enumerate() {
        beat.tick().await;
        publisher.publish(n, || said.store(times.now(), Ordering::Relaxed)).await;
    }
}

/// A back end on one connection.
enum Publisher {
    /// With the request's head, and what is around its message.
    Http(TcpStream, String, (&'static str, &'static str)),
    /// And whether there is an answer to read. No runtime watches this line: a bench that is woken by the answer takes
    /// the processor from Redis before Redis has told anybody what was published.
    Redis(std::net::TcpStream, bool),
}

impl Publisher {
    async fn connect(server: &Server<'_>) -> Self {
        let tcp = TcpStream::connect(("127.0.0.1", server.port)).await.unwrap();
        tcp.set_nodelay(true).unwrap();
        let head =
            format!("{}Host: 127.0.0.1:{}\r\nContent-Type: application/json\r\n", server.head, server.port);
        Self::Http(tcp, head, server.around)
    }

    fn in_redis(redis: &RedisServer) -> Self {
        let line = std::net::TcpStream::connect(("127.0.0.1", redis.port())).unwrap();
        line.set_nodelay(true).unwrap();
        Self::Redis(line, false)
    }

    /// `said` is called when the message goes out: making it is no part of its way.
    async fn publish(&mut self, n: usize, said: impl FnOnce()) {
        match self {
            Self::Http(tcp, head, around) => {
                let body = format!("{}{}{}", around.0, message(n), around.1);
                let request = format!("{head}Content-Length: {}\r\n\r\n{body}", body.len());
                said();
                tcp.write_all(request.as_bytes()).await.unwrap();
                let mut answer = Vec::new();
                while !is_whole(&answer) {
                    assert_ne!(tcp.read_buf(&mut answer).await.unwrap(), 0);
                }
                assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
            }
            Self::Redis(line, is_answered) => {
                if std::mem::replace(is_answered, true) {
                    // How many servers listen, in one digit.
                    let mut answer = [0; 4];
                    line.read_exact(&mut answer).unwrap();
                    assert!(answer > *b":0\r\n", "nobody listens in Redis");
                }
                let publish = redis::cmd("PUBLISH").arg("/records").arg(message(n)).get_packed_command();
                said();
                line.write_all(&publish).unwrap();
            }
        }
    }
}

/// Message number `n` for the room.
fn message(n: usize) -> String {
    let start = format!(r#"{{"room":"group-1","n":{n},"records":{{"comments":[{{"id":{n},"body":""#);
    let end = r#""}]}}"#;
    format!("{start}{}{end}", "x".repeat(MESSAGE_BYTES.saturating_sub(start.len() + end.len())))
}

/// Whether an answer is there with its body; both servers say how long it is, or send it in one piece.
fn is_whole(answer: &[u8]) -> bool {
    let text = String::from_utf8_lossy(answer).to_ascii_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.trim().parse().ok());
    length.map_or_else(|| body.ends_with("0\r\n\r\n"), |length: usize| body.len() >= length)
}

/// The bench itself.
struct Ourselves;

impl Measured for Ourselves {
    fn id(&self) -> u32 {
        std::process::id()
    }
}

/// The reference server.
struct Node {
    child: Child,
    port: u16,
}

impl Node {
    /// Hears a Redis too, if there is one. `None`, and a line that says so, where Node or its packages are missing.
    fn start(redis_url: Option<&str>) -> Option<Self> {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/node");
        let spawned = Command::new("node")
            .arg("socketio_server.mjs")
            .args(redis_url)
            .current_dir(folder)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let Ok(mut child) = spawned else {
            println!("  Node is not installed: nothing to compare with");
            return None;
        };
        let mut said = String::new();
        let out = child.stdout.take().unwrap();
        let _ = std::io::BufRead::read_line(&mut std::io::BufReader::new(out), &mut said);
        let Ok(port) = said.trim().parse() else {
            println!("  socket.io is not installed in tests/node: nothing to compare with");
            let _ = child.wait();
            return None;
        };
        Some(Self { child, port })
    }

    fn server(&self) -> Server<'_> {
        Server {
            process: self,
            port: self.port,
            query: String::new(),
            head: "POST /emit HTTP/1.1\r\n".to_owned(),
            around: ("", ""),
        }
    }
}

impl Measured for Node {
    fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
