//! The room's heavy work: merging its state, answering who asks for it, and making a snapshot of it.
//!
//! Owns a piece of such work from its making to its result. It runs on bytes it holds itself, so it can run on a
//! thread of its own while the room goes on. Does not know peers' queues.

use std::collections::HashMap;
use std::future::pending;

use bytes::Bytes;
use tokio::task::JoinHandle;

use super::merge;
use super::saving::Receipt;
use crate::config::limits::ROOM_WORK_INLINE_MAX_BYTES;
use crate::id::{DocName, PeerId, Seq};
use crate::store::{Store, Write};
use crate::wire::gate::{self, Known, Placement};

/// Somebody who asks for what is missing beyond `have`; `None`: for everything.
pub(super) struct Ask {
    pub(super) peer: PeerId,
    pub(super) have: Option<Bytes>,
}

/// A piece of work.
pub(super) struct Work {
    /// The merged state so far, and the edits after it.
    pub(super) base: Bytes,
    pub(super) tail: Vec<Bytes>,
    /// The last edit in `tail`, or in `base` when there is no tail.
    pub(super) upto: u64,
    pub(super) asks: Vec<Ask>,
    /// A snapshot is due.
    pub(super) snapshot: Option<Shot>,
}

/// Where a snapshot goes: it holds everything up to `upto`, because that was taken in before the work was made.
pub(super) struct Shot {
    pub(super) doc: DocName,
    pub(super) store: Store,
    pub(super) upto: Seq,
}

/// What came of it.
pub(super) struct Worked {
    pub(super) upto: u64,
    /// The whole state, merged; nothing when it could not be merged.
    pub(super) whole: Option<Bytes>,
    pub(super) answers: Vec<(PeerId, Bytes)>,
    /// The snapshot on its way to disk, its content checked, or why there is none.
    pub(super) snapshot: Option<Result<Receipt, String>>,
}

/// Who asked, should the work be lost.
struct Away {
    task: JoinHandle<Worked>,
    asked: Vec<PeerId>,
    snapshot: bool,
}

/// The one piece of work a room has under way.
#[derive(Default)]
pub(super) struct Bench(Option<Away>);

impl Bench {
    /// Whether work is under way.
    pub(super) fn is_busy(&self) -> bool {
        self.0.is_some()
    }

    /// Does light work at once and gives its result; heavy work goes to a thread of its own.
    pub(super) fn start(&mut self, work: Work) -> Option<Worked> {
        if work.is_light() {
            return Some(work.run());
        }
        let asked = work.asks.iter().map(|ask| ask.peer).collect();
        let snapshot = work.snapshot.is_some();
        let task = tokio::task::spawn_blocking(move || work.run());
        self.0 = Some(Away { task, asked, snapshot });
        None
    }

    /// Waits for the work under way. May be given up and waited for again.
    pub(super) async fn done(&mut self) -> Worked {
        let Some(away) = &mut self.0 else { return pending().await };
        let worked = (&mut away.task).await;
        let Some(away) = self.0.take() else { return pending().await };
        worked.unwrap_or_else(|error| {
            tracing::error!(%error, "merging a document failed");
            Worked {
                upto: 0,
                whole: None,
                answers: away.asked.into_iter().map(|peer| (peer, Bytes::new())).collect(),
                snapshot: away.snapshot.then(|| Err("the work was lost".into())),
            }
        })
    }
}

impl Work {
    fn is_light(&self) -> bool {
        let bytes = self.base.len() + self.tail.iter().map(Bytes::len).sum::<usize>();
        let differences = self.asks.iter().filter(|ask| !ask.wants_all()).count();
        let merges = usize::from(!self.tail.is_empty());
        self.snapshot.is_none() && bytes.saturating_mul(merges + differences) <= ROOM_WORK_INLINE_MAX_BYTES
    }

    fn run(self) -> Worked {
        let whole = self.merged();
        let answers = match &whole {
            Some(whole) => answer(whole, self.asks),
            None => self.asks.into_iter().map(|ask| (ask.peer, self.base.clone())).collect(),
        };
        let snapshot = self.snapshot.map(|shot| match &whole {
            Some(whole) => shot.write(whole, &self.base, &self.tail),
            None => Err("the parts could not be merged".into()),
        });
        Worked { upto: self.upto, whole, answers, snapshot }
    }

    fn merged(&self) -> Option<Bytes> {
        if self.tail.is_empty() {
            return Some(self.base.clone());
        }
        let mut parts = Vec::with_capacity(self.tail.len() + 1);
        if self.base != super::content::EMPTY_UPDATE {
            parts.push(self.base.clone());
        }
        parts.extend(self.tail.iter().cloned());
        merge::merge(&parts)
            .inspect_err(|error| tracing::error!(%error, parts = parts.len(), "updates could not be merged"))
            .ok()
    }
}

impl Ask {
    fn wants_all(&self) -> bool {
        self.have.as_ref().is_none_or(|have| have.as_ref() == [0])
    }
}

/// One difference serves everybody who has the same.
fn answer(whole: &Bytes, asks: Vec<Ask>) -> Vec<(PeerId, Bytes)> {
    let mut made: HashMap<Bytes, Bytes> = HashMap::new();
    asks.into_iter()
        .map(|ask| match ask.have.filter(|have| have.as_ref() != [0]) {
            None => (ask.peer, whole.clone()),
            Some(have) => {
                let difference = made.entry(have).or_insert_with_key(|have| {
                    merge::diff(whole, have).unwrap_or_else(|error| {
                        tracing::error!(%error, "a difference could not be made; sending everything");
                        whole.clone()
                    })
                });
                (ask.peer, difference.clone())
            }
        })
        .collect()
}

impl Shot {
    /// Reads the merged state back: it must hold all of its parts before it takes their place on disk.
    fn write(self, whole: &Bytes, base: &Bytes, tail: &[Bytes]) -> Result<Receipt, String> {
        let known = Known::from_parts(std::iter::once(whole.as_ref())).map_err(|error| error.to_string())?;
        for part in std::iter::once(base).chain(tail) {
            let structure = gate::check(part).map_err(|error| error.to_string())?;
            if !matches!(known.place(&structure), Placement::Nothing) {
                return Err("the merged state lacks a part".into());
            }
        }
        let write = Write::Snapshot { doc: self.doc, upto: self.upto, state: whole.clone() };
        self.store.commit(vec![write]).map_err(|error| error.to_string())
    }
}
