//! A WebSocket client that says exactly what a test wants, and hears every frame in order.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::{HeaderName, HeaderValue};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};
use townhall::wire::hocuspocus::{self, Address, Body, Packet};
use townhall::wire::ysync;

/// Longest wait for something that must come.
const PATIENCE: Duration = Duration::from_secs(5);

/// What came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Came {
    /// A binary message.
    Frame(Bytes),
    /// The server closed, with this code and reason.
    Closed(u16, String),
}

/// A raw WebSocket.
pub(crate) struct Raw {
    ws: WebSocketStream<MaybeTlsStream<TcpStream>>,
    /// The subprotocol that the server chose.
    pub(crate) subprotocol: Option<String>,
}

impl Raw {
    /// Connects, with extra headers.
    pub(crate) async fn connect(url: &str, headers: &[(&'static str, &str)]) -> Self {
        let mut request = url.into_client_request().unwrap();
        for (name, value) in headers {
            request
                .headers_mut()
                .append(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
        }
        let (ws, response) = timeout(PATIENCE, connect_async(request)).await.unwrap().unwrap();
        let subprotocol = response.headers().get("sec-websocket-protocol");
        let subprotocol = subprotocol.map(|value| value.to_str().unwrap().to_owned());
        Self { ws, subprotocol }
    }

    /// Connects with a receive buffer so small that a reader who stops is soon felt at the other end.
    pub(crate) async fn connect_narrow(url: &str) -> Self {
        let request = url.into_client_request().unwrap();
        let address = request.uri().authority().unwrap().as_str().parse().unwrap();
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(16 * 1024).unwrap();
        let line = MaybeTlsStream::Plain(socket.connect(address).await.unwrap());
        let config = WebSocketConfig::default().max_frame_size(None).max_message_size(None);
        let (ws, _) = tokio_tungstenite::client_async_with_config(request, line, Some(config)).await.unwrap();
        Self { ws, subprotocol: None }
    }

    /// Sends a binary message.
    pub(crate) async fn send(&mut self, frame: impl Into<Bytes>) {
        self.ws.send(Message::Binary(frame.into())).await.unwrap();
    }

    /// Sends a binary message to a server that may already have closed.
    pub(crate) async fn try_send(&mut self, frame: impl Into<Bytes>) {
        let _ = self.ws.send(Message::Binary(frame.into())).await;
    }

    /// Sends a ping and binary messages all at once, and breaks the line in the same moment.
    pub(crate) async fn send_and_break(mut self, frames: impl IntoIterator<Item = Bytes>) {
        self.ws.feed(Message::Ping(Bytes::from_static(b"?"))).await.unwrap();
        for frame in frames {
            self.ws.feed(Message::Binary(frame)).await.unwrap();
        }
        self.ws.flush().await.unwrap();
        let MaybeTlsStream::Plain(tcp) = self.ws.get_ref() else { panic!("not encrypted") };
        tcp.set_zero_linger().unwrap();
    }

    /// Sends a text message.
    pub(crate) async fn send_text(&mut self, text: &str) {
        self.ws.send(Message::Text(text.into())).await.unwrap();
    }

    /// Waits for what comes next; `None` when nothing came within `wait`.
    pub(crate) async fn came_within(&mut self, wait: Duration) -> Option<Came> {
        let next = async {
            loop {
                match self.ws.next().await {
                    Some(Ok(Message::Binary(frame))) => return Came::Frame(frame),
                    Some(Ok(Message::Close(Some(close)))) => {
                        return Came::Closed(close.code.into(), close.reason.to_string());
                    }
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                    Some(Ok(other)) => panic!("unexpected {other:?}"),
                    Some(Err(error)) => return Came::Closed(1006, error.to_string()),
                    None => return Came::Closed(1006, "the line ended".to_owned()),
                }
            }
        };
        timeout(wait, next).await.ok()
    }

    /// Waits for the next binary message.
    pub(crate) async fn frame(&mut self) -> Bytes {
        match self.came_within(PATIENCE).await {
            Some(Came::Frame(frame)) => frame,
            other => panic!("expected a frame, got {other:?}"),
        }
    }

    /// Waits for the server to close, past whatever it says before.
    pub(crate) async fn close_code(&mut self) -> u16 {
        self.close_code_within(PATIENCE).await
    }

    /// Waits so long for the server to close.
    pub(crate) async fn close_code_within(&mut self, wait: Duration) -> u16 {
        let code = async {
            loop {
                if let Some(Came::Closed(code, _)) = self.came_within(wait).await {
                    return code;
                }
            }
        };
        timeout(wait, code).await.expect("the socket should have been closed")
    }

    // --- Hocuspocus ---

    /// Says something about a document.
    pub(crate) async fn say(&mut self, address: &str, body: &Body) {
        self.send(hocuspocus::encode(&Address::new(address), body)).await;
    }

    /// Logs in to a document and hears that it may.
    pub(crate) async fn log_in(&mut self, address: &str, token: &str) {
        self.say(address, &token_body(token)).await;
        match self.hear().await {
            (at, Body::Authenticated { .. }) if at == address => {}
            other => panic!("expected to be let in, got {other:?}"),
        }
    }

    /// What the server says next, and about which document.
    pub(crate) async fn hear(&mut self) -> (String, Body) {
        read(&self.frame().await)
    }

    /// What the server says next, if it says anything within `wait`.
    pub(crate) async fn hear_within(&mut self, wait: Duration) -> Option<(String, Body)> {
        match self.came_within(wait).await? {
            Came::Frame(frame) => Some(read(&frame)),
            closed @ Came::Closed(..) => panic!("closed: {closed:?}"),
        }
    }

    /// The next thing that `wanted` accepts, past others.
    pub(crate) async fn hear_until(&mut self, wanted: impl Fn(&str, &Body) -> bool) -> (String, Body) {
        loop {
            let (address, body) = self.hear().await;
            if wanted(&address, &body) {
                return (address, body);
            }
        }
    }

    // --- y-websocket ---

    /// Says a y-websocket message.
    pub(crate) async fn say_plain(&mut self, message: &ysync::Message) {
        self.send(ysync::encode(message)).await;
    }

    /// The next y-websocket message.
    pub(crate) async fn hear_plain(&mut self) -> ysync::Message {
        ysync::decode(&self.frame().await).unwrap()
    }
}

/// A token message, as providers 2 and 3 send it.
pub(crate) fn token_body(token: &str) -> Body {
    Body::Token { token: hocuspocus::SentToken::new(token.to_owned()), version: None }
}

fn read(frame: &Bytes) -> (String, Body) {
    match hocuspocus::decode(frame).unwrap() {
        Packet::Frame(frame) => (frame.address.as_str().to_owned(), frame.body),
        single => panic!("{single:?} without an address breaks providers 2 and 3"),
    }
}

/// The update that says nothing.
pub(crate) fn empty_update() -> Bytes {
    Bytes::from_static(&[0, 0])
}

/// The state vector of somebody who has nothing.
pub(crate) fn nothing() -> Bytes {
    Bytes::from_static(&[0])
}

/// The payload of a presence message of one client.
pub(crate) fn presence(client: u8, clock: u8, state: &str) -> Bytes {
    let mut bytes = vec![1, client, clock, state.len() as u8];
    bytes.extend(state.as_bytes());
    bytes.into()
}
