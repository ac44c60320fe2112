//! One WebSocket, below every face that speaks it: bounded reading, whole frames that go straight to the wire, and
//! closing that arrives.
//!
//! Owns the order of bytes on the wire and the deadline of writing. Does not know what is said. What a server sends is
//! not masked, so that a frame for many readers is made once and each line writes the same bytes: they pass no buffer
//! here. Reading, and what a WebSocket answers by itself, is the library's.

mod frame;
mod handshake;
mod voice;
mod wire;

use std::future::poll_fn;
use std::io::ErrorKind;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig, WebSocketContext};
use tokio_tungstenite::tungstenite::{Error as WsError, Message, Utf8Bytes};

pub(in crate::faces) use frame::{PING, binary_frame, binary_head, messages, put_binary_frame, text_frame};
pub(in crate::faces) use handshake::Handshake;
pub(in crate::faces) use voice::Voice;

use super::door::DoorStream;
use crate::clock::Stopwatch;
use crate::config::limits::{
    CLOSE_LINGER, MESSAGE_MAX_BYTES, OUTBOX_LAG_MAX, SOCKET_BUFFER_BYTES, SOCKET_STRIDE_BYTES,
    UNAUTHENTICATED_MAX_BYTES,
};
use wire::{Glance, Progress, Wire};

/// "Inconsistent data" (RFC 6455, 7.4.1).
const CODE_NO_TEXT: u16 = 1007;

/// What was heard.
pub(in crate::faces) enum Heard {
    /// A text message.
    Text(Utf8Bytes),
    /// A binary message. A short one shares the line's reading buffer.
    Binary(Bytes),
    /// A ping or a pong: the other side lives.
    Sign,
}

/// Why a line is of no more use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::faces) enum Fault {
    /// The other side closed it, or it broke.
    Closed,
    /// A message is larger than may be.
    TooLarge,
    /// A stranger sent more than a stranger may.
    Exhausted,
    /// A text is none.
    Garbled,
    /// What was read is no WebSocket.
    Malformed,
    /// The other side takes nothing.
    Stuck,
}

/// A WebSocket.
pub(in crate::faces) struct Line {
    wire: Wire,
    codec: WebSocketContext,
    /// A frame was cut off in the middle of its bytes: nothing more can be said.
    torn: bool,
    /// The library has an answer to a ping, which it writes before it reads again.
    answers: bool,
    /// Why nothing more can be understood.
    lost: Option<Fault>,
}

impl Line {
    /// Takes over an upgraded connection of the door; a stranger's, until [`Line::trust`].
    fn new(upgraded: Upgraded, most: usize) -> Option<Self> {
        let parts = upgraded.downcast::<TokioIo<DoorStream>>().ok()?;
        let config = WebSocketConfig::default()
            .read_buffer_size(SOCKET_BUFFER_BYTES)
            .write_buffer_size(0)
            .max_write_buffer_size(SOCKET_BUFFER_BYTES)
            .max_message_size(Some(most))
            .max_frame_size(Some(most));
        let ahead = parts.read_buf.to_vec();
        let allowance = UNAUTHENTICATED_MAX_BYTES.saturating_sub(ahead.len());
        Some(Self {
            wire: Wire::new(parts.io.into_inner(), allowance),
            codec: WebSocketContext::from_partially_read(ahead, Role::Server, Some(config)),
            torn: false,
            answers: false,
            lost: None,
        })
    }

    /// Somebody is logged in here: more than a stranger's share may be read.
    pub(in crate::faces) fn trust(&mut self) {
        self.wire.allowance = None;
    }

    /// For who says the same to many lines.
    pub(in crate::faces) fn voice(&self) -> Voice {
        self.wire.voice.clone()
    }

    /// From now on nobody speaks but the owner of this line, or anybody may again; what was so before.
    pub(in crate::faces) fn hold(&self, on: bool) -> bool {
        self.wire.voice.hold(on)
    }

    /// Says what is left of what others began; woken for that, too, from now on.
    pub(in crate::faces) fn go_on(&mut self, cx: &mut Context<'_>) {
        self.wire.poll_rest(cx);
    }

