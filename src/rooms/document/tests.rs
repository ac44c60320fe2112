//! What a room does when it fails, is forgotten, or its disk is full.

use std::time::Duration;

use bytes::Bytes;
use tempfile::TempDir;
use tokio::time::timeout;

use crate::auth::{Grant, Role};
use crate::clock::Clock;
use crate::config::limits::{ROOM_FEW_PEERS, ROOM_GRACE, ROOM_PEERS_MAX, ROOM_PEERS_PER_PERSON_MAX};
use crate::id::DocName;
use crate::rooms::content::EMPTY_UPDATE;
use crate::rooms::{Event, Gone, OpenError, Outbox, Peer, Rooms, merge};
use crate::store::Store;
use crate::telemetry::Metrics;
use crate::wire::varint::write_uint;

struct House {
    _dir: TempDir,
    store: Store,
    rooms: Rooms,
    metrics: Metrics,
}

impl House {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let metrics = Metrics::new();
        let store = Store::open(dir.path(), &Clock::manual(0), &metrics).unwrap();
        let rooms = Rooms::new(store.clone(), metrics.clone(), true);
        Self { _dir: dir, store, rooms, metrics }
    }

    async fn enter(&self) -> (Peer, Outbox) {
        let grant = Grant::new("anne".into(), "Anne".into(), Role::Editor);
        let outbox = Outbox::new(&self.metrics);
        let peer = self.rooms.open(&doc(), &grant, &outbox).await.unwrap();
        (peer, outbox)
    }
}

fn doc() -> DocName {
    DocName::parse("d").unwrap()
}

/// Client `client` types one letter into an empty text.
fn letter(client: u8) -> Bytes {
    Bytes::copy_from_slice(&[1, 1, client, 0, 4, 1, 1, b't', 1, b'x', 0])
}

async fn hear(outbox: &Outbox, so: impl Fn(&Event) -> bool) {
    let heard = timeout(Duration::from_secs(600), async {
        loop {
            if outbox.take().await.iter().any(|(_, event)| so(event)) {
                return;
            }
        }
    });
    heard.await.expect("what was waited for was not heard");
}

fn is_saved(event: &Event) -> bool {
    matches!(event, Event::Saved { edits: 1 })
}

#[tokio::test]
async fn a_room_that_fails_says_so_and_the_next_one_has_everything() {
    let house = House::new();
    let (peer, outbox) = house.enter().await;
    peer.edit(letter(1)).await.unwrap();
    hear(&outbox, is_saved).await;
    peer.panic().await;
    hear(&outbox, |event| matches!(event, Event::Gone(Gone::Fault))).await;
    assert!(peer.edit(letter(2)).await.is_err());
    drop(peer);

    let (peer, outbox) = house.enter().await;
    peer.sync(Bytes::from_static(&[0])).await.unwrap();
    hear(&outbox, |event| matches!(event, Event::Synced { update: Some(u), .. } if *u == letter(1))).await;
    assert_eq!((house.rooms.count(), house.metrics.rooms.get(), house.metrics.peers.get()), (1, 1, 1));
    assert_eq!(house.rooms.here().len(), 1);
}

/// A state vector with the first clock of each client.
fn vector(clients: std::ops::RangeInclusive<u64>) -> Bytes {
    let mut out = Vec::new();
    write_uint(&mut out, clients.clone().count() as u64);
    for client in clients.rev() {
        write_uint(&mut out, client);
        out.push(1);
    }
    out.into()
}

#[tokio::test]
async fn whoever_says_to_have_more_than_there_is_is_answered_without_work_of_its_own() {
    let house = House::new();
    let (peer, outbox) = house.enter().await;
    peer.edit(letter(1)).await.unwrap();
    hear(&outbox, is_saved).await;
    let answered = async |have: Bytes, update: Bytes| {
        assert!(peer.sync(have).await.unwrap());
        hear(&outbox, |event| matches!(event, Event::Synced { update: Some(u), .. } if *u == update)).await;
    };
    answered(vector(1..=1_000), EMPTY_UPDATE).await;
    answered(vector(1..=200_000), letter(1)).await;
    for rubbish in [vector(1..=300_000), Bytes::from_static(&[2, 1, 1, 1, 2])] {
        assert!(!peer.sync(rubbish).await.unwrap(), "no answer comes");
    }
    answered(vector(1..=2), EMPTY_UPDATE).await;
}

