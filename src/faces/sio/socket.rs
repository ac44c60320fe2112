//! The WebSocket below Engine.IO: the handshake, bounded reading, and writing of frames that are made already.
//!
//! A frame for many readers is encoded once, with its WebSocket head, and goes past the library's buffers straight to
//! each line: what a server sends is not masked, so it is the same bytes for everybody.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error as WsError, Message, Utf8Bytes};

use super::Reason;
use crate::config::limits::{
    CLOSE_LINGER, ENGINE_PAYLOAD_MAX_BYTES, OUTBOX_LAG_MAX, SOCKET_BUFFER_BYTES, UNAUTHENTICATED_MAX_BYTES,
};

/// Frames written with one call to the system.
const FRAMES_AT_ONCE: usize = 32;
/// Opcodes and the final bit (RFC 6455, 5.2).
const TEXT: u8 = 0x81;
const BINARY: u8 = 0x82;
/// "Inconsistent data" (RFC 6455, 7.4.1).
const CODE_NO_TEXT: u16 = 1007;

/// A text message as a whole frame.
pub(super) fn text_frame(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + 10);
    put_frame(&mut out, TEXT, text);
    out
}

/// A binary message as a whole frame behind what is there already.
pub(super) fn put_binary_frame(out: &mut Vec<u8>, bytes: &[u8]) {
    out.reserve(bytes.len() + 10);
    put_frame(out, BINARY, bytes);
}

