//! A channel server of a test's own: the real transport, door and space, with a dialect that does what clients ask.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};
use tokio_util::sync::CancellationToken;
use townhall::clock::Clock;
use townhall::faces::door::Door;
use townhall::faces::sio::{
    Accepted, Arguments, Dialect, Hello, Later, Peer, Reason, Refused, Said, Sio, SioOptions,
};
use townhall::rooms::space::{OldRooms, Room, Say, Space, SpaceOptions};
use townhall::store::Store;
use townhall::telemetry::Metrics;

use super::http::{Client, Reply};

const PATIENCE: Duration = Duration::from_secs(5);

/// A dialect: `message` comes back, `enter`, `exit` and `say` are about rooms, `send-me-out` and `come-back` are what they
/// say.
struct Echo {
    space: Space,
    recover: bool,
}

impl Dialect for Echo {
    fn connect<'a>(&'a self, hello: Hello<'a>) -> Later<'a, Option<Result<Accepted, Refused>>> {
        Box::pin(async move {
            if !["/", "/custom"].contains(&hello.namespace) {
                return None;
            }
            match hello
                .auth_text("token")
                .or_else(|| hello.request.query("token").map(Cow::into_owned))
                .as_deref()
            {
                Some("bad") => {
                    let data = Some("{\"code\":\"not_you\"}".to_owned());
                    return Some(Err(Refused { message: "Not you".to_owned(), data }));
                }
                Some("slow") => tokio::time::sleep(Duration::from_millis(300)).await,
                _ => {}
            }
            Some(Ok(Accepted {
                space: self.space.clone(),
                rooms: vec![Room::new("hall").unwrap()],
                person: None,
                known: hello.auth_text("token").as_deref() == Some("known"),
                recover: self.recover,
                old_rooms: OldRooms::Kept,
                state: Arc::new(hello.auth.to_owned()),
            }))
        })
    }

    fn joined<'a>(&'a self, peer: &'a Peer, recovered: bool, _: Vec<Room>) -> Later<'a, ()> {
        Box::pin(async move {
            if !recovered {
                let auth = peer.state::<String>().unwrap().clone();
                peer.emit("auth", &Arguments { text: auth.into(), attachments: Vec::new() });
            }
        })
    }

    fn event<'a>(&'a self, peer: &'a Peer, said: Said) -> Later<'a, ()> {
        Box::pin(async move {
            let room = || Room::new(&said.arguments.first::<String>().unwrap_or("hall".into())).unwrap();
            match said.name.as_str() {
                "message" => peer.emit("message-back", &said.arguments),
                "enter" => self.space.enter(peer.member(), vec![room()]).await,
                "exit" => self.space.exit(peer.member(), vec![room()]).await,
                "say" => _ = self.space.say(saying(&said.arguments)).await,
                "send-me-out" => peer.disconnect(),
                "come-back" => peer.reconnect(),
                _ => {}
            }
            if let Some(ack) = said.ack {
                ack.send(&said.arguments);
            }
        })
    }

    fn gone<'a>(&'a self, _peer: &'a Peer, reason: Reason) -> Later<'a, ()> {
        Box::pin(async move {
            let text = Bytes::from(format!("\"{}\"", reason.word()));
            let _ = self.space.say(said("hall", "gone", text)).await;
        })
    }
}

fn saying(arguments: &Arguments) -> Say {
    let list: Vec<Value> = arguments.read().unwrap();
    let body = list.get(1..).unwrap_or_default().iter().map(Value::to_string).collect::<Vec<_>>().join(",");
    let attachments = arguments.attachments.clone();
    Say { attachments, ..said(list[0].as_str().unwrap(), "said", body.into()) }
}

fn said(room: &str, name: &str, body: Bytes) -> Say {
    Say {
        to: vec![Room::new(room).unwrap()],
        except: Vec::new(),
        name: name.into(),
        body,
        attachments: Vec::new(),
        keep: true,
        id: None,
    }
}

/// The server.
pub(crate) struct Channels {
    pub(crate) address: SocketAddr,
    pub(crate) space: Space,
    pub(crate) metrics: Metrics,
    pub(crate) sio: Sio,
    stop: CancellationToken,
    folder: TempDir,
}

impl Channels {
    /// One with the protocol suites' short times.
    pub(crate) async fn start() -> Self {
        Self::start_with(quick()).await
    }

