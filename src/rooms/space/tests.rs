//! What only the inside can show: faults, damage, bounds.

use std::collections::{HashSet, VecDeque};

use super::kept::{Kept, Spared};
use super::missed::Gap;
use super::ring::{Found, Ring};
use super::session::{Mark, Place, Session, Sessions, Stay};
use super::*;
use crate::config::limits::{SPACE_GONE_ROOMS_MAX, SPACE_REPEAT_MESSAGES};
use crate::store::{Table, Write};

fn room(name: &str) -> Room {
    Room::new(name).unwrap()
}

fn say(to: &str, body: &'static str) -> Say {
    Say {
        to: vec![room(to)],
        except: Vec::new(),
        name: "n".into(),
        body: body.into(),
        attachments: Vec::new(),
        keep: true,
        id: None,
    }
}

async fn open(store: &Store) -> Space {
    let (clock, options) = (Clock::manual(1_000_000), SpaceOptions::default());
    Space::open("s", Some(store.clone()), clock, Metrics::new(), options).await.unwrap()
}

async fn join(space: &Space, outbox: &SpaceOutbox, pid: Option<&String>) -> Joined {
    let since = pid.map(|pid| Since { pid: pid.clone(), offset: None });
    let (outbox, rooms) = (outbox.clone(), vec![room("a")]);
    let join = Join { outbox, person: None, rooms, since, recover: true, old_rooms: OldRooms::Dropped };
    space.join(join).await.unwrap()
}

#[tokio::test]
async fn a_space_that_fails_starts_again_and_everybody_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), &Clock::real(), &Metrics::new()).unwrap();
    let space = open(&store).await;
    let outbox = SpaceOutbox::new(&Metrics::new());
    let pid = join(&space, &outbox, None).await.pid;
    assert_eq!(space.say(say("a", "1")).await.unwrap().seq, Some(1));
    space.0.commands.send(Command::Fail).await.unwrap();
    while outbox.take().await.is_ok() {}
    assert_eq!(outbox.closed(), Some(Closed::Ended));
    let again = SpaceOutbox::new(&Metrics::new());
    let joined = join(&space, &again, pid.as_ref()).await;
    assert!(joined.recovered);
    assert!(!joined.missed.is_empty());
    let said = space.say(say("a", "2")).await.unwrap();
    assert!(said.seq > Some(1) && said.reached == 1 && !said.repeated, "{said:?}");
}

#[tokio::test]
async fn damaged_rows_cost_the_sessions_and_no_number() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), &Clock::real(), &Metrics::new()).unwrap();
    let space = open(&store).await;
    let outbox = SpaceOutbox::new(&Metrics::new());
    let pid = join(&space, &outbox, None).await.pid;
    let before = space.say(say("a", "1")).await.unwrap().seq.unwrap();
    space.stop().await;
    let put =
        Write::Put { table: Table::Messages, key: row::key_message("s", before), value: "rubbish".into() };
    store.commit(vec![put]).unwrap().await.unwrap().unwrap();
    let space = open(&store).await;
    let joined = join(&space, &SpaceOutbox::new(&Metrics::new()), pid.as_ref()).await;
    assert!(!joined.recovered && joined.pid.is_some());
    assert!(space.say(say("a", "2")).await.unwrap().seq.unwrap() > before);
    space.stop().await;
    // The next start is a clean one.
    let joined = join(&open(&store).await, &SpaceOutbox::new(&Metrics::new()), joined.pid.as_ref()).await;
    assert!(joined.recovered);
}

/// Takes a session up from an offset.
async fn come_back(space: &Space, pid: &str, offset: &str) -> Joined {
    let since = Some(Since { pid: pid.to_owned(), offset: Some(offset.to_owned()) });
    let (outbox, rooms) = (SpaceOutbox::new(&Metrics::new()), vec![room("a")]);
    let join = Join { outbox, person: None, rooms, since, recover: true, old_rooms: OldRooms::Dropped };
    space.join(join).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_heard_what_a_power_cut_took_is_told_and_its_number_is_never_given_again() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), &Clock::real(), &Metrics::new()).unwrap();
    let space = open(&store).await;
    let outbox = SpaceOutbox::new(&Metrics::new());
    let pid = join(&space, &outbox, None).await.pid.unwrap();
    let mut heard = Vec::new();
    for text in ["1", "2"] {
        space.say(say("a", text)).await.unwrap();
        heard.extend(outbox.take().await.unwrap());
    }
    let offsets: Vec<&str> = heard.iter().map(|(_, event)| event.offset.as_deref().unwrap()).collect();
    let last = heard[1].1.seq.unwrap();
    // What a power cut leaves that came a moment after "2" was heard.
    let cut = |upto: Option<u64>| {
        let left = tempfile::tempdir().unwrap();
        for file in ["townhall.db", "townhall.journal"] {
            std::fs::copy(dir.path().join(file), left.path().join(file)).unwrap();
        }
        let store = Store::open(left.path(), &Clock::real(), &Metrics::new()).unwrap();
        let gone = upto.map(|seq| Write::Delete { table: Table::Messages, key: row::key_message("s", seq) });
        store.commit(gone.into_iter().collect()).unwrap().blocking_recv().unwrap().unwrap();
        (left, store)
    };
    for (gone, offset, recovered) in [(None, 1, true), (Some(last), 1, false), (Some(last), 0, true)] {
        let (left, store) = tokio::task::block_in_place(|| cut(gone));
        let mut space = open(&store).await;
        for restart in 0..3 {
            // Whoever is not let back in has lost the session with the first try.
            if recovered || restart == 0 {
                let joined = come_back(&space, &pid, offsets[offset]).await;
                assert_eq!(joined.recovered, recovered, "{gone:?} {offset} {restart}");
                space.leave(joined.member, true).await;
            }
            let next = space.say(say("b", "3")).await.unwrap().seq.unwrap();
            assert!(next > last, "{next} was given before");
            space.stop().await;
            space = open(&store).await;
        }
        drop((space, store, left));
    }
}

