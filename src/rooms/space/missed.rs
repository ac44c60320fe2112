//! What somebody missed, read piece by piece: from memory while it is young, from disk when it is older.
//!
//! Owns how much of it is in memory at once for one reader. Does not know who reads, nor when the reader is ready for
//! more.

use std::collections::HashSet;
use std::sync::{Arc, Weak};

use tokio::sync::oneshot;

use super::actor::Command;
use super::event::{Room, SpaceEvent};
use super::ring::{Found, Piece};
use super::session::Stay;
use super::{Space, SpaceError, row};
use crate::store::{ReadError, Store, Table};

/// Where somebody missed something: what was said during these stays in rooms, and to everybody.
#[derive(Debug)]
pub(super) struct Gap {
    pub(super) stays: Vec<Stay>,
    /// All that it was in, for messages that leave a room out.
    pub(super) was_in: HashSet<Room>,
    /// Since when it was in the space.
    pub(super) joined: u64,
    /// The last number that it does not hear in another way.
    pub(super) upto: u64,
    pub(super) sid: Arc<str>,
}

/// The messages that a member missed and has not been given yet, in order.
#[derive(Default)]
pub struct Missed {
    space: Option<Space>,
    /// Where they are; `None` when none is left.
    gap: Option<Arc<Gap>>,
    /// Everything up to here was heard.
    heard: u64,
    /// As long as this is there, its member has not received everything.
    mark: Arc<()>,
}

/// Some of them, as they come next.
#[derive(Debug)]
pub struct Repeated {
    /// What was said.
    pub events: Vec<Arc<SpaceEvent>>,
    /// They follow what was heard up to here…
    after: u64,
    /// …and with them it is up to here…
    heard: u64,
    /// …and there is more.
    more: bool,
}

impl std::fmt::Debug for Missed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Missed({:?} after {})", self.gap, self.heard)
    }
}

impl Missed {
    pub(super) fn new(gap: Gap, heard: u64) -> Self {
        Self { gap: Some(Arc::new(gap)), heard, ..Self::default() }
    }

    /// There as long as this is.
    pub(super) fn mark(&self) -> Weak<()> {
        Arc::downgrade(&self.mark)
    }

    /// For a reader outside: where it is read.
    pub(super) fn read_from(&mut self, space: &Space) {
        self.space = Some(space.clone());
    }

    /// Whether none is left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.gap.is_none()
    }

    /// What comes next, without taking it: what is given to [`Missed::take`] once it was read. Nothing is lost when
    /// the wait is given up.
    ///
    /// # Errors
    /// [`SpaceError::Lost`] when it is not there any more; [`SpaceError::Unreadable`], when it may be there the next
    /// time; [`SpaceError::Ended`].
    pub fn read(&self) -> impl Future<Output = Result<Repeated, SpaceError>> + Send + use<> {
        let (space, gap, after) = (self.space.clone(), self.gap.clone(), self.heard);
        async move {
            match (space, gap) {
                (Some(space), Some(gap)) => space.repeat(gap, after).await,
                _ => Ok(Repeated { events: Vec::new(), after, heard: after, more: false }),
            }
        }
    }

    /// Takes what was read; `false` when it was not what comes next.
    pub fn take(&mut self, read: &Repeated) -> bool {
        let fits = self.gap.is_some() && read.after == self.heard;
        if fits {
            self.heard = read.heard;
            self.gap.take_if(|_| !read.more);
        }
        fits
    }
}

impl Space {
    /// Kept messages once more, as many as are repeated at once.
    async fn repeat(&self, gap: Arc<Gap>, after: u64) -> Result<Repeated, SpaceError> {
        let (reply, answer) = oneshot::channel();
        let next = Command::Repeat { gap, heard: after, reply };
        let (piece, store) = self.ask(next, answer).await?.ok_or(SpaceError::Lost)?;
        let Piece { found, heard, more } = piece;
        let Some(store) = store.filter(|_| found.iter().any(|found| matches!(found, Found::OnDisk(_))))
        else {
            let events = found.into_iter().filter_map(Found::here).collect();
            return Ok(Repeated { events, after, heard, more });
        };
        let name = self.0.name;
        let reading = tokio::task::spawn_blocking(move || from_disk(name, &store, found)).await;
        let read = reading.map_err(|_| SpaceError::Ended)?;
        match read {
            Ok((events, fresh)) => {
                let _ = self.0.commands.send(Command::Share { events: fresh }).await;
                Ok(Repeated { events, after, heard, more })
            }
            Err(Unread::Now(error)) => {
                tracing::warn!(space = name, %error, "kept messages cannot be read now; who missed them comes back");
                Err(SpaceError::Unreadable(error.to_string()))
            }
            Err(Unread::Never(seq)) => {
                tracing::error!(space = name, seq, "a kept message cannot be read; who missed it is told");
                let _ = self.0.commands.send(Command::Lose { seq }).await;
                Err(SpaceError::Lost)
            }
        }
    }
}

impl Found {
    fn here(self) -> Option<Arc<SpaceEvent>> {
        match self {
            Self::Here(event) => Some(event),
            Self::OnDisk(_) => None,
        }
    }
}

type Events = Vec<Arc<SpaceEvent>>;

/// Why a kept message was not read.
enum Unread {
    /// The disk does not give it now.
    Now(ReadError),
    /// This one is damaged, or gone.
    Never(u64),
}

/// Reads what is on disk only: all of them, and those that were read. Blocks.
fn from_disk(space: &str, store: &Store, found: Vec<Found>) -> Result<(Events, Events), Unread> {
    let (mut all, mut fresh) = (Vec::with_capacity(found.len()), Vec::new());
    for found in found {
        match found {
            Found::Here(event) => all.push(event),
            Found::OnDisk(seq) => {
                let row = match store.get(Table::Messages, &row::key_message(space, seq)) {
                    Ok(row) => row,
                    Err(ReadError::Damaged(_)) => None,
                    Err(error) => return Err(Unread::Now(error)),
                };
                let kept = row.and_then(|row| row::read_message(seq, row)).ok_or(Unread::Never(seq))?;
                let event = kept.event(space);
                fresh.push(event.clone());
                all.push(event);
            }
        }
    }
    Ok((all, fresh))
}
