//! One WebSocket: bounded reading, writing that notices when nobody reads, and closing that arrives.
//!
//! Owns buffers, deadlines of writing and the order of frames on the wire. Does not know what is in them. Buffers
//! are small because a town has many idle connections; a long message goes past them, straight to the line.

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error as WsError, Message};

use crate::clock::Stopwatch;
use crate::config::limits::{
    CLOSE_LINGER, MESSAGE_MAX_BYTES, OUTBOX_LAG_MAX, SOCKET_BUFFER_BYTES, SOCKET_TICK,
    UNAUTHENTICATED_MAX_BYTES,
};

use crate::telemetry::Metrics;

/// Why a socket ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Closing {
    /// The other side closed it, or the line broke.
    Left,
    /// This side closes it, with a code of RFC 6455 or of Hocuspocus' `CloseEvents`.
    Code(u16, &'static str),
}

impl Closing {
    /// The document or the server starts again: come back.
    pub(super) const RESTART: Self = Self::Code(1012, "restarting");
    /// No place left: come back later.
    pub(super) const FULL: Self = Self::Code(1013, "try again later");
    /// Hocuspocus' "Reset Connection": every provider reconnects and syncs afresh.
    pub(super) const RESET: Self = Self::Code(4205, "reset connection");
    /// Hocuspocus' "Unauthorized".
    pub(super) const UNAUTHORIZED: Self = Self::Code(4401, "unauthorized");
    /// Hocuspocus' "Forbidden".
    pub(super) const FORBIDDEN: Self = Self::Code(4403, "forbidden");
    /// Hocuspocus' "Connection Timeout".
    pub(super) const TIMEOUT: Self = Self::Code(4408, "connection timeout");
    /// RFC 6455: a message is too big.
    const TOO_BIG: Self = Self::Code(1009, "message too big");
}

/// What was heard.
pub(super) enum Heard {
    /// A binary message.
    Frame(Bytes),
    /// A text message; no dialect here has any.
    Text,
    /// A ping or a pong: the other side lives.
    Sign,
}

/// A WebSocket.
pub(super) struct Socket {
    ws: WebSocketStream<Line>,
    heard: Stopwatch,
    said: Stopwatch,
    unflushed: bool,
    /// A message was cut off in the middle of its bytes: nothing more can be said on this line.
    torn: bool,
    metrics: Metrics,
}

impl Socket {
    /// Takes over an upgraded connection; a stranger's, until [`Socket::trust`].
    pub(super) async fn new(upgraded: Upgraded, metrics: Metrics) -> Self {
        let line = Line { io: TokioIo::new(upgraded), allowance: Some(UNAUTHENTICATED_MAX_BYTES) };
        let config = WebSocketConfig::default()
            .read_buffer_size(SOCKET_BUFFER_BYTES)
            .write_buffer_size(SOCKET_BUFFER_BYTES)
            .max_write_buffer_size(4 * SOCKET_BUFFER_BYTES)
            .max_message_size(Some(MESSAGE_MAX_BYTES))
            .max_frame_size(Some(MESSAGE_MAX_BYTES));
        let ws = WebSocketStream::from_raw_socket(line, Role::Server, Some(config)).await;
        let now = Stopwatch::start();
        Self { ws, heard: now, said: now, unflushed: false, torn: false, metrics }
    }

    /// Somebody is logged in here: more than a stranger's share may be read.
    pub(super) fn trust(&mut self) {
        self.ws.get_mut().allowance = None;
    }

    /// How long nothing was heard.
    pub(super) fn silent_for(&self) -> Duration {
        self.heard.elapsed()
    }

    /// How long the other side was told nothing.
    pub(super) fn quiet_for(&self) -> Duration {
        self.said.elapsed()
    }

    /// Waits for the next message. Nothing is lost when the wait is given up.
    pub(super) async fn next(&mut self) -> Result<Heard, Closing> {
        let heard = match self.ws.next().await {
            Some(Ok(Message::Binary(bytes))) => Heard::Frame(bytes),
            Some(Ok(Message::Text(_))) => Heard::Text,
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => Heard::Sign,
            Some(Err(WsError::Capacity(_))) => return Err(Closing::TOO_BIG),
            Some(Err(_)) if self.ws.get_ref().exhausted() => return Err(Closing::RESET),
            Some(Ok(Message::Close(_)) | Err(_)) | None => return Err(Closing::Left),
        };
        self.heard = Stopwatch::start();
        if !matches!(heard, Heard::Sign) {
            self.metrics.messages_in.inc();
        }
        Ok(heard)
    }

