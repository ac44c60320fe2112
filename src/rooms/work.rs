//! The room's heavy work: merging its state, answering who asks for it, and making a snapshot of it.
//!
//! Owns a piece of such work from its making to its result. It runs on bytes it holds itself, so it can run on a
//! thread of its own while the room goes on. Does not know peers' queues.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::future::pending;
use std::ops::Bound;

use bytes::Bytes;
use tokio::task::JoinHandle;

use super::lent::Lent;
use super::merge;
use crate::config::limits::{ROOM_WORK_DIFFERENCES_MAX, ROOM_WORK_INLINE_MAX_BYTES};
use crate::id::{DocName, PeerId, Seq};
use crate::store::{Receipt, Store, Write};
use crate::wire::gate::{self, Known, Placement};

/// Reading and sorting a byte of a state vector is as much work as so many bytes of a document.
const VECTOR_WORK: usize = 4;

/// Somebody who asks for what is missing beyond `have`; `None`: for everything.
pub(super) struct Ask {
    pub(super) peer: PeerId,
    pub(super) have: Option<Bytes>,
}

/// Who waits for an answer: each peer once, with what it has.
#[derive(Default)]
pub(super) struct Asks {
    waiting: BTreeMap<PeerId, Option<Bytes>>,
    /// The peer whose question was taken last: the next ones have their turn first.
    turn: Option<PeerId>,
}

impl Asks {
    /// Somebody asks. Who already waits for everything goes on waiting for everything.
    pub(super) fn put(&mut self, peer: PeerId, have: Option<Bytes>) {
        let ask = self.waiting.entry(peer).or_insert_with(|| have.clone());
        if ask.is_some() {
            *ask = have;
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(super) fn remove(&mut self, peer: PeerId) {
        self.waiting.remove(&peer);
    }

    /// The next questions to answer together: all that ask for everything, and so many of the others that nobody
    /// waits for all of them.
    pub(super) fn take(&mut self) -> Vec<Ask> {
        let mut differences = BTreeSet::new();
        let mut taken = Vec::new();
        let after = self.turn.map_or(Bound::Unbounded, Bound::Excluded);
        let upto = self.turn.map_or(Bound::Excluded(PeerId(0)), Bound::Included);
        for (peer, have) in
            self.waiting.range((after, Bound::Unbounded)).chain(self.waiting.range((Bound::Unbounded, upto)))
        {
            let ask = Ask { peer: *peer, have: have.clone() };
            if !ask.wants_all() && !differences.contains(have) {
                if differences.len() == ROOM_WORK_DIFFERENCES_MAX {
                    continue;
                }
                differences.insert(have.clone());
                self.turn = Some(*peer);
            }
            taken.push(ask);
        }
        for ask in &taken {
            self.waiting.remove(&ask.peer);
        }
        taken
    }
}

/// A piece of work.
pub(super) struct Work {
    /// The merged state so far, and the edits after it.
    pub(super) base: Bytes,
    pub(super) tail: Vec<Bytes>,
    /// The last edit in `tail`, or in `base` when there is no tail.
    pub(super) upto: u64,
    pub(super) asks: Vec<Ask>,
    /// Where the answers count.
    pub(super) lent: Lent,
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

    /// Does light work `here` and gives its result, if it may; otherwise it goes to a thread of its own.
    pub(super) fn start(&mut self, work: Work, here: bool) -> Option<Worked> {
        if here && work.is_light() {
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
        let (mut rounds, mut vectors) = (usize::from(!self.tail.is_empty()), 0);
        for ask in self.asks.iter().filter(|ask| !ask.wants_all()) {
            rounds += 1;
            vectors += VECTOR_WORK * ask.have.as_ref().map_or(0, Bytes::len);
        }
        let work = bytes.saturating_mul(rounds).saturating_add(vectors);
        self.snapshot.is_none() && work <= ROOM_WORK_INLINE_MAX_BYTES
    }

    fn run(self) -> Worked {
        let whole = self.merged();
        let answers = match &whole {
            Some(whole) => answer(whole, self.asks, &self.lent),
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

/// One difference serves everybody who has the same. When too many are on their way to sockets that do not take them,
/// everything serves as well, which all share.
fn answer(whole: &Bytes, asks: Vec<Ask>, lent: &Lent) -> Vec<(PeerId, Bytes)> {
    let mut made: HashMap<Bytes, Bytes> = HashMap::new();
    asks.into_iter()
        .map(|ask| match ask.have.filter(|have| have.as_ref() != [0]) {
            None => (ask.peer, whole.clone()),
            Some(have) => {
                let difference = made.entry(have).or_insert_with_key(|have| {
                    let made = merge::diff(whole, have).inspect_err(|error| {
                        tracing::error!(%error, "a difference could not be made; sending everything");
                    });
                    made.ok().and_then(|difference| lent.lend(difference)).unwrap_or_else(|| whole.clone())
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::limits::ROOMS_ANSWERS_MAX_BYTES;

    #[test]
    fn whoever_asks_is_answered_and_the_newcomer_first() {
        let mut asks = Asks::default();
        for id in 1..=20u8 {
            asks.put(PeerId(u64::from(id)), Some(vec![1, id, 1].into()));
        }
        asks.put(PeerId(99), Some(Bytes::from_static(&[0])));
        asks.put(PeerId(98), None);
        asks.put(PeerId(98), Some(vec![1, 1, 1].into()));
        let first = asks.take();
        assert!(first.iter().any(|ask| ask.peer == PeerId(99)));
        assert!(first.iter().any(|ask| ask.peer == PeerId(98) && ask.have.is_none()));
        assert_eq!(first.len(), ROOM_WORK_DIFFERENCES_MAX + 2);
        // who was answered and asks again waits for its next turn
        asks.put(PeerId(1), Some(vec![1, 1, 2].into()));
        let second: Vec<u64> = asks.take().iter().map(|ask| ask.peer.0).collect();
        assert_eq!(second, (9..=16).collect::<Vec<_>>());
        let third: Vec<u64> = asks.take().iter().map(|ask| ask.peer.0).collect();
        assert_eq!(third, [17, 18, 19, 20, 1]);
        assert!(asks.is_empty());
    }

    #[test]
    fn whoever_is_not_lent_a_difference_gets_everything() {
        let whole = Bytes::from_static(&[1, 1, 7, 0, 4, 1, 1, b't', 2, b'a', b'b', 0]);
        let ask = || vec![Ask { peer: PeerId(1), have: Some(Bytes::from_static(&[1, 7, 1])) }];
        let lent = Lent::default();
        assert_ne!(answer(&whole, ask(), &lent)[0].1, whole);
        let _out = lent.lend(vec![0; ROOMS_ANSWERS_MAX_BYTES].into());
        assert_eq!(answer(&whole, ask(), &lent)[0].1, whole);
    }

    #[test]
    fn who_has_the_same_is_answered_together() {
        let mut asks = Asks::default();
        for id in 1..=1_000 {
            asks.put(PeerId(id), Some(Bytes::from_static(&[1, 1, 1])));
        }
        assert_eq!(asks.take().len(), 1_000);
    }
}