#[tokio::test]
async fn when_the_disk_fails_after_a_message_was_heard_publisher_and_members_are_told() {
    use crate::store::{StoreState, failing};
    const FAILS_FROM: u64 = 1_000_000;
    let dir = tempfile::tempdir().unwrap();
    drop(Store::open(dir.path(), &Clock::real(), &Metrics::new()).unwrap());
    let plan =
        failing::Plan { calls: 0.into(), at: FAILS_FROM, more: FAILS_FROM, kind: std::io::ErrorKind::Other };
    let plan = plan.lay(&dir.path().join("townhall.db"));
    let store = Store::open(dir.path(), &Clock::real(), &Metrics::new()).unwrap();
    let space = open(&store).await;
    let outbox = SpaceOutbox::new(&Metrics::new());
    let pid = join(&space, &outbox, None).await.pid.unwrap();
    let first = space.say(say("a", "1")).await.unwrap().seq.unwrap();
    let (_, event) = outbox.take().await.unwrap().remove(0);
    // The next record is written, and not confirmed; nor does anything else work.
    plan.calls.store(FAILS_FROM - 1, std::sync::atomic::Ordering::SeqCst);
    let said = space.say(say("a", "2")).await;
    assert!(matches!(said, Err(SpaceError::NotKept(_))), "{said:?}");
    while outbox.take().await.is_ok() {}
    assert_eq!(outbox.closed(), Some(Closed::Ended));
    plan.calls.store(0, std::sync::atomic::Ordering::SeqCst);
    store.state().wait_for(|state| *state == StoreState::Writable).await.unwrap();
    let joined = come_back(&space, &pid, event.offset.as_deref().unwrap()).await;
    assert!(joined.recovered, "what it heard before is kept");
    assert!(space.say(say("a", "3")).await.unwrap().seq.unwrap() > first + 1, "a number is given once");
}

fn kept(seq: u64, to: &str) -> Kept {
    Kept {
        seq,
        at_ms: seq,
        to: vec![room(to)],
        except: Vec::new(),
        id: None,
        name: "n".into(),
        body: "1".into(),
        attachments: Vec::new(),
    }
}

#[test]
fn a_row_reads_back_as_it_was_and_a_cut_one_does_not() {
    let mut message = kept(7, "a");
    message.except = vec![Spared::Sid("x".into()), Spared::Room(room("é"))];
    message.attachments = vec!["bin".into()];
    message.id = Some("id".into());
    let bytes = row::message(&message);
    let read = row::read_message(7, bytes.clone()).unwrap();
    assert_eq!(format!("{read:?}"), format!("{message:?}"));
    let body = message.body.len();
    for cut in 0..bytes.len() - body {
        assert!(row::read_message(7, bytes.slice(..cut)).is_none(), "{cut}");
    }
}

#[test]
fn what_is_known_of_messages_that_left_is_bounded_and_never_too_kind() {
    let options = SpaceOptions { ring_max_messages: 0, ..SpaceOptions::default() };
    let mut ring = Ring::new("s", &options, &Metrics::new());
    let rooms = SPACE_GONE_ROOMS_MAX as u64 + 10;
    for seq in 1..=rooms {
        ring.add(kept(seq, &format!("r{seq}")), std::sync::Weak::new());
        ring.trim(seq);
    }
    let missed = |ring: &mut Ring, seq: u64, since| {
        let stays = vec![Stay { room: room(&format!("r{seq}")), since, upto: u64::MAX }];
        let gap = Gap { stays, was_in: HashSet::new(), joined: since, upto: u64::MAX, sid: "sid".into() };
        ring.missed(&gap, 0, usize::MAX).map(|missed| missed.len())
    };
    assert!(missed(&mut ring, 1, 0).is_err());
    assert_eq!(missed(&mut ring, 1, 1), Ok(0));
    ring.forget(0);
    let mut writes = Vec::new();
    let first = ring.leave_disk(rooms, &mut writes).len();
    assert_eq!(first as u64, rooms);
    let puts = writes.iter().filter(|write| matches!(write, Write::Put { .. })).count();
    assert!(puts <= SPACE_GONE_ROOMS_MAX, "{puts} rooms stay known");
    assert!(missed(&mut ring, 1, 0).is_err());
    assert!(missed(&mut ring, 1, 1).is_err(), "less is known: it may have missed something");
    assert!(missed(&mut ring, rooms, rooms - 1).is_err());
    assert_eq!(missed(&mut ring, rooms, rooms), Ok(0));
    // No session is older than the last message: nothing needs to be known.
    ring.forget(rooms);
    assert_eq!(missed(&mut ring, rooms, rooms), Ok(0));
    writes.clear();
    ring.leave_disk(rooms, &mut writes);
    assert_eq!(writes.iter().filter(|write| matches!(write, Write::Put { .. })).count(), 1, "the head");
}

