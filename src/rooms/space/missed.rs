//! What somebody missed, read piece by piece: from memory while it is young, from disk when it is older.
//!
//! Owns how much of it is in memory at once for one reader. Does not know who reads, nor when the reader is ready for
//! more.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};

use tokio::sync::oneshot;

use super::actor::Command;
use super::event::SpaceEvent;
use super::ring::Found;
use super::{Space, SpaceError, row};
use crate::config::limits::SPACE_REPEAT_MESSAGES;
use crate::store::{Store, Table};

/// The messages that a member missed and has not been given yet, in order.
#[derive(Default)]
pub struct Missed {
    space: Option<Space>,
    seqs: VecDeque<u64>,
    /// As long as this is there, its member has not received everything.
    mark: Arc<()>,
}

impl std::fmt::Debug for Missed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Missed({})", self.seqs.len())
    }
}

impl Missed {
    pub(super) fn new(seqs: VecDeque<u64>) -> Self {
        Self { seqs, ..Self::default() }
    }

    /// There as long as this is.
    pub(super) fn mark(&self) -> Weak<()> {
        Arc::downgrade(&self.mark)
    }

    /// For a reader outside: where it is read.
    pub(super) fn read_from(&mut self, space: &Space) {
        self.space = Some(space.clone());
    }

    /// How many are left.
    #[must_use]
    pub fn len(&self) -> usize {
        self.seqs.len()
    }

    /// Whether none is left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.seqs.is_empty()
    }

    /// What comes next, without taking it: what is given to [`Missed::take`] once it was read. Nothing is lost when
    /// the wait is given up.
    ///
    /// # Errors
    /// [`SpaceError::Lost`] when it is not there any more; [`SpaceError::Ended`].
    pub fn read(&self) -> impl Future<Output = Result<Vec<Arc<SpaceEvent>>, SpaceError>> + Send + use<> {
        let seqs: Vec<u64> = self.seqs.iter().take(SPACE_REPEAT_MESSAGES).copied().collect();
        let space = self.space.clone();
        async move {
            match space {
                Some(space) if !seqs.is_empty() => space.repeat(seqs).await,
                _ => Ok(Vec::new()),
            }
        }
    }

    /// Takes what was read; `false` when it was not what comes next.
    pub fn take(&mut self, read: &[Arc<SpaceEvent>]) -> bool {
        let fits =
            read.iter().map(|event| event.seq).eq(self.seqs.iter().take(read.len()).copied().map(Some));
        if fits {
            self.seqs.drain(..read.len());
        }
        fits
    }
}

impl Space {
    /// Kept messages once more, as many as are repeated at once.
    async fn repeat(&self, seqs: Vec<u64>) -> Result<Vec<Arc<SpaceEvent>>, SpaceError> {
        let (reply, answer) = oneshot::channel();
        let (found, store) =
            self.ask(Command::Find { seqs, reply }, answer).await?.ok_or(SpaceError::Lost)?;
        let Some(store) = store.filter(|_| found.iter().any(|found| matches!(found, Found::OnDisk(_))))
        else {
            return Ok(found.into_iter().filter_map(Found::here).collect());
        };
        let name = self.0.name;
        let reading = tokio::task::spawn_blocking(move || from_disk(name, &store, found)).await;
        let read = reading.map_err(|_| SpaceError::Ended)?;
        match read {
            Ok((events, fresh)) => {
                let _ = self.0.commands.send(Command::Share { events: fresh }).await;
                Ok(events)
            }
            Err(seq) => {
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

/// Reads what is on disk only: all of them, and those that were read. Blocks. Otherwise the one that cannot be read.
fn from_disk(space: &str, store: &Store, found: Vec<Found>) -> Result<(Events, Events), u64> {
    let (mut all, mut fresh) = (Vec::with_capacity(found.len()), Vec::new());
    for found in found {
        match found {
            Found::Here(event) => all.push(event),
            Found::OnDisk(seq) => {
                let row = store.get(Table::Messages, &row::key_message(space, seq)).ok().flatten();
                let kept = row.and_then(|row| row::read_message(seq, row)).ok_or(seq)?;
                let event = kept.event(space);
                fresh.push(event.clone());
                all.push(event);
            }
        }
    }
    Ok((all, fresh))
}
