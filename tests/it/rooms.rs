//! What a document room promises to the people in it.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use townhall::auth::{Grant, Role};
use townhall::clock::Stopwatch;
use townhall::config::limits::{SNAPSHOT_UPDATES, UPDATE_MAX_BYTES};
use townhall::id::DocName;
use townhall::rooms::{Gone, OpenError, Outbox, Refusal, StoreState};
use townhall::store::Write;
use townhall::wire::awareness::{self, Entry};
use townhall::wire::gate::Known;

use crate::disk::SmallDisk;
use crate::harness::member::House;
use crate::harness::typist::{Typist, state_vector, var_uint};

const A_WHILE: Duration = Duration::from_millis(150);

#[tokio::test]
async fn people_who_write_together_end_with_the_same_text() {
    let house = House::new();
    let (mut anne, mut bob) = (house.join("d", "anne").await, house.join("d", "bob").await);
    let (mut one, mut two) = (Typist::new(1), Typist::new(2));
    for _ in 0..50 {
        anne.edit(one.types("a")).await;
        bob.edit(two.types("bb")).await;
    }
    anne.until(|me| me.saved == 50 && me.has(2, 100)).await;
    bob.until(|me| me.saved == 50 && me.has(1, 50)).await;
    let mut late = house.join("d", "carl").await;
    late.until(|me| me.has(1, 50) && me.has(2, 100)).await;
    let mine = |parts: &[Bytes]| Known::from_parts(parts.iter().map(AsRef::as_ref)).unwrap();
    anne.parts.clear();
    anne.sync().await;
    bob.parts.clear();
    bob.sync().await;
    assert_eq!(mine(&anne.parts), mine(&bob.parts));
    assert_eq!(&mine(&anne.parts), late.known());
}

