//! The speaking half of a connection. Who says the same to many says it here at once, to whoever takes it at once, and
//! leaves only the others to their own tasks.
//!
//! Owns the promise that frames never mix: while the line's own task says something nobody else does, and a frame that
//! was cut off is finished first.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker, ready};

use crate::lock::held;
use bytes::{Buf, Bytes};
use tokio::io::AsyncWrite;
use tokio::net::tcp::OwnedWriteHalf;

/// The speaking half of a connection; clones are one.
#[derive(Clone)]
pub(in crate::faces) struct Voice(Arc<Mutex<Speech>>);

/// Who speaks.
pub(super) struct Speech {
    /// Nothing once the line is gone.
    pub(super) half: Option<OwnedWriteHalf>,
    /// The line's own task speaks, or is about to.
    held: bool,
    /// The line's own task is in the middle of something.
    pub(super) midway: bool,
    /// The end of what somebody else began: the line's own task says it before anything else.
    rest: Bytes,
    /// The line's own task, woken when there is a rest.
    waiting: Option<Waker>,
}

impl Voice {
    /// `unsaid`: what is to be said before anything else.
    pub(super) fn new(half: OwnedWriteHalf, unsaid: Bytes) -> Self {
        Self(Arc::new(Mutex::new(Speech {
            half: Some(half),
            held: false,
            midway: false,
            rest: unsaid,
            waiting: None,
        })))
    }

    /// Says whole frames, if nobody else is speaking and the connection takes some of it now; the line's own task says
    /// what is left. Otherwise nothing is said.
    pub(in crate::faces) fn say(&self, frames: &Bytes) -> bool {
        let mut speech = self.lock();
        let said = match &speech.half {
            Some(half) if speech.is_free() => half.try_write(frames),
            _ => return false,
        };
        match said {
            Ok(bytes) if bytes == frames.len() => true,
            Ok(bytes @ 1..) => {
                speech.rest = frames.slice(bytes..);
                let waiting = speech.waiting.take();
                drop(speech);
                if let Some(waiting) = waiting {
                    waiting.wake();
                }
                true
            }
            Ok(_) | Err(_) => false, // the line's own task finds out what is wrong
        }
    }

    /// From now on only the line's own task speaks, or not any more; what was so before.
    pub(super) fn hold(&self, on: bool) -> bool {
        std::mem::replace(&mut self.lock().held, on)
    }

    /// Nobody speaks any more. The other side is told that nothing more comes.
    pub(super) fn fall_silent(&self) {
        let mut speech = self.lock();
        (speech.half, speech.midway, speech.rest) = (None, false, Bytes::new());
    }

    /// Whether a frame is begun and not finished.
    pub(super) fn is_cut(&self) -> bool {
        let speech = self.lock();
        speech.midway || !speech.rest.is_empty()
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Speech> {
        held(&self.0)
    }
}

impl Speech {
    fn is_free(&self) -> bool {
        !self.held && !self.midway && self.rest.is_empty()
    }

    /// The half to write to.
    pub(super) fn half(&mut self) -> io::Result<&mut OwnedWriteHalf> {
        self.half.as_mut().ok_or(io::ErrorKind::NotConnected.into())
    }

    /// Says some of this, after what is left of what somebody else began.
    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_rest(cx))?;
        let wrote = ready!(Pin::new(self.half()?).poll_write(cx, buf))?;
        self.midway = wrote < buf.len();
        Poll::Ready(Ok(wrote))
    }

    /// Says what is left of what somebody else began, and with the same call some of `next`: how much of it.
    pub(super) fn poll_rest_with(&mut self, cx: &mut Context<'_>, next: &[u8]) -> Poll<io::Result<usize>> {
        let mut ahead = 0;
        if !self.rest.is_empty() && !next.is_empty() {
            let half = self.half.as_mut().ok_or(io::ErrorKind::NotConnected)?;
            let both = [IoSlice::new(&self.rest), IoSlice::new(next)];
            let wrote = ready!(Pin::new(half).poll_write_vectored(cx, &both))?;
            ahead = wrote.saturating_sub(self.rest.len());
            self.rest.advance(wrote - ahead);
        }
        self.poll_rest(cx).map_ok(|()| ahead)
    }

    /// Says what is left of what somebody else began; woken when there is something again.
    pub(super) fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.rest.is_empty() {
            let half = self.half.as_mut().ok_or(io::ErrorKind::NotConnected)?;
            match Pin::new(half).poll_write(cx, &self.rest) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(wrote)) => self.rest.advance(wrote),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
        self.rest = Bytes::new(); // it shares a frame of everybody's
        if !self.waiting.as_ref().is_some_and(|waiting| waiting.will_wake(cx.waker())) {
            self.waiting = Some(cx.waker().clone());
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::AsyncReadExt;
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    #[tokio::test]
    async fn what_is_unsaid_goes_first_and_whole_however_little_the_other_side_takes() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        for size in [1, 129, 20_000_000] {
            let ours = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let (mut theirs, _) = listener.accept().await.unwrap();
            let (_ear, half) = ours.into_split();
            let (unsaid, next) = (vec![b'a'; size], vec![b'b'; 100]);
            let voice = Voice::new(half, unsaid.clone().into());
            assert!(!voice.say(&Bytes::from_static(b"somebody else")), "nobody overtakes what is unsaid");
            let said = async {
                let mut told = poll_fn(|cx| voice.lock().poll_rest_with(cx, &next)).await.unwrap();
                while told < next.len() {
                    told += poll_fn(|cx| voice.lock().poll_write(cx, &next[told..])).await.unwrap();
                }
                voice.fall_silent();
            };
            let mut heard = Vec::new();
            let (_, read) = tokio::join!(said, theirs.read_to_end(&mut heard));
            read.unwrap();
            assert!(heard == [unsaid, next].concat(), "{size}: {} came", heard.len());
        }
    }
}
