//! The bytes below one WebSocket: the TCP stream as the door handed it on, and what may still be read from it.

use std::io::{self, IoSlice, Read, Write};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::tcp::OwnedReadHalf;
use tokio_util::sync::WaitForCancellationFutureOwned;

use super::voice::Voice;
use crate::config::limits::SOCKET_PIECES_AT_ONCE;
use crate::faces::door::{DoorStream, Seat, StreamParts};

/// A TCP stream that holds its seat.
pub(super) struct Wire {
    ear: OwnedReadHalf,
    pub(super) voice: Voice,
    end: Pin<Box<WaitForCancellationFutureOwned>>,
    /// The end wakes the task that owns this wire.
    watched: bool,
    /// How many bytes may still be read; `None`: any number.
    pub(super) allowance: Option<usize>,
    /// All that came was read, when somebody looked last.
    drained: bool,
    /// Something that was to be written had to wait.
    held_up: bool,
    seat: Arc<Seat>,
}

/// How far a piece of writing has come.
#[derive(Default)]
pub(super) struct Progress {
    piece: usize,
    /// Of this piece.
    bytes: usize,
    written: usize,
}

impl Wire {
    pub(super) fn new(stream: DoorStream, allowance: usize) -> Self {
        let StreamParts { tcp, end, seat, unsaid } = stream.hand_over();
        let (ear, half) = tcp.into_split();
        let voice = Voice::new(half, unsaid);
        let (drained, held_up, watched) = (false, false, false);
        Self { ear, voice, end, watched, allowance: Some(allowance), drained, held_up, seat }
    }

    /// Whether the door takes the connection away. A wire stays with the task that asked first, which is woken.
    pub(super) fn ended(&mut self, cx: &mut Context<'_>) -> bool {
        if !std::mem::replace(&mut self.watched, true) {
            return self.end.as_mut().poll(cx).is_ready();
        }
        self.seat.is_taken_away()
    }

    /// Whether something that was to be written had to wait.
    pub(super) fn is_held_up(&self) -> bool {
        self.held_up
    }

    /// Whether there is nothing to do for who reads before something comes.
    pub(super) fn is_drained(&self) -> bool {
        self.drained && !self.held_up
    }

    /// Ready when something may have come.
    pub(super) fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.ear.as_ref().poll_read_ready(cx).map(|_| ()) // what is wrong is found out by reading
    }

    /// Says what is left of what somebody else began.
    pub(super) fn poll_rest(&mut self, cx: &mut Context<'_>) {
        let rest = self.voice.lock().poll_rest(cx);
        if let Poll::Ready(Err(_)) = rest {
            self.voice.fall_silent();
        }
    }

    /// Writes all pieces, one behind the other, after what was begun by somebody else. Where nobody is there any more
    /// to be told, they go nowhere: what was said before is heard all the same, and its end is found by reading.
    pub(super) fn poll_write_all(
        &mut self,
        cx: &mut Context<'_>,
        pieces: &[Bytes],
        progress: &mut Progress,
    ) -> Poll<()> {
        if ready!(self.poll_write_pieces(cx, pieces, progress)).is_err() {
            self.voice.fall_silent();
        }
        Poll::Ready(())
    }

    fn poll_write_pieces(
        &self,
        cx: &mut Context<'_>,
        pieces: &[Bytes],
        progress: &mut Progress,
    ) -> Poll<io::Result<()>> {
        let mut speech = self.voice.lock();
        let first = pieces.first().filter(|_| progress.written() == 0);
        let wrote = ready!(speech.poll_rest_with(cx, first.map_or(&[], Bytes::as_ref)))?;
        progress.advance(pieces, wrote);
        loop {
            let half = Pin::new(speech.half()?);
            let wrote = match pieces.get(progress.piece..).unwrap_or_default() {
                [] => {
                    speech.midway = false;
                    return Poll::Ready(Ok(()));
                }
                [last] => {
                    let rest = last.get(progress.bytes..).unwrap_or_default();
                    half.poll_write(cx, rest)
                }
                rest => {
                    let mut slices = [IoSlice::new(&[]); SOCKET_PIECES_AT_ONCE];
                    for (slice, piece) in slices.iter_mut().zip(rest) {
                        *slice = IoSlice::new(piece);
                    }
                    let mut slices =
                        slices.get_mut(..rest.len().min(SOCKET_PIECES_AT_ONCE)).unwrap_or_default();
                    IoSlice::advance_slices(&mut slices, progress.bytes);
                    half.poll_write_vectored(cx, slices)
                }
            };
            match wrote {
                Poll::Ready(Ok(0)) if !progress.is_at_empty(pieces) => {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                Poll::Ready(Ok(wrote)) => progress.advance(pieces, wrote),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    speech.midway = progress.written() > 0;
                    return Poll::Pending;
                }
            }
        }
    }

    /// Reads something and forgets it; how much.
    pub(super) fn poll_skip(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut scratch = [0; 1024];
        let mut buf = ReadBuf::new(&mut scratch);
        Pin::new(&mut self.ear).poll_read(cx, &mut buf).map_ok(|()| buf.filled().len())
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.voice.fall_silent(); // whoever else holds the voice does not keep the connection
    }
}

impl Progress {
    /// In all, in bytes.
    pub(super) fn written(&self) -> usize {
        self.written
    }

    /// Whether the piece in turn says nothing: writing it writes nothing.
    fn is_at_empty(&self, pieces: &[Bytes]) -> bool {
        pieces.get(self.piece).is_none_or(Bytes::is_empty)
    }

    fn advance(&mut self, pieces: &[Bytes], wrote: usize) {
        self.bytes += wrote;
        self.written += wrote;
        while let Some(piece) = pieces.get(self.piece)
            && self.bytes >= piece.len()
        {
            self.bytes -= piece.len();
            self.piece += 1;
        }
    }
}

/// A wire for one look at it, by somebody who does not wait: what is not ready now would block.
pub(super) struct Glance<'a, 'b>(pub(super) &'a mut Wire, pub(super) &'a mut Context<'b>);

impl Read for Glance<'_, '_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let Self(wire, cx) = self;
        if wire.allowance == Some(0) {
            return Err(io::ErrorKind::QuotaExceeded.into());
        }
        let mut buf = ReadBuf::new(buf);
        let poll = Pin::new(&mut wire.ear).poll_read(cx, &mut buf);
        wire.drained = poll.is_pending();
        now(poll)?;
        let read = buf.filled().len();
        wire.allowance = wire.allowance.map(|left| left.saturating_sub(read));
        Ok(read)
    }
}

impl Write for Glance<'_, '_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let Self(wire, cx) = self;
        let poll = wire.voice.lock().poll_write(cx, buf);
        wire.held_up = poll.is_pending();
        match poll {
            Poll::Ready(Err(_)) => {
                wire.voice.fall_silent();
                Ok(buf.len())
            }
            poll => now(poll),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(()) // nothing is held back below
    }
}

fn now<T>(poll: Poll<io::Result<T>>) -> io::Result<T> {
    match poll {
        Poll::Ready(done) => done,
        Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
    }
}