    pub(crate) async fn start_with(options: SioOptions) -> Self {
        let (metrics, folder) = (Metrics::new(), tempfile::tempdir().unwrap());
        let store = Store::open(folder.path(), &Clock::real(), &metrics).unwrap();
        // What is older than a moment is repeated from disk.
        let kept = SpaceOptions { ring_max_memory: 64 * 1024, ..SpaceOptions::default() };
        let open = Space::open("test", Some(store), Clock::real(), metrics.clone(), kept);
        let space = open.await.unwrap();
        let dialect = Arc::new(Echo { space: space.clone(), recover: !options.echo });
        let sio = Sio::new(vec![dialect], options, &metrics);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (door, stop) = (Door::new(sio.routes(), 2_000, metrics.clone()), CancellationToken::new());
        let until = stop.clone();
        tokio::spawn(async move { door.accept(listener, until).await });
        Self { address, space, metrics, sio, stop, folder }
    }

    /// Says something in a room, kept.
    pub(crate) async fn say(&self, room: &str, name: &str, body: impl Into<Bytes>) {
        self.space.say(said(room, name, body.into())).await.unwrap();
    }

    /// One request: method, what follows `/socket.io/`, body.
    pub(crate) async fn ask(&self, method: &str, query: &str, body: &str) -> Reply {
        let client = Client::new(self.address).without("Origin");
        client.send(method, &format!("/socket.io/{query}"), None, body.as_bytes()).await
    }

    pub(crate) async fn poll(&self, sid: &str) -> Reply {
        self.ask("GET", &format!("?EIO=4&transport=polling&sid={sid}"), "").await
    }

    pub(crate) async fn post(&self, sid: &str, body: &str) -> Reply {
        self.ask("POST", &format!("?EIO=4&transport=polling&sid={sid}"), body).await
    }

    /// A new polling session's secret id.
    pub(crate) async fn session(&self) -> String {
        let reply = self.ask("GET", "?EIO=4&transport=polling", "").await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        let open: Value = serde_json::from_str(&reply.text()[1..]).unwrap();
        open["sid"].as_str().unwrap().to_owned()
    }

    /// A WebSocket, with what follows `transport=websocket`.
    pub(crate) async fn socket(&self, query: &str) -> Wire {
        let url = format!("ws://{}/socket.io/?EIO=4&transport=websocket{query}", self.address);
        let (ws, _) = timeout(PATIENCE, connect_async(url)).await.unwrap().unwrap();
        Wire(ws)
    }

    /// A WebSocket whose Engine.IO handshake is read.
    pub(crate) async fn open(&self) -> Wire {
        let mut wire = self.socket("").await;
        assert!(wire.text().await.starts_with('0'));
        wire
    }

    /// A WebSocket in the root namespace, its `auth` read; and what CONNECT answered.
    pub(crate) async fn member(&self) -> (Wire, Value) {
        let mut wire = self.open().await;
        wire.say("40").await;
        let connected = wire.text().await;
        let connected = serde_json::from_str(connected.strip_prefix("40").unwrap()).unwrap();
        assert_eq!(wire.text().await, "42[\"auth\",{}]");
        (wire, connected)
    }
}

impl Drop for Channels {
    fn drop(&mut self) {
        self.stop.cancel();
        let _ = &self.folder;
    }
}

/// The protocol suites' times.
pub(crate) fn quick() -> SioOptions {
    SioOptions {
        ping_interval: Duration::from_millis(300),
        ping_timeout: Duration::from_millis(200),
        connect_deadline: Duration::from_secs(1),
        ..SioOptions::default()
    }
}

/// One WebSocket that says exactly what a test wants.
pub(crate) struct Wire(pub(crate) WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Wire {
    pub(crate) async fn say(&mut self, text: &str) {
        self.0.send(Message::Text(text.into())).await.unwrap();
    }

    pub(crate) async fn say_binary(&mut self, bytes: &'static [u8]) {
        self.0.send(Message::Binary(Bytes::from_static(bytes))).await.unwrap();
    }

    /// The next message that is no ping; pings are answered.
    pub(crate) async fn next(&mut self) -> Option<Message> {
        loop {
            match timeout(PATIENCE, self.0.next()).await.expect("something in time")?.ok()? {
                Message::Text(text) if text.as_str() == "2" => {
                    self.0.send(Message::Text("3".into())).await.ok()?;
                }
                message => return Some(message),
            }
        }
    }

    /// The next text that is no ping.
    pub(crate) async fn text(&mut self) -> String {
        match self.next().await {
            Some(Message::Text(text)) => text.as_str().to_owned(),
            other => panic!("{other:?}"),
        }
    }

    /// The next binary message.
    pub(crate) async fn binary(&mut self) -> Bytes {
        match self.next().await {
            Some(Message::Binary(bytes)) => bytes,
            other => panic!("{other:?}"),
        }
    }

    /// The code that the server closes with, whatever comes before.
    pub(crate) async fn closed(&mut self) -> u16 {
        loop {
            match self.next().await {
                Some(Message::Close(Some(frame))) => return frame.code.into(),
                Some(_) => {}
                None => return 0,
            }
        }
    }
}
