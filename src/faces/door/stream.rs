//! One connection's bytes: they stop when the seat is taken away, and when the other end takes nothing any more. The
//! answer to a handshake may wait here for what is said next.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;
use tokio_util::sync::WaitForCancellationFutureOwned;

use super::Seat;
use crate::config::limits::WRITE_STALL;

/// How an answer begins that agrees to a handshake (RFC 9110, 15.2.2).
const SWITCHING: &[u8] = b"HTTP/1.1 101";

/// Done when the seat is taken away.
type End = Pin<Box<WaitForCancellationFutureOwned>>;

/// A TCP stream that holds its seat as long as anybody holds the stream: a WebSocket outlives the HTTP connection that
/// it began as.
pub(in crate::faces) struct DoorStream {
    tcp: TcpStream,
    end: End,
    stall: Option<Pin<Box<Sleep>>>,
    /// The answer to a handshake, held for whoever takes over.
    unsaid: BytesMut,
    seat: Arc<Seat>,
}

/// What a WebSocket takes over.
pub(in crate::faces) struct StreamParts {
    pub(in crate::faces) tcp: TcpStream,
    /// What ends it.
    pub(in crate::faces) end: End,
    /// To be held.
    pub(in crate::faces) seat: Arc<Seat>,
    /// To be said before anything else.
    pub(in crate::faces) unsaid: Bytes,
}

impl DoorStream {
    pub(super) fn new(tcp: TcpStream, seat: Arc<Seat>) -> Self {
        Self {
            tcp,
            end: Box::pin(seat.end.clone().cancelled_owned()),
            stall: None,
            unsaid: BytesMut::new(),
            seat,
        }
    }

    /// For a WebSocket, which looks after its own writing.
    pub(in crate::faces) fn hand_over(self) -> StreamParts {
        let Self { tcp, end, seat, unsaid, .. } = self;
        StreamParts { tcp, end, seat, unsaid: unsaid.freeze() }
    }

    /// Keeps an answer that agrees to a handshake, when it is to be held; whether this is one.
    fn keeps(&mut self, buf: &[u8]) -> bool {
        let keeps = self.seat.holds_answer() && (!self.unsaid.is_empty() || buf.starts_with(SWITCHING));
        if keeps {
            self.unsaid.extend_from_slice(buf);
        }
        keeps
    }

    fn ended(&mut self, cx: &mut Context<'_>) -> bool {
        self.end.as_mut().poll(cx).is_ready()
    }

    /// Passes a write's result on; one that has waited too long has failed.
    fn unless_stalled<T>(&mut self, cx: &mut Context<'_>, poll: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if poll.is_ready() {
            self.stall = None;
            return poll;
        }
        let stall = self.stall.get_or_insert_with(|| Box::pin(tokio::time::sleep(WRITE_STALL)));
        ready!(stall.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for DoorStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.ended(cx) {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        Pin::new(&mut this.tcp).poll_read(cx, buf)
    }
}

impl AsyncWrite for DoorStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.ended(cx) {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        if this.keeps(buf) {
            return Poll::Ready(Ok(buf.len()));
        }
        let poll = Pin::new(&mut this.tcp).poll_write(cx, buf);
        this.unless_stalled(cx, poll)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.ended(cx) {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        if let Some(first) = bufs.iter().find(|buf| !buf.is_empty())
            && this.keeps(first)
        {
            return Poll::Ready(Ok(first.len()));
        }
        let poll = Pin::new(&mut this.tcp).poll_write_vectored(cx, bufs);
        this.unless_stalled(cx, poll)
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().tcp).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().tcp).poll_shutdown(cx)
    }
}
