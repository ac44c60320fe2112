//! Saved means on disk: the program is killed at random moments under load, and killed again while it recovers. What
//! was acknowledged is there afterwards, once.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::task::JoinSet;

use townhall::auth::Role;

use crate::harness::OfficeProcess;
use crate::harness::dice::Dice;
use crate::harness::hocus::{Heard, Hocus};
use crate::harness::typist::Typist;

const ROUNDS: u64 = 300;
const WRITERS: u64 = 6;
const DOCUMENTS: u64 = 3;
/// Data on disk before the first round.
const BALLAST_BYTES: usize = 100 << 20;
const READY_WITHIN: Duration = Duration::from_secs(2);

/// What a writer knows to be saved: its next clock.
type Saved = Arc<Mutex<BTreeMap<u64, u64>>>;

fn document_of(writer: u64) -> String {
    format!("killed-{}", writer % DOCUMENTS)
}

/// Types until the program dies; a writer goes on where the server's disk says it was.
async fn write_until_killed(port: u16, token: String, writer: u64, saved: Saved) {
    let Ok((mut me, _)) = Hocus::join(port, &document_of(writer), &token).await else { return };
    let have = me.server_state().await;
    let mut typist = Typist { client: writer, clock: have.get(&writer).copied().unwrap_or(0) };
    loop {
        // Some edits wait for their tick, some travel together.
        let together = 1 + typist.clock % 4;
        for _ in 0..together {
            if me.update(&typist.types("x")).await.is_err() {
                return;
            }
        }
        if me.saved(together as usize).await.is_err() {
            return;
        }
        saved.lock().unwrap().insert(writer, typist.clock);
    }
}

async fn missing_after_restart(office: &OfficeProcess, token: &str, saved: &Saved) -> Vec<String> {
    let mut missing = Vec::new();
    for document in 0..DOCUMENTS {
        let (mut me, _) =
            Hocus::join(office.port(), &document_of(document), token).await.expect("joins again");
        let have = me.server_state().await;
        for (&writer, &clock) in saved.lock().unwrap().iter().filter(|(w, _)| **w % DOCUMENTS == document) {
            let there = have.get(&writer).copied().unwrap_or(0);
            if there < clock {
                missing.push(format!("writer {writer}: {clock} acknowledged, {there} on disk"));
            }
        }
    }
    missing
}

async fn fill(office: &OfficeProcess, token: &str) {
    let piece = "abcdefghijklmnopqrstuvwxyz012345".repeat(32 << 10); // 1 MiB
    for n in 0..BALLAST_BYTES / piece.len() {
        let (mut me, _) = Hocus::join(office.port(), &format!("ballast-{n}"), token).await.expect("joins");
        me.update(&Typist::new(1).types(&piece)).await.expect("writes");
        me.saved(1).await.expect("is saved");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_acknowledged_edit_is_lost_when_the_program_is_killed() {
    let seed = 0x5eed_0000_0000_0001;
    println!("seed {seed:#x}");
    let mut dice = Dice::new(seed);
    let folder = tempfile::tempdir().unwrap();
    let saved = Saved::default();
    let mut office = OfficeProcess::start(&folder.path().join("data"));
    let token = office.mint(Role::Editor).await;
    fill(&office, &token).await;
    let mut slowest = Duration::ZERO;
    for round in 0..ROUNDS {
        let mut writers = JoinSet::new();
        for writer in 1..=WRITERS {
            writers.spawn(write_until_killed(office.port(), token.clone(), writer, saved.clone()));
        }
        tokio::time::sleep(dice.between(0, 250)).await;
        office.kill();
        writers.join_all().await;
        if round % 3 == 0 {
            OfficeProcess::start_and_kill_after(&folder.path().join("data"), dice.between(0, 60));
        }
        let start = Instant::now();
        office = OfficeProcess::start(&folder.path().join("data"));
        slowest = slowest.max(start.elapsed());
        let missing = missing_after_restart(&office, &token, &saved).await;
        assert!(missing.is_empty(), "round {round}: {missing:?}");
    }
    println!("{ROUNDS} kills; slowest start {slowest:?}; acknowledged {:?}", saved.lock().unwrap());
    assert!(slowest <= READY_WITHIN, "ready after {slowest:?}");
    assert!(saved.lock().unwrap().values().sum::<u64>() > ROUNDS, "hardly anything was written");
    assert_texts_are_whole(&office, &token, &saved).await;
}

/// The text itself, as an engine reads it: as many letters as the writers typed, none twice.
async fn assert_texts_are_whole(office: &OfficeProcess, token: &str, saved: &Saved) {
    use yrs::updates::decoder::Decode;
    use yrs::{Doc, GetString, ReadTxn, Transact, Update};
    for document in 0..DOCUMENTS {
        let (mut me, state) = Hocus::join(office.port(), &document_of(document), token).await.unwrap();
        let have = me.server_state().await;
        let doc = Doc::new();
        let text = doc.get_or_insert_text("t");
        doc.transact_mut().apply_update(Update::decode_v1(&state).unwrap()).unwrap();
        let letters = text.get_string(&doc.transact()).len() as u64;
        assert_eq!(letters, have.values().sum::<u64>(), "letters in document {document}");
        assert!(doc.transact().store().pending_update().is_none());
        let known: u64 =
            saved.lock().unwrap().iter().filter(|(w, _)| **w % DOCUMENTS == document).map(|(_, c)| c).sum();
        assert!(letters >= known);
        assert!(!matches!(me.next_within(Duration::from_millis(50)).await, Some(Heard::Closed(_))));
    }
}

#[tokio::test]
async fn who_joined_stays_and_who_was_sent_out_stays_out_when_the_program_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let office = OfficeProcess::start(&data);
    let join = async |name: &str| {
        let invitation = office.admin().post("/api/v1/invitations", json!({ "role": "editor" })).await.json();
        let joined =
            office.client().post("/api/v1/join", json!({ "code": invitation["code"], "name": name })).await;
        (
            joined.json()["token"].as_str().unwrap().to_owned(),
            joined.json()["user"]["id"].as_str().unwrap().to_owned(),
        )
    };
    let (sent_out, id) = join("Paul").await;
    assert_eq!(office.admin().delete(&format!("/api/v1/people/{id}")).await.status, 204);
    let (stays, _) = join("Marie").await;
    office.kill();
    let office = OfficeProcess::start(&data);
    assert_eq!(office.client().with_token(&stays).get("/api/v1/auth/me").await.status, 200);
    assert_eq!(office.client().with_token(&sent_out).get("/api/v1/auth/me").await.status, 401);
}