#[test]
fn of_what_somebody_missed_only_the_next_piece_is_listed() {
    let mut ring = Ring::new("s", &SpaceOptions::default(), &Metrics::new());
    let said = 4 * SPACE_REPEAT_MESSAGES as u64;
    for seq in 1..=said {
        let mut message = kept(seq, ["a", "b", "foreign"][seq as usize % 3]);
        match seq % 7 {
            0 => message.to = Vec::new(),
            1 => message.to = vec![room("a"), room("b")],
            2 => message.except = vec![Spared::Sid("me".into())],
            3 => message.except = vec![Spared::Room(room("was"))],
            _ => {}
        }
        ring.add(message, std::sync::Weak::new());
    }
    let is_mine = |seq: &u64| match seq % 7 {
        0 | 1 => true,
        2 | 3 => false,
        _ => seq % 3 != 2,
    };
    let stays = ["a", "b"].map(|name| Stay { room: room(name), since: 5, upto: u64::MAX }).into();
    let was_in = HashSet::from([room("was")]);
    let gap = Gap { stays, was_in, joined: 5, upto: said - 100, sid: "me".into() };
    let (mut heard, mut all, mut pieces) = (20, Vec::new(), 0);
    loop {
        let piece = ring.next_piece(&gap, heard).unwrap();
        assert!((1..=SPACE_REPEAT_MESSAGES).contains(&piece.found.len()));
        all.extend(piece.found.iter().map(|found| match found {
            Found::Here(event) => event.seq.unwrap(),
            Found::OnDisk(seq) => *seq,
        }));
        assert_eq!(all.last(), Some(&piece.heard));
        (heard, pieces) = (piece.heard, pieces + 1);
        if !piece.more {
            break;
        }
    }
    assert!(all.into_iter().eq((21..=said - 100).filter(is_mine)));
    assert!(pieces > 1);
}

#[test]
fn the_newest_messages_are_in_memory_and_the_others_on_disk() {
    let metrics = Metrics::new();
    let options = SpaceOptions { ring_max_memory: 10_000, ring_max_messages: 900, ..SpaceOptions::default() };
    let mut ring = Ring::new("s", &options, &metrics);
    for seq in 1..=1_000 {
        let mut message = kept(seq, "a");
        message.body = vec![b'1'; 1_000].into();
        ring.add(message, std::sync::Weak::new());
        ring.trim(0);
    }
    let here: Vec<bool> = (101..=1_000)
        .map(|seq| matches!(ring.find(std::iter::once(seq)).unwrap()[..], [Found::Here(_)]))
        .collect();
    assert_eq!(here.iter().filter(|here| **here).count(), 9);
    assert!(here[891..].iter().all(|here| *here));
    assert!(ring.find(std::iter::once(100)).is_err(), "it has left");
    let memory = metrics.ring_bytes.get();
    assert!((100_000..400_000).contains(&memory), "an index of 900 and ten thousand bytes: {memory}");
    ring.trim(u64::MAX);
    assert_eq!(metrics.ring_bytes.get(), 0);
}

#[test]
fn when_sessions_are_too_many_those_away_longest_give_way() {
    let mut sessions = Sessions::new(100);
    let mark = |n: u8| Mark([n; 32]);
    let session = |place| Session {
        sid: "s".into(),
        person: None,
        joined: 0,
        left: VecDeque::new(),
        unheard: 0,
        place,
    };
    for n in 0..100 {
        let place = match n % 2 {
            0 => Place::Here(MemberId(n.into())),
            _ => Place::Away { member: None, since_ms: 1_000 - u64::from(n), rooms: Vec::new() },
        };
        assert!(sessions.add(mark(n), session(place)));
    }
    for n in 100..150 {
        assert!(sessions.add(mark(n), session(Place::Here(MemberId(n.into())))));
    }
    assert!(sessions.get(&mark(99)).is_none(), "the first to go");
    assert!((0..50).all(|n| sessions.get(&mark(2 * n)).is_some()), "who is here stays");
    assert!(!sessions.add(mark(200), session(Place::Here(MemberId(200)))), "everybody is here");
}