#[tokio::test]
async fn one_person_leaves_places_for_others_and_others_have_many() {
    let house = House::new();
    let outbox = Outbox::new(&house.metrics);
    let enter = async |person: &str| {
        let grant = Grant::new(person.into(), person.into(), Role::Editor);
        house.rooms.open(&doc(), &grant, &outbox).await
    };
    let mut peers = vec![house.enter().await.0];
    while let Ok(peer) = enter("greedy").await {
        peers.push(peer);
    }
    assert_eq!(peers.len(), ROOM_PEERS_MAX / 2, "nobody is refused while there is room for all");
    assert!(matches!(enter("greedy").await, Err(OpenError::Crowded)));
    for _ in 0..ROOM_PEERS_PER_PERSON_MAX {
        peers.push(enter("clerk").await.unwrap());
    }
    assert!(matches!(enter("clerk").await, Err(OpenError::Crowded)));
    peers.push(enter("colleague").await.unwrap());
    peers.truncate(10);
    peers.push(loop {
        match enter("greedy").await {
            Ok(peer) => break peer,
            Err(error) => assert_eq!(error, OpenError::Crowded), // the room hears of who left a little later
        }
    });
}

#[tokio::test]
async fn in_a_full_room_what_comes_in_quick_succession_is_heard_together_and_saved_at_once() {
    let house = House::new();
    let mut people = Vec::new();
    for _ in 0..ROOM_FEW_PEERS + 4 {
        let (peer, outbox) = house.enter().await;
        peer.sync(Bytes::from_static(&[0])).await.unwrap();
        hear(&outbox, |event| matches!(event, Event::Synced { .. })).await;
        people.push((peer, outbox));
    }
    let letters: Vec<Bytes> = (1..=40).map(letter).collect();
    for letter in &letters {
        people[0].0.edit(letter.clone()).await.unwrap();
        tokio::task::yield_now().await;
    }
    let whole = merge::merge(&letters).unwrap();
    let (mut heard, mut saved) = (Vec::new(), 0);
    let all = timeout(Duration::from_secs(600), async {
        while merge::merge(&heard).ok().as_ref() != Some(&whole) {
            for (_, event) in people[1].1.take().await {
                if let Event::Edited(edited) = event {
                    heard.push(edited.update.clone());
                }
            }
        }
        while saved < letters.len() as u32 {
            for (_, event) in people[0].1.take().await {
                assert!(!matches!(event, Event::Edited(_)), "nobody hears their own edits");
                if let Event::Saved { edits } = event {
                    saved += edits;
                }
            }
        }
    });
    all.await.expect("everything is heard and saved");
    assert!(heard.len() <= letters.len() / 2, "{} messages for {} edits", heard.len(), letters.len());
}

#[tokio::test]
async fn a_room_that_nobody_is_in_is_forgotten_after_a_while_and_comes_back() {
    let house = House::new();
    let (peer, outbox) = house.enter().await;
    peer.edit(letter(1)).await.unwrap();
    hear(&outbox, is_saved).await;
    tokio::time::pause();
    drop(peer);
    tokio::time::sleep(ROOM_GRACE / 2).await;
    assert_eq!(house.rooms.count(), 1, "a reload of the page finds it warm");
    for _ in 0..10_000 {
        if house.rooms.count() == 0 {
            break;
        }
        std::thread::sleep(Duration::from_millis(1)); // the disk's time is real
        tokio::time::sleep(ROOM_GRACE / 10).await;
    }
    tokio::time::resume();
    assert_eq!(house.rooms.count(), 0);
    assert_eq!(house.metrics.rooms.get(), 0);
    let loaded = house.store.load(&doc()).unwrap().unwrap();
    assert!(loaded.snapshot.is_some(), "who leaves last leaves a snapshot");
    let (peer, outbox) = house.enter().await;
    peer.sync(Bytes::from_static(&[0])).await.unwrap();
    hear(&outbox, |event| matches!(event, Event::Synced { update: Some(u), .. } if *u == letter(1))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_comes_while_the_room_ends_gets_in() {
    let house = House::new();
    for _ in 0..200 {
        let (peer, _outbox) = house.enter().await;
        peer.panic().await; // ends it at once
        let (again, other) = house.enter().await;
        again.edit(letter(1)).await.unwrap_or_default();
        drop((peer, again, other));
    }
    let (peer, outbox) = house.enter().await;
    peer.edit(letter(9)).await.unwrap();
    hear(&outbox, is_saved).await;
}