fn put_frame(out: &mut Vec<u8>, kind: u8, content: &[u8]) {
    out.push(kind);
    match (u8::try_from(content.len()), u16::try_from(content.len())) {
        (Ok(short @ ..126), _) => out.push(short),
        (_, Ok(len)) => {
            out.push(126);
            out.extend_from_slice(&len.to_be_bytes());
        }
        _ => {
            out.push(127);
            out.extend_from_slice(&(content.len() as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(content);
}

/// The messages in frames of our own: whether it is text, and what it says.
pub(super) fn messages(mut frames: &[u8]) -> impl Iterator<Item = (bool, &[u8])> {
    std::iter::from_fn(move || {
        let (kind, rest) = frames.split_first()?;
        let (short, rest) = rest.split_first()?;
        let (len, rest) = match short {
            126 => {
                rest.split_first_chunk().map(|(len, rest)| (usize::from(u16::from_be_bytes(*len)), rest))?
            }
            127 => rest.split_first_chunk().map(|(len, rest)| (u64::from_be_bytes(*len) as usize, rest))?,
            len => (usize::from(*len), rest),
        };
        let (message, after) = rest.split_at_checked(len)?;
        frames = after;
        Some((*kind == TEXT, message))
    })
}

/// What was heard.
pub(super) enum Heard {
    /// A text message.
    Text(Utf8Bytes),
    /// A binary message.
    Binary(Bytes),
}

/// A WebSocket.
pub(super) struct Socket {
    ws: WebSocketStream<Line>,
    /// A frame was cut off in the middle of its bytes: nothing more can be said on this line.
    torn: bool,
    /// What was heard was no text: that has a code of its own.
    garbled: bool,
}

impl Socket {
    async fn new(upgraded: Upgraded, most: usize) -> Self {
        let line = Line { io: TokioIo::new(upgraded), allowance: Some(UNAUTHENTICATED_MAX_BYTES) };
        let config = WebSocketConfig::default()
            .read_buffer_size(SOCKET_BUFFER_BYTES)
            .write_buffer_size(0)
            .max_write_buffer_size(SOCKET_BUFFER_BYTES)
            .max_message_size(Some(most))
            .max_frame_size(Some(most));
        let ws = WebSocketStream::from_raw_socket(line, Role::Server, Some(config)).await;
        Self { ws, torn: false, garbled: false }
    }

    /// Somebody is in here: more than a stranger's share may be read.
    pub(super) fn trust(&mut self) {
        self.ws.get_mut().allowance = None;
    }

    /// Waits for the next message. Nothing is lost when the wait is given up.
    pub(super) async fn next(&mut self) -> Result<Heard, Reason> {
        loop {
            return match self.ws.next().await {
                Some(Ok(Message::Text(text))) => Ok(Heard::Text(text)),
                Some(Ok(Message::Binary(bytes))) => Ok(Heard::Binary(bytes)),
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => continue,
                Some(Err(WsError::Capacity(_))) => Err(Reason::TooLarge),
                Some(Err(_)) if self.ws.get_ref().allowance == Some(0) => Err(Reason::TooLarge),
                Some(Err(WsError::Utf8(_))) => {
                    self.garbled = true;
                    Err(Reason::Malformed)
                }
                // A line that broke is no fault of what was said on it.
                Some(Err(WsError::Protocol(ProtocolError::ResetWithoutClosingHandshake))) => {
                    Err(Reason::Closed)
                }
                Some(Err(WsError::Protocol(_))) => Err(Reason::Malformed),
                Some(Ok(Message::Close(_)) | Err(_)) | None => Err(Reason::Closed),
            };
        }
    }

    /// Writes whole frames. Given up in the middle, the line is of no more use.
    pub(super) async fn write(&mut self, frames: &[Bytes]) -> Result<(), Reason> {
        self.torn = true;
        // What the library has to say, answers to pings for example, stays in front.
        within_reason(self.ws.flush()).await?;
        let line = self.ws.get_mut();
        for some in frames.chunks(FRAMES_AT_ONCE) {
            let mut slices = [IoSlice::new(&[]); FRAMES_AT_ONCE];
            for (slice, frame) in slices.iter_mut().zip(some) {
                *slice = IoSlice::new(frame);
            }
            let mut rest = slices.get_mut(..some.len()).unwrap_or_default();
            while !rest.is_empty() {
                match within_reason(line.write_vectored(rest)).await? {
                    0 => return Err(Reason::Closed),
                    written => IoSlice::advance_slices(&mut rest, written),
                }
            }
        }
        self.torn = false;
        Ok(())
    }

    /// Says why it ends, and lingers until the other side has read it: a line dropped with unread bytes on it is
    /// reset, and the reason is lost on the way.
    pub(super) async fn close(mut self, reason: Reason) {
        let goodbye = async {
            if self.torn {
                return;
            }
            let code = if self.garbled { CODE_NO_TEXT } else { reason.close_code() };
            let frame = CloseFrame { code: CloseCode::from(code), reason: reason.word().into() };
            self.ws.get_mut().allowance = None;
            if self.ws.close(Some(frame)).await.is_err() {
                return;
            }
            let (line, mut scratch) = (self.ws.get_mut(), [0; 1024]);
            let mut most = 4 * ENGINE_PAYLOAD_MAX_BYTES;
            while let Ok(read @ 1..) = line.read(&mut scratch).await {
                most = most.saturating_sub(read);
                if most == 0 {
                    return;
                }
            }
        };
        let _ = timeout(CLOSE_LINGER, goodbye).await;
    }
}

/// Gives up on a write that makes no progress.
async fn within_reason<T, E>(write: impl Future<Output = Result<T, E>>) -> Result<T, Reason> {
    let mut write = std::pin::pin!(write);
    let done = match std::future::poll_fn(|cx| Poll::Ready(write.as_mut().poll(cx))).await {
        Poll::Ready(done) => Ok(done),
        Poll::Pending => timeout(OUTBOX_LAG_MAX, write).await,
    };
    match done {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(_)) => Err(Reason::Closed),
        Err(_) => Err(Reason::Slow),
    }
}

// --- the handshake ---------------------------------------------------------------------------------------

/// A request that may become a socket.
pub(super) struct Handshake {
    upgrade: OnUpgrade,
    accept: HeaderValue,
}

impl Handshake {
    /// The handshake of this request, if it is one.
    pub(super) fn of(parts: &mut Parts) -> Option<Self> {
        let headers = &parts.headers;
        let asked = names(headers, header::CONNECTION, "upgrade")
            && names(headers, header::UPGRADE, "websocket")
            && headers.get(header::SEC_WEBSOCKET_VERSION).is_some_and(|version| version == "13");
        let key = headers.get(header::SEC_WEBSOCKET_KEY).filter(|_| asked)?;
        let accept = HeaderValue::from_str(&derive_accept_key(key.as_bytes())).ok()?;
        Some(Self { upgrade: parts.extensions.remove::<OnUpgrade>()?, accept })
    }

    /// Answers the request and hands the socket to `talk`; a message has at most `most` bytes.
    pub(super) fn accept<F>(self, most: usize, talk: impl FnOnce(Socket) -> F + Send + 'static) -> Response
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let upgrade = self.upgrade;
        tokio::spawn(async move {
            // A client that went away during the handshake is nobody's loss.
            if let Ok(upgraded) = upgrade.await {
                talk(Socket::new(upgraded, most).await).await;
            }
        });
        let headers = [
            (header::CONNECTION, HeaderValue::from_static("upgrade")),
            (header::UPGRADE, HeaderValue::from_static("websocket")),
            (header::SEC_WEBSOCKET_ACCEPT, self.accept),
        ];
        (StatusCode::SWITCHING_PROTOCOLS, headers).into_response()
    }
}

/// Whether a comma-separated header holds a word, in any case.
fn names(headers: &HeaderMap, name: HeaderName, word: &str) -> bool {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|item| item.trim().eq_ignore_ascii_case(word))
}

// --- the line --------------------------------------------------------------------------------------------

/// The connection below, with what a stranger may still send.
struct Line {
    io: TokioIo<Upgraded>,
    allowance: Option<usize>,
}

impl AsyncRead for Line {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.allowance == Some(0) {
            return Poll::Ready(Err(io::ErrorKind::QuotaExceeded.into()));
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(cx, buf))?;
        let read = buf.filled().len() - before;
        self.allowance = self.allowance.map(|left| left.saturating_sub(read));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Line {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_read_back_whatever_their_length() {
        for len in [0, 1, 125, 126, 127, 255, 256, 65_535, 65_536, 100_000] {
            let content = vec![b'x'; len];
            let mut frames = text_frame(&content);
            put_binary_frame(&mut frames, b"after");
            let heard: Vec<_> = messages(&frames).collect();
            assert_eq!(heard, [(true, &content[..]), (false, &b"after"[..])], "{len}");
        }
        assert_eq!(&text_frame(b"2")[..], [0x81, 1, b'2']);
        assert_eq!(&text_frame(&[b'a'; 200])[..4], [0x81, 126, 0, 200]);
        assert_eq!(&text_frame(&[b'a'; 70_000])[..10], [0x81, 127, 0, 0, 0, 0, 0, 1, 0x11, 0x70]);
    }
}
