//! HTTP by hand: one request on one connection, so that a test can say exactly what is sent.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// What came back.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e} in {}", self.text()))
    }

    /// The code of an error.
    pub(crate) fn code(&self) -> String {
        self.json()["error"]["code"].as_str().unwrap_or_default().to_owned()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }

    /// The session cookie that was set, as `name=value`.
    pub(crate) fn cookie(&self) -> Option<String> {
        self.header("set-cookie").and_then(|set| set.split(';').next()).map(str::to_owned)
    }
}

/// A client of one office.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    pub(crate) address: SocketAddr,
    /// Sent with each request unless a request brings its own.
    pub(crate) headers: Vec<(String, String)>,
}

impl Client {
    pub(crate) fn new(address: SocketAddr) -> Self {
        let headers = vec![
            ("Host".to_owned(), address.to_string()),
            ("Origin".to_owned(), format!("http://{address}")),
        ];
        Self { address, headers }
    }

    pub(crate) fn with_token(self, token: &str) -> Self {
        self.with("Authorization", &format!("Bearer {token}"))
    }

    pub(crate) fn with_cookie(self, cookie: &str) -> Self {
        self.with("Cookie", cookie)
    }

    /// Replaces a header.
    pub(crate) fn with(self, name: &str, value: &str) -> Self {
        let mut client = self.without(name);
        client.headers.push((name.to_owned(), value.to_owned()));
        client
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        self
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.send("GET", path, None, b"").await
    }

    pub(crate) async fn delete(&self, path: &str) -> Reply {
        self.send("DELETE", path, None, b"").await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Reply {
        self.send("POST", path, Some("application/json"), body.to_string().as_bytes()).await
    }

    pub(crate) async fn patch(&self, path: &str, body: Value) -> Reply {
        self.send("PATCH", path, Some("application/json"), body.to_string().as_bytes()).await
    }

    /// One request, one reply.
    pub(crate) async fn send(&self, method: &str, path: &str, kind: Option<&str>, body: &[u8]) -> Reply {
        self.try_send(method, path, kind, body).await.expect("an answer")
    }

    /// The same where the server may be dead.
    pub(crate) async fn try_send(
        &self,
        method: &str,
        path: &str,
        kind: Option<&str>,
        body: &[u8],
    ) -> std::io::Result<Reply> {
        let mut head = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
        for (name, value) in &self.headers {
            head += &format!("{name}: {value}\r\n");
        }
        if let Some(kind) = kind {
            head += &format!("Content-Type: {kind}\r\n");
        }
        if !body.is_empty() || method != "GET" {
            head += &format!("Content-Length: {}\r\n", body.len());
        }
        head += "\r\n";
        let bytes = [head.as_bytes(), body].concat();
        let talk = tokio::time::timeout(Duration::from_secs(30), raw(self.address, &bytes)).await;
        talk.expect("an answer in time")
    }
}

/// Sends these bytes and reads until the other end closes.
pub(crate) async fn raw(address: SocketAddr, bytes: &[u8]) -> std::io::Result<Reply> {
    let mut stream = TcpStream::connect(address).await?;
    // An early refusal closes while the body is still on its way; what was answered is read all the same.
    let sent = stream.write_all(bytes).await;
    let mut all = Vec::new();
    let mut chunk = vec![0; 16 * 1024];
    loop {
        match stream.read(&mut chunk).await {
            Ok(0) => break,
            Ok(n) => all.extend_from_slice(&chunk[..n]),
            Err(_) if !all.is_empty() => break,
            Err(error) => return Err(error),
        }
    }
    parse(&all).ok_or_else(|| sent.err().unwrap_or_else(|| std::io::ErrorKind::UnexpectedEof.into()))
}

fn parse(all: &[u8]) -> Option<Reply> {
    let end = all.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&all[..end]).ok()?;
    let mut lines = head.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let headers: Vec<_> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()))
        .collect();
    let mut reply = Reply { status, headers, body: all[end + 4..].to_vec() };
    if reply.header("transfer-encoding").is_some_and(|coding| coding.contains("chunked")) {
        reply.body = unchunk(&reply.body);
    }
    Some(reply)
}

fn unchunk(mut bytes: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(line) = bytes.windows(2).position(|window| window == b"\r\n") {
        let digits = std::str::from_utf8(&bytes[..line]).unwrap_or("0");
        let size = usize::from_str_radix(digits.trim(), 16).unwrap_or(0);
        let (from, to) = (line + 2, line + 2 + size);
        if size == 0 || bytes.len() < to {
            break;
        }
        body.extend_from_slice(&bytes[from..to]);
        bytes = bytes.get(to + 2..).unwrap_or_default();
    }
    body
}

/// Asks for a WebSocket with exactly these headers: the status of the answer, 101 when it was let in.
pub(crate) async fn handshake(address: SocketAddr, path: &str, headers: &[(&str, &str)]) -> u16 {
    let mut head = format!(
        "GET {path} HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    );
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    head += "\r\n";
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut line = Vec::new();
    while !line.ends_with(b"\r\n") {
        match stream.read_u8().await {
            Ok(byte) => line.push(byte),
            Err(_) => return 0,
        }
    }
    String::from_utf8_lossy(&line).split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
}