    /// Waits for the next message. Nothing is lost when the wait is given up.
    pub(in crate::faces) async fn next(&mut self) -> Result<Heard, Fault> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// As [`Line::next`].
    pub(in crate::faces) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Heard, Fault>> {
        if self.lost.is_some() || self.wire.ended(cx) {
            return Poll::Ready(Err(Fault::Closed));
        }
        self.go_on(cx);
        if self.wire.is_drained() && self.wire.poll_readable(cx).is_pending() {
            return Poll::Pending;
        }
        let fault = match self.codec.read(&mut Glance(&mut self.wire, cx)) {
            Ok(Message::Text(text)) => return Poll::Ready(Ok(Heard::Text(text))),
            Ok(Message::Binary(bytes)) => return Poll::Ready(Ok(Heard::Binary(bytes))),
            Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)) => {
                self.answers = true;
                return Poll::Ready(Ok(Heard::Sign));
            }
            // The answer to it is written with the goodbye.
            Ok(Message::Close(_)) => return Poll::Ready(Err(Fault::Closed)),
            Err(WsError::Io(error)) if error.kind() == ErrorKind::WouldBlock => return Poll::Pending,
            Err(WsError::Capacity(_)) => Fault::TooLarge,
            Err(_) if self.wire.allowance == Some(0) => Fault::Exhausted,
            Err(WsError::Utf8(_)) => Fault::Garbled,
            // A line that broke is no fault of what was said on it.
            Err(WsError::Protocol(ProtocolError::ResetWithoutClosingHandshake)) => Fault::Closed,
            Err(WsError::Protocol(_)) => Fault::Malformed,
            Err(_) => Fault::Closed,
        };
        self.lost = Some(fault);
        Poll::Ready(Err(fault))
    }

    /// Writes whole frames, in any number of pieces; how long that had to wait. Given up in the middle, the line is of
    /// no more use. Most writes are done at once and need no timer. Nobody else speaks meanwhile.
    pub(in crate::faces) async fn write(&mut self, pieces: &[Bytes]) -> Result<Duration, Fault> {
        let held = self.hold(true);
        let written = self.write_alone(pieces).await;
        self.hold(held);
        written
    }

    async fn write_alone(&mut self, pieces: &[Bytes]) -> Result<Duration, Fault> {
        let mut progress = Progress::default();
        self.torn = true;
        match poll_fn(|cx| Poll::Ready(self.poll_write(cx, pieces, &mut progress))).await {
            Poll::Ready(done) => {
                done?;
                self.torn = false;
                Ok(Duration::ZERO)
            }
            Poll::Pending => Box::pin(self.write_slowly(pieces, progress)).await,
        }
    }

    /// The same to somebody who is slow.
    async fn write_slowly(&mut self, pieces: &[Bytes], mut progress: Progress) -> Result<Duration, Fault> {
        let began = Stopwatch::start();
        let mut done = false;
        while !done {
            let stride = progress.written() + SOCKET_STRIDE_BYTES;
            let some = poll_fn(|cx| {
                if self.wire.ended(cx) {
                    return Poll::Ready(Err(Fault::Closed));
                }
                match self.poll_write(cx, pieces, &mut progress) {
                    Poll::Ready(all) => Poll::Ready(all.map(|()| true)),
                    Poll::Pending if progress.written() >= stride => Poll::Ready(Ok(false)),
                    Poll::Pending => Poll::Pending,
                }
            });
            done = timeout(OUTBOX_LAG_MAX, some).await.map_err(|_| Fault::Stuck)??;
        }
        self.torn = false;
        Ok(began.elapsed())
    }

    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        pieces: &[Bytes],
        progress: &mut Progress,
    ) -> Poll<Result<(), Fault>> {
        if progress.written() == 0 && (self.answers || self.wire.is_held_up()) {
            // What the library has to say stays in front.
            ready!(self.poll_answer(cx))?;
            self.answers = false;
        }
        self.wire.poll_write_all(cx, pieces, progress).map(Ok)
    }

    /// Writes what the library answers by itself.
    fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        match self.codec.flush(&mut Glance(&mut self.wire, cx)) {
            Ok(()) => Poll::Ready(Ok(())),
            Err(WsError::Io(error)) if error.kind() == ErrorKind::WouldBlock => Poll::Pending,
            Err(_) => Poll::Ready(Err(Fault::Closed)),
        }
    }

    /// Says why it ends, if there is a why, and lingers until the other side has read it: a line dropped with unread
    /// bytes on it is reset, and the reason is lost on the way.
    pub(in crate::faces) async fn close(&mut self, why: Option<(u16, &'static str)>) {
        self.hold(true);
        poll_fn(|cx| {
            // The answer to the handshake may not be out yet: a goodbye without it would be nonsense.
            self.go_on(cx);
            Poll::Ready(())
        })
        .await;
        if self.torn || self.wire.voice.is_cut() {
            return;
        }
        self.wire.allowance = Some(MESSAGE_MAX_BYTES);
        let _ = Box::pin(timeout(CLOSE_LINGER, self.say_goodbye(why))).await;
    }

    async fn say_goodbye(&mut self, why: Option<(u16, &'static str)>) {
        if let Some((code, reason)) = why {
            let code = if self.lost == Some(Fault::Garbled) { CODE_NO_TEXT } else { code };
            let frame = CloseFrame { code: CloseCode::from(code), reason: reason.into() };
            let said = poll_fn(|cx| {
                Poll::Ready(self.codec.close(&mut Glance(&mut self.wire, cx), Some(frame.clone())))
            });
            match said.await {
                Ok(()) => {}
                Err(WsError::Io(error)) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => return,
            }
        }
        if poll_fn(|cx| self.poll_answer(cx)).await.is_err() {
            return;
        }
        if self.lost.is_some() {
            // Its goodbye cannot be understood either: the server ends the stream first (RFC 6455, 7.1.1).
            self.wire.voice.fall_silent();
        }
        while self.next().await.is_ok() {}
        // What cannot be understood is let go, so that what was said is read.
        let mut left = if self.lost.is_some() { MESSAGE_MAX_BYTES } else { 0 };
        while left > 0 {
            match poll_fn(|cx| self.wire.poll_skip(cx)).await {
                Ok(read @ 1..) => left = left.saturating_sub(read),
                _ => return,
            }
        }
    }
}