#[tokio::test]
async fn nothing_of_ones_own_comes_back() {
    let house = House::new();
    let mut anne = house.join("d", "anne").await;
    let mut typist = Typist::new(1);
    for _ in 0..20 {
        anne.save(typist.types("x")).await;
    }
    anne.listen(A_WHILE).await;
    assert_eq!((anne.edits, anne.saved), (0, 20));
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_restart() {
    let house = House::new();
    let mut anne = house.join("d", "anne").await;
    let mut typist = Typist::new(1);
    for _ in 0..(SNAPSHOT_UPDATES + 20) {
        anne.edit(typist.types("x")).await;
    }
    anne.until(|me| me.saved as usize == SNAPSHOT_UPDATES + 20).await;
    let house = house.restart().await;
    anne.until(|me| me.gone.is_some()).await;
    assert_eq!(anne.gone, Some(Gone::Stopping));
    let again = house.join("d", "anne").await;
    assert!(again.has(1, typist.clock));
    let loaded = house.store.load(&DocName::parse("d").unwrap()).unwrap().unwrap();
    assert!(loaded.snapshot.is_some() && loaded.tail.is_empty(), "the stop wrote a last snapshot");
}

#[tokio::test]
async fn a_thousand_who_come_at_once_find_one_document() {
    let house = House::new();
    let mut first = house.join("d", "anne").await;
    let mut typist = Typist::new(1);
    for _ in 0..200 {
        first.edit(typist.types("some words ")).await;
    }
    first.until(|me| me.saved == 200).await;
    let house = house.restart().await; // so that all of them meet a document that is not loaded
    let people = join_all((0..1_000).map(|n| {
        let house = &house;
        async move { house.join("d", &format!("p{n}")).await }
    }))
    .await;
    assert_eq!(house.rooms.count(), 1);
    assert_eq!(house.rooms.here().len(), 1_000);
    assert!(people.iter().all(|member| member.has(1, typist.clock)));
    // one room, not two: what the last one writes reaches the first
    let mut people = people;
    let mut last = people.pop().unwrap();
    let mut other = Typist::new(2);
    last.save(other.types("hello")).await;
    join_all(people.iter_mut().map(|member| member.until(|me| me.has(2, 5)))).await;
}

#[tokio::test]
async fn viewers_read_and_do_not_write() {
    let house = House::new();
    let mut anne = house.join("d", "anne").await;
    let mut typist = Typist::new(1);
    let known = typist.types("known");
    anne.save(known.clone()).await;
    // a free document is for editors; a record's text may be viewed
    let viewer = Grant::new("v".into(), "v".into(), Role::Viewer);
    let refused = house.rooms.open(&DocName::parse("d").unwrap(), &viewer, &Outbox::default()).await;
    assert_eq!(refused.err(), Some(OpenError::Forbidden));

    let doc = DocName::parse("record:r1").unwrap();
    let update = Typist::new(9).types("seed");
    house.store.commit(vec![Write::Append { doc, update: update.clone() }]).unwrap().await.unwrap().unwrap();
    let mut viewer = house.enter("record:r1", "v", Role::Viewer).await;
    viewer.sync().await;
    assert!(viewer.has(9, 4));
    viewer.edit(Typist::new(3).types("mine")).await;
    viewer.until(|me| me.refused == [(1, Refusal::ReadOnly)]).await;
    viewer.save(update).await; // holds nothing new: nothing is refused that was never there
    let mut editor = house.join("record:r1", "anne").await;
    editor.listen(A_WHILE).await;
    assert!(!editor.has(3, 1));
}

#[tokio::test]
async fn a_record_that_was_never_made_cannot_be_opened() {
    let house = House::new();
    let grant = Grant::new("a".into(), "a".into(), Role::Admin);
    let open = house.rooms.open(&DocName::parse("record:none").unwrap(), &grant, &Outbox::default()).await;
    assert_eq!(open.err(), Some(OpenError::NotFound));
    assert_eq!(house.rooms.count(), 0);
}

#[tokio::test]
async fn taking_a_right_away_works_at_the_very_next_edit() {
    let house = House::new();
    let mut anne = house.join("d", "anne").await;
    let mut bob = house.join("d", "bob").await;
    let mut typist = Typist::new(1);
    anne.save(typist.types("before")).await;
    bob.until(|me| me.has(1, 6)).await;
    anne.grant.end();
    anne.edit(typist.types("after")).await;
    anne.until(|me| me.refused == [(1, Refusal::ReadOnly)]).await;
    bob.listen(A_WHILE).await;
    assert!(!bob.has(1, 7));
}

#[tokio::test]
async fn an_edit_that_follows_from_nothing_is_asked_about_once() {
    let house = House::new();
    let mut anne = house.join("d", "anne").await;
    let mut bob = house.join("d", "bob").await;
    let mut typist = Typist::new(1);
    let missing = typist.types("one");
    for _ in 0..5 {
        anne.edit(typist.types("two")).await;
    }
    anne.until(|me| me.asked == 1).await;
    anne.listen(A_WHILE).await;
    assert_eq!((anne.asked, anne.saved, anne.refused.len()), (1, 0, 0));
    assert_eq!(bob.edits, 0, "nobody sees what has no place yet");
    // the answer: everything from the beginning
    let mut whole = Typist::new(1);
    anne.save(missing).await;
    let _ = whole.types("one");
    anne.save(whole.types("twotwotwotwotwo")).await;
    bob.until(|me| me.has(1, 18)).await;
}

#[tokio::test]
async fn what_is_known_already_is_cut_away() {
    let house = House::new();
    let mut anne = house.join("d", "anne").await;
    let mut bob = house.join("d", "bob").await;
    anne.save(Typist::new(1).types("abc")).await;
    bob.until(|me| me.has(1, 3)).await;
    // the same client's letters again, some old and rewritten, some new
    anne.save(Typist::new(1).types("XYZdef")).await;
    bob.until(|me| me.has(1, 6)).await;
    let bytes: Vec<u8> = bob.parts.concat();
    let text = String::from_utf8_lossy(&bytes);
    assert!(text.contains("def") && !text.contains("XYZ"), "nobody rewrites what was written");
    anne.save(Typist::new(1).types("abcdef")).await; // known as a whole: saved already
    bob.listen(A_WHILE).await;
    assert_eq!(bob.edits, 2);
}

#[tokio::test]
async fn rubbish_is_refused_and_harms_nobody() {
    let house = House::new();
    let mut anne = house.join("d", "anne").await;
    let mut bob = house.join("d", "bob").await;
    let rubbish: [&[u8]; 4] = [b"", b"rubbish", &[1, 0, 1, 0, 0], &[0xff, 0xff, 0xff, 0xff, 0x0f]];
    for bytes in rubbish {
        anne.edit(Bytes::copy_from_slice(bytes)).await;
    }
    anne.edit(vec![0; UPDATE_MAX_BYTES + 1].into()).await;
    anne.until(|me| me.refused.iter().map(|(n, _)| n).sum::<u32>() == 5).await;
    assert!(anne.refused.contains(&(1, Refusal::TooLarge)));
    anne.save(Typist::new(1).types("still here")).await;
    bob.until(|me| me.has(1, 10)).await;
    assert_eq!(bob.edits, 1);
}

#[tokio::test]
async fn what_was_handed_in_before_leaving_is_saved() {
    let house = House::new();
    let mut bob = house.join("d", "bob").await;
    for round in 0..50 {
        let anne = house.join("d", "anne").await;
        anne.edit(Typist::new(100 + round).types("last words")).await;
        drop(anne);
    }
    bob.until(|me| (0..50).all(|round| me.has(100 + round, 10))).await;
    drop(bob);
    let house = house.restart().await;
    let again = house.join("d", "anne").await;
    assert!((0..50).all(|round| again.has(100 + round, 10)));
    assert_eq!(house.rooms.here().len(), 1);
}

fn presence(client: u64, clock: u32, state: Option<&str>) -> Bytes {
    let state = state.map(|text| Bytes::copy_from_slice(text.as_bytes()));
    awareness::encode(&[Entry { client, clock, state }])
}

#[tokio::test]
async fn presence_is_echoed_belongs_to_its_sender_and_goes_with_it() {
    let house = House::new();
    let mut anne = house.join("d", "anne").await;
    let mut bob = house.join("d", "bob").await;
    let here = presence(1, 1, Some(r#"{"user":{"name":"Anne"}}"#));
    anne.peer.presence(here.clone()).await.unwrap();
    anne.until(|me| me.present == [here.clone()]).await;
    bob.until(|me| me.present == [here.clone()]).await;

    // Bob speaks for Anne, for nobody, and in no language: Anne stays
    for forged in [presence(1, 9, None), presence(1, 9, Some("{}")), presence(7, 1, Some("{nonsense"))] {
        bob.peer.presence(forged).await.unwrap();
    }
    bob.peer.presence(Bytes::from_static(b"\xff\xff\xff\xff\x0f")).await.unwrap();
    anne.listen(A_WHILE).await;
    assert_eq!(anne.present.len(), 1);
    let mut late = house.join("d", "carl").await;
    late.peer.who().await.unwrap();
    late.until(|me| me.present == [here.clone()]).await;

    drop(anne);
    bob.until(|me| me.present.len() == 2).await;
    assert_eq!(awareness::decode(&bob.present[1]).unwrap()[0].state, None);
}

#[tokio::test]
async fn a_document_larger_than_an_outbox_reaches_who_joins() {
    let house = House::new();
    let mut anne = house.join("d", "anne").await;
    let mut typist = Typist::new(1);
    let page = "x".repeat(100_000);
    for _ in 0..30 {
        anne.edit(typist.types(&page)).await;
    }
    anne.until(|me| me.saved == 30).await;
    let joins = (0..20).map(|n| {
        let house = &house;
        async move { house.join("d", &format!("p{n}")).await }
    });
    let writing = async {
        let mut typist = Typist::new(2);
        for _ in 0..50 {
            anne.edit(typist.types("meanwhile")).await;
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    let (people, ()) = tokio::join!(join_all(joins), writing);
    for mut member in people {
        member.until(|me| me.has(1, 3_000_000) && me.has(2, 450)).await;
    }
    let sync = house.join("d", "dora").await;
    assert_eq!(state_vector(&sync.have).get(&1), Some(&3_000_000));
}

#[tokio::test]
async fn who_comes_back_gets_only_what_was_missed() {
    let house = House::new();
    let mut anne = house.join("d", "anne").await;
    let mut typist = Typist::new(1);
    anne.save(typist.types(&"x".repeat(50_000))).await;
    let mut bob = house.join("d", "bob").await;
    let (had, parts) = (bob.have.clone(), std::mem::take(&mut bob.parts));
    drop(bob);
    anne.save(typist.types("news")).await;
    bob = house.enter("d", "bob", Role::Editor).await;
    parts.into_iter().for_each(|part| bob.take_in(part));
    bob.peer.sync(had).await.unwrap();
    bob.until(|me| me.parts.len() == 2).await;
    assert!(bob.parts[1].len() < 100, "{} bytes", bob.parts[1].len());
}

#[tokio::test]
async fn a_large_edit_of_which_a_part_is_known_is_cut_and_others_go_on() {
    let house = House::new();
    let mut anne = house.join("d", "anne").await;
    let mut bob = house.join("d", "bob").await;
    anne.save(Typist::new(1).types("abc")).await;
    anne.save(Typist::new(1).types(&"z".repeat(1_000_000))).await;
    bob.until(|me| me.has(1, 1_000_000)).await;
    bob.save(Typist::new(2).types("meanwhile")).await;
    let bytes = bob.parts.concat();
    assert!(String::from_utf8_lossy(&bytes).contains("abc"));
}

#[tokio::test]
async fn an_edit_that_came_while_an_answer_was_cut_is_not_called_saved_with_it() {
    let house = House::new();
    let mut anne = house.join("d", "anne").await;
    anne.save(Typist::new(1).types("abc")).await;
    anne.peer.answer(Typist::new(1).types(&"z".repeat(1_000_000))).await.unwrap();
    let mut gappy = Typist::new(2);
    let _lost = gappy.types("x");
    anne.edit(gappy.types("y")).await;
    anne.until(|me| me.saved == 2 && me.asked > 0).await;
    anne.listen(Duration::from_millis(300)).await;
    assert_eq!(anne.saved, 2, "what the room never took is not saved");
    anne.peer.answer(Typist::new(2).types("xy")).await.unwrap();
    anne.until(|me| me.saved == 4).await;
}

#[tokio::test]
async fn a_document_of_countless_writers_takes_no_more() {
    let house = House::new();
    let mut anne = house.join("d", "anne").await;
    let mut client = 1u64;
    let mut refused = 0;
    while refused == 0 {
        // ten thousand writers of one letter each, in one update
        let mut bytes = Vec::new();
        var_uint(&mut bytes, 10_000);
        for id in (client..client + 10_000).rev() {
            bytes.push(1);
            var_uint(&mut bytes, id);
            bytes.extend([0, 4, 1, 1, b't', 1, b'x']);
        }
        bytes.push(0);
        client += 10_000;
        let before = anne.saved;
        anne.edit(bytes.into()).await;
        anne.until(|me| me.saved > before || !me.refused.is_empty()).await;
        refused = anne.refused.len();
        assert!(client < 1_000_000, "there is an end to it");
    }
    assert_eq!(anne.refused, [(1, Refusal::TooLarge)]);
}

#[tokio::test]
async fn on_a_full_disk_people_go_on_writing_and_all_of_it_is_saved_when_there_is_room() {
    let Some(disk) = SmallDisk::mount("size=8m") else { return };
    let house = House::on(tempfile::tempdir().unwrap(), &disk.path());
    let (mut anne, mut bob) = (house.join("d", "anne").await, house.join("d", "bob").await);
    let mut typist = Typist::new(1);
    let page = noise(20_000);
    let mut edits = 0;
    while anne.stored.is_none() {
        anne.edit(typist.types(&page)).await;
        edits += 1;
        anne.until(|me| me.saved == edits || me.stored.is_some()).await;
    }
    assert_eq!(anne.stored, Some(StoreState::Full));
    let saved = anne.saved;
    for _ in 0..20 {
        anne.edit(typist.types("not on disk")).await;
    }
    bob.until(|me| me.has(1, typist.clock) && me.stored == Some(StoreState::Full)).await;
    let mut carl = house.join("d", "carl").await;
    carl.until(|me| me.stored == Some(StoreState::Full) && me.has(1, typist.clock)).await;
    anne.listen(Duration::from_millis(1_300)).await;
    assert_eq!(anne.saved, saved, "nothing is acknowledged that is not on disk");

    assert!(disk.option("remount,size=64m", &[]));
    let since = Stopwatch::start();
    anne.until(|me| me.saved == edits + 20).await;
    let took = since.elapsed();
    println!("everything is saved {took:?} after there was room");
    assert!(took < Duration::from_secs(2), "{took:?}");
    anne.until(|me| me.stored == Some(StoreState::Writable)).await;
    drop((anne, bob, carl));
    let House { dir, store, rooms, .. } = house;
    rooms.stop().await;
    store.close();
    let house = House::on(dir, &disk.path());
    assert!(house.join("d", "anne").await.has(1, typist.clock));
    house.store.close();
}

#[tokio::test]
async fn what_a_full_disk_cannot_promise_to_keep_is_turned_away_and_asked_for_later() {
    let Some(disk) = SmallDisk::mount("size=8m") else { return };
    let house = House::on(tempfile::tempdir().unwrap(), &disk.path());
    let mut anne = house.join("d", "anne").await;
    let mut typist = Typist::new(1);
    let page = noise(500_000);
    let mut pages = Vec::new();
    while anne.refused.is_empty() {
        pages.push(typist.types(&page));
        anne.edit(pages[pages.len() - 1].clone()).await;
        let count = pages.len() as u32;
        let waits = anne.stored.is_some();
        anne.until(|me| waits || me.saved == count || me.stored.is_some() || !me.refused.is_empty()).await;
        anne.listen(Duration::from_millis(20)).await;
        assert!(pages.len() < 100, "there is a bound");
    }
    assert_eq!(anne.refused, [(1, Refusal::NotSaved)]);
    let asked = anne.asked;
    assert!(disk.option("remount,size=128m", &[]));
    anne.until(|me| me.asked > asked).await; // the room has room again and asks
    anne.peer.answer(pages[pages.len() - 1].clone()).await.unwrap();
    anne.until(|me| me.saved as usize > pages.len()).await; // the one turned away, and the answer itself
    let late = house.join("d", "bob").await;
    assert!(late.has(1, typist.clock));
    house.rooms.stop().await;
    house.store.close();
}

/// ASCII that does not compress.
fn noise(len: usize) -> String {
    let mut x = 88_172_645_463_325_252u64;
    (0..len)
        .map(|_| {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            char::from(b' ' + (x % 94) as u8)
        })
        .collect()
}
