//! The speaking half of a connection. Who says the same to many says it here at once, to whoever takes it at once, and
//! leaves only the others to their own tasks.
//!
//! Owns the promise that frames never mix: while the line's own task says something nobody else does, and a frame that
//! was cut off is finished first.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

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
    /// A frame was begun, and not finished.
    pub(super) cut: bool,
}

/// How much was said.
pub(in crate::faces) enum Spoken {
    /// All of it.
    All,
    /// So many bytes: the line's own task has to say the rest before anything else.
    Part(usize),
    /// Nothing.
    Nothing,
}

impl Voice {
    pub(super) fn new(half: OwnedWriteHalf) -> Self {
        Self(Arc::new(Mutex::new(Speech { half: Some(half), held: false, cut: false })))
    }

    /// Says whole frames, if nobody else is speaking and the connection takes them now.
    pub(in crate::faces) fn say(&self, frames: &[u8]) -> Spoken {
        let mut speech = self.lock();
        let said = match &speech.half {
            Some(half) if !speech.held && !speech.cut => half.try_write(frames),
            _ => return Spoken::Nothing,
        };
        match said {
            Ok(bytes) if bytes == frames.len() => Spoken::All,
            Ok(bytes @ 1..) => {
                speech.cut = true;
                Spoken::Part(bytes)
            }
            Ok(_) | Err(_) => Spoken::Nothing, // the line's own task finds out what is wrong
        }
    }

    /// From now on only the line's own task speaks, or not any more.
    pub(super) fn hold(&self, on: bool) {
        self.lock().held = on;
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Speech> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Speech {
    /// The half to write to.
    pub(super) fn half(&mut self) -> io::Result<&mut OwnedWriteHalf> {
        self.half.as_mut().ok_or(io::ErrorKind::NotConnected.into())
    }
}
