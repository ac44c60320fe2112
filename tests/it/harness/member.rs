//! Somebody in a document room, without a socket: hears what a face would hear and keeps what a client would keep.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use tempfile::TempDir;
use tokio::time::timeout;
use townhall::auth::{Grant, Role};
use townhall::clock::Clock;
use townhall::id::DocName;
use townhall::rooms::{Event, Gone, Outbox, Peer, Refusal, Rooms};
use townhall::store::{Store, StoreState};
use townhall::telemetry::Metrics;
use townhall::wire::gate::{Known, Placement, check};

/// Rooms over a store in a folder of their own.
pub(crate) struct House {
    pub(crate) dir: TempDir,
    pub(crate) store: Store,
    pub(crate) rooms: Rooms,
    pub(crate) metrics: Metrics,
}

impl House {
    /// An empty one.
    pub(crate) fn new() -> Self {
        Self::at(tempfile::tempdir().unwrap())
    }

    /// One on what lies in a folder already.
    pub(crate) fn at(dir: TempDir) -> Self {
        let path = dir.path().to_owned();
        Self::on(dir, &path)
    }

    /// One in a folder elsewhere.
    pub(crate) fn on(dir: TempDir, path: &Path) -> Self {
        let metrics = Metrics::new();
        let store = Store::open(path, &Clock::real(), &metrics).unwrap();
        let rooms = Rooms::new(store.clone(), metrics.clone(), true);
        Self { dir, store, rooms, metrics }
    }

    /// The office stops and starts again on the same folder.
    pub(crate) async fn restart(self) -> Self {
        self.rooms.stop().await;
        self.store.close();
        Self::at(self.dir)
    }

    /// A person comes in and asks for the document.
    pub(crate) async fn join(&self, doc: &str, person: &str) -> Member {
        let mut member = self.enter(doc, person, Role::Editor).await;
        member.sync().await;
        member
    }

    /// A person comes in.
    pub(crate) async fn enter(&self, doc: &str, person: &str, role: Role) -> Member {
        let grant = Grant::new(person.into(), person.into(), role);
        let outbox = Outbox::new(&self.metrics);
        let peer = self.rooms.open(&DocName::parse(doc).unwrap(), &grant, &outbox).await.unwrap();
        Member {
            peer,
            grant,
            outbox,
            parts: Vec::new(),
            known: Known::default(),
            have: Bytes::new(),
            asked: 0,
            edits: 0,
            saved: 0,
            refused: Vec::new(),
            present: Vec::new(),
            stored: None,
            lagged: 0,
            gone: None,
        }
    }
}

/// Somebody in a room.
pub(crate) struct Member {
    pub(crate) peer: Peer,
    pub(crate) grant: Grant,
    pub(crate) outbox: Outbox,
    /// Every update heard, in order.
    pub(crate) parts: Vec<Bytes>,
    known: Known,
    /// The room's state vector, as last told.
    pub(crate) have: Bytes,
    /// How often the room asked without telling anything.
    pub(crate) asked: u32,
    /// How many events brought edits of others.
    pub(crate) edits: u32,
    /// How many own edits are on disk.
    pub(crate) saved: u32,
    /// What was refused.
    pub(crate) refused: Vec<(u32, Refusal)>,
    /// Presence messages, in order.
    pub(crate) present: Vec<Bytes>,
    /// What was last said about the disk.
    pub(crate) stored: Option<StoreState>,
    /// How often it fell behind.
    pub(crate) lagged: u32,
    /// Why it is out.
    pub(crate) gone: Option<Gone>,
}

impl Member {
    /// Asks for everything, and waits for it.
    pub(crate) async fn sync(&mut self) {
        self.have = Bytes::new();
        self.peer.sync(Bytes::from_static(&[0])).await.unwrap();
        self.until(|me| !me.have.is_empty()).await;
    }

    /// Hands in an edit.
    pub(crate) async fn edit(&self, update: Bytes) {
        self.peer.edit(update).await.unwrap();
    }

    /// Hands in an edit and waits until it is on disk.
    pub(crate) async fn save(&mut self, update: Bytes) {
        let before = self.saved;
        self.edit(update).await;
        self.until(|me| me.saved > before).await;
    }

    /// Listens until something is so; a test that waits for ever fails instead.
    pub(crate) async fn until(&mut self, so: impl Fn(&Self) -> bool) {
        let heard = timeout(Duration::from_secs(20), async {
            while !so(self) {
                let events = self.outbox.take().await;
                self.hear(events).await;
            }
        });
        heard.await.expect("what was waited for was not heard");
    }

    /// Listens for a while.
    pub(crate) async fn listen(&mut self, time: Duration) {
        let _ = timeout(time, async {
            loop {
                let events = self.outbox.take().await;
                self.hear(events).await;
            }
        })
        .await;
    }

    async fn hear(&mut self, events: Vec<(townhall::id::PeerId, Event)>) {
        for (peer, event) in events {
            assert_eq!(peer, self.peer.id());
            match event {
                Event::Synced { update, have } => {
                    self.asked += u32::from(update.is_none());
                    update.into_iter().for_each(|update| self.take_in(update));
                    self.have = have;
                }
                Event::Edited(edit) => {
                    assert!(!self.have.is_empty(), "an edit came before the document");
                    self.edits += 1;
                    self.take_in(edit.update.clone());
                }
                Event::Present(present) => self.present.push(present.update.clone()),
                Event::Saved { edits } => self.saved += edits,
                Event::Refused { edits, why } => self.refused.push((edits, why)),
                Event::Stored(state) => self.stored = Some(state),
                Event::Lagged => {
                    self.lagged += 1;
                    self.peer.resync().await.unwrap();
                }
                Event::Told(_) => {}
                Event::Gone(why) => self.gone = Some(why),
            }
        }
    }

    /// Keeps an update. Fails when something before it is missing.
    pub(crate) fn take_in(&mut self, update: Bytes) {
        let structure = check(&update).expect("what is heard is well-formed");
        assert_ne!(self.known.place(&structure), Placement::Gap, "every edit follows from those before it");
        self.known.absorb(&structure);
        self.parts.push(update);
    }

    /// What it knows of the document.
    pub(crate) fn known(&self) -> &Known {
        &self.known
    }

    /// Whether it has what the room has, as far as the clocks tell.
    pub(crate) fn has(&self, client: u64, clock: u64) -> bool {
        super::typist::state_vector(&self.known().state_vector()).get(&client).is_some_and(|c| *c >= clock)
    }
}