    /// Puts a frame on its way; [`Socket::flush`] sees it off.
    pub(super) async fn feed(&mut self, frame: Bytes) -> Result<(), Closing> {
        self.metrics.messages_out.inc();
        self.said = Stopwatch::start();
        if frame.len() > SOCKET_BUFFER_BYTES {
            return self.feed_long(&frame).await;
        }
        self.unflushed = true;
        let began = Stopwatch::start();
        unless_stuck(self.ws.feed(Message::Binary(frame))).await?;
        self.written(began);
        Ok(())
    }

    /// Writes what was fed.
    pub(super) async fn flush(&mut self) -> Result<(), Closing> {
        if !self.unflushed {
            return Ok(());
        }
        let began = Stopwatch::start();
        unless_stuck(self.ws.flush()).await?;
        self.unflushed = false;
        self.written(began);
        Ok(())
    }

    /// A long message does not pass the write buffer: that would keep its size for as long as the socket lives.
    async fn feed_long(&mut self, frame: &Bytes) -> Result<(), Closing> {
        self.flush().await?;
        self.torn = true;
        let (head, len) = head_of_binary(frame.len());
        let line = self.ws.get_mut();
        let began = Stopwatch::start();
        for mut rest in [head.get(..len).unwrap_or_default(), frame] {
            while !rest.is_empty() {
                match timeout(OUTBOX_LAG_MAX, line.write(rest)).await {
                    Ok(Ok(written)) if written > 0 => rest = rest.get(written..).unwrap_or_default(),
                    Ok(_) => return Err(Closing::Left),
                    Err(_) => return Err(Closing::TIMEOUT),
                }
            }
        }
        self.torn = false;
        self.written(began);
        Ok(())
    }

    /// Asks for a sign of life.
    pub(super) async fn ping(&mut self) -> Result<(), Closing> {
        unless_stuck(self.ws.send(Message::Ping(Bytes::new()))).await
    }

    /// A reader that made room after a while is alive, even if this side was too busy writing to hear it.
    fn written(&mut self, began: Stopwatch) {
        if began.elapsed() > SOCKET_TICK {
            self.heard = Stopwatch::start();
        }
    }

    /// Says why, and lingers until the other side has read it: a line dropped with unread bytes on it is reset,
    /// and the code is lost on the way.
    pub(super) async fn close(mut self, closing: Closing) {
        self.ws.get_mut().allowance = Some(MESSAGE_MAX_BYTES);
        let goodbye = async {
            if let Closing::Code(code, reason) = closing {
                if self.torn {
                    return;
                }
                let frame = CloseFrame { code: CloseCode::from(code), reason: reason.into() };
                if self.ws.close(Some(frame)).await.is_err() {
                    return;
                }
            }
            while let Some(Ok(_)) = self.ws.next().await {}
        };
        let _ = timeout(CLOSE_LINGER, goodbye).await;
    }
}

/// Gives up on a write that makes no progress. Most are done at once and need no timer.
async fn unless_stuck(write: impl Future<Output = Result<(), WsError>>) -> Result<(), Closing> {
    let mut write = pin!(write);
    let done = match poll_fn(|cx| Poll::Ready(write.as_mut().poll(cx))).await {
        Poll::Ready(done) => Ok(done),
        Poll::Pending => timeout(OUTBOX_LAG_MAX, write).await,
    };
    match done {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err(Closing::Left),
        Err(_) => Err(Closing::TIMEOUT),
    }
}

/// The head of an unmasked final binary frame (RFC 6455, 5.2), and how long it is.
fn head_of_binary(len: usize) -> ([u8; 10], usize) {
    let mut head = [0x82; 10];
    match u16::try_from(len) {
        Ok(short) => {
            head[1] = 126;
            head[2..4].copy_from_slice(&short.to_be_bytes());
            (head, 4)
        }
        Err(_) => {
            head[1] = 127;
            head[2..].copy_from_slice(&(len as u64).to_be_bytes());
            (head, 10)
        }
    }
}

/// The connection below, with what a stranger may still send.
struct Line {
    io: TokioIo<Upgraded>,
    allowance: Option<usize>,
}

impl Line {
    fn exhausted(&self) -> bool {
        self.allowance == Some(0)
    }
}

impl AsyncRead for Line {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.exhausted() {
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
    fn the_head_of_a_long_message_says_its_length() {
        assert_eq!(head_of_binary(5_000), ([0x82, 126, 0x13, 0x88, 0x82, 0x82, 0x82, 0x82, 0x82, 0x82], 4));
        assert_eq!(head_of_binary(70_000), ([0x82, 127, 0, 0, 0, 0, 0, 1, 0x11, 0x70], 10));
    }
}
