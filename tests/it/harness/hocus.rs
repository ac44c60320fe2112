//! A raw Hocuspocus client: frames written by hand, so that a test sees exactly what the server sent.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use super::typist::{read_var_uint, state_vector, var_uint};

/// What the server said about one document.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Heard {
    /// Sync step 1: the server's state vector.
    Step1(Bytes),
    /// Sync step 2.
    Step2(Bytes),
    /// Somebody's edit.
    Update(Bytes),
    /// Presence.
    Awareness(Bytes),
    /// Logged in; the scope.
    Authenticated(String),
    /// Refused; the reason.
    Denied(String),
    /// One edit's fate.
    SyncStatus(bool),
    /// A stateless message.
    Stateless(String),
    /// Anything else, by type.
    Other(u64),
    /// The socket closed, with its code.
    Closed(Option<u16>),
}

/// One socket with one document on it.
pub(crate) struct Hocus {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    address: String,
    heard: VecDeque<Heard>,
}

fn text(bytes: &mut &[u8]) -> String {
    let n = read_var_uint(bytes).unwrap_or(0) as usize;
    let (now, rest) = bytes.split_at(n.min(bytes.len()));
    *bytes = rest;
    String::from_utf8_lossy(now).into_owned()
}

fn buf(bytes: &mut &[u8]) -> Bytes {
    let n = read_var_uint(bytes).unwrap_or(0) as usize;
    let (now, rest) = bytes.split_at(n.min(bytes.len()));
    *bytes = rest;
    Bytes::copy_from_slice(now)
}

fn parse(frame: &[u8]) -> Heard {
    let mut rest = frame;
    let _address = text(&mut rest);
    let kind = read_var_uint(&mut rest).unwrap_or(u64::MAX);
    match kind {
        0 | 4 => match read_var_uint(&mut rest) {
            Some(0) => Heard::Step1(buf(&mut rest)),
            Some(1) => Heard::Step2(buf(&mut rest)),
            _ => Heard::Update(buf(&mut rest)),
        },
        1 => Heard::Awareness(buf(&mut rest)),
        2 => match read_var_uint(&mut rest) {
            Some(1) => Heard::Denied(text(&mut rest)),
            _ => Heard::Authenticated(text(&mut rest)),
        },
        5 => Heard::Stateless(text(&mut rest)),
        8 => Heard::SyncStatus(read_var_uint(&mut rest) == Some(1)),
        other => Heard::Other(other),
    }
}

impl Hocus {
    /// Opens a socket and sends nothing but the handshake, with the token as bearer header.
    pub(crate) async fn connect(port: u16, doc: &str, token: &str) -> Result<Self, Error> {
        let mut request = format!("ws://127.0.0.1:{port}/hocuspocus").into_client_request()?;
        request.headers_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        let config = WebSocketConfig::default().read_buffer_size(8 * 1024).max_write_buffer_size(64 << 20);
        let (socket, _) = tokio_tungstenite::connect_async_with_config(request, Some(config), true).await?;
        Ok(Self { socket, address: doc.to_owned(), heard: VecDeque::new() })
    }

    /// Opens, authenticates and syncs an empty client; the state it received.
    pub(crate) async fn join(port: u16, doc: &str, token: &str) -> Result<(Self, Bytes), Error> {
        let mut me = Self::connect(port, doc, token).await?;
        me.authenticate(token).await?;
        me.step1(&[0]).await?;
        loop {
            match me.next().await {
                Heard::Step2(state) => return Ok((me, state)),
                Heard::Closed(_) | Heard::Denied(_) => return Err(Error::ConnectionClosed),
                _ => {}
            }
        }
    }

    /// From now on it speaks at another address of the same socket.
    pub(crate) fn at(&mut self, address: &str) {
        address.clone_into(&mut self.address);
    }

    fn frame(&self, kind: u64) -> Vec<u8> {
        let mut out = Vec::with_capacity(64);
        var_uint(&mut out, self.address.len() as u64);
        out.extend_from_slice(self.address.as_bytes());
        var_uint(&mut out, kind);
        out
    }

    /// Sends raw bytes as one message.
    pub(crate) async fn raw(&mut self, bytes: Vec<u8>) -> Result<(), Error> {
        self.socket.send(Message::Binary(bytes.into())).await
    }

    /// Sends the token.
    pub(crate) async fn authenticate(&mut self, token: &str) -> Result<(), Error> {
        let mut out = self.frame(2);
        var_uint(&mut out, 0);
        var_uint(&mut out, token.len() as u64);
        out.extend_from_slice(token.as_bytes());
        self.raw(out).await
    }

    /// Sends a state vector.
    pub(crate) async fn step1(&mut self, have: &[u8]) -> Result<(), Error> {
        self.sync(0, have).await
    }

    /// Sends an edit.
    pub(crate) async fn update(&mut self, update: &[u8]) -> Result<(), Error> {
        self.sync(2, update).await
    }

    async fn sync(&mut self, sub: u64, payload: &[u8]) -> Result<(), Error> {
        let mut out = self.frame(0);
        var_uint(&mut out, sub);
        var_uint(&mut out, payload.len() as u64);
        out.extend_from_slice(payload);
        self.raw(out).await
    }

    /// Sends presence.
    pub(crate) async fn awareness(&mut self, payload: &[u8]) -> Result<(), Error> {
        let mut out = self.frame(1);
        var_uint(&mut out, payload.len() as u64);
        out.extend_from_slice(payload);
        self.raw(out).await
    }

    /// Asks for the WebSocket's own sign of life.
    pub(crate) async fn ping(&mut self) -> Result<(), Error> {
        self.socket.send(Message::Ping(Bytes::from_static(b"?"))).await
    }

    /// The next thing the server says; pings are answered on the way.
    pub(crate) async fn next(&mut self) -> Heard {
        if let Some(heard) = self.heard.pop_front() {
            return heard;
        }
        loop {
            match self.socket.next().await {
                Some(Ok(Message::Binary(frame))) => return parse(&frame),
                Some(Ok(Message::Close(close))) => return Heard::Closed(close.map(|c| c.code.into())),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Heard::Closed(None),
            }
        }
    }

    /// The next thing the server says within `wait`.
    pub(crate) async fn next_within(&mut self, wait: Duration) -> Option<Heard> {
        tokio::time::timeout(wait, self.next()).await.ok()
    }

    /// Reads until `count` edits are acknowledged; what else was heard meanwhile is kept.
    pub(crate) async fn saved(&mut self, count: usize) -> Result<(), Heard> {
        let mut left = count;
        let mut kept = VecDeque::new();
        while left > 0 {
            match self.next().await {
                Heard::SyncStatus(true) => left -= 1,
                bad @ (Heard::SyncStatus(false) | Heard::Closed(_)) => return Err(bad),
                other => kept.push_back(other),
            }
        }
        kept.append(&mut self.heard);
        self.heard = kept;
        Ok(())
    }

    /// What the server has, asked afresh.
    pub(crate) async fn server_state(&mut self) -> BTreeMap<u64, u64> {
        if self.step1(&[0]).await.is_err() {
            return BTreeMap::new();
        }
        loop {
            match self.next().await {
                Heard::Step1(have) => return state_vector(&have),
                Heard::Closed(_) => return BTreeMap::new(),
                _ => {}
            }
        }
    }

    /// Closes the socket politely.
    pub(crate) async fn close(mut self) {
        let _ = self.socket.close(None).await;
    }
}
