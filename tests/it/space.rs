//! Spaces: who is here hears everything in order; who comes back hears what was missed, once, or is told that
//! it cannot be.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use townhall::clock::Clock;
use townhall::config::limits::{SPACE_LEFT_ROOMS_MAX, SPACE_REPEAT_BYTES};
use townhall::rooms::space::{
    Closed, Except, Join, Joined, OldRooms, Room, Said, Say, Since, Space, SpaceError, SpaceEvent,
    SpaceOptions, SpaceOutbox,
};
use townhall::store::{Store, StoreState, Table};
use townhall::telemetry::Metrics;

use crate::disk::SmallDisk;
use crate::harness::dice::Dice;

fn room(name: &str) -> Room {
    Room::new(name).unwrap()
}

fn say(to: &[&str], body: &str) -> Say {
    Say {
        to: to.iter().map(|name| room(name)).collect(),
        except: Vec::new(),
        name: "said".into(),
        body: Bytes::copy_from_slice(body.as_bytes()),
        attachments: Vec::new(),
        keep: true,
        id: None,
    }
}

/// An office's disk, clock and figures; spaces come and go on them.
struct Office {
    store: Option<Store>,
    clock: Clock,
    metrics: Metrics,
    options: SpaceOptions,
    _dir: tempfile::TempDir,
}

const WINDOW: Duration = Duration::from_secs(1_800);

impl Office {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (clock, metrics) = (Clock::manual(1_000_000_000), Metrics::new());
        let store = Some(Store::open(&dir.path().join("store"), &clock, &metrics).unwrap());
        Self { store, clock, metrics, options: SpaceOptions::default(), _dir: dir }
    }

    async fn space(&self) -> Space {
        let (store, clock, metrics) = (self.store.clone(), self.clock.clone(), self.metrics.clone());
        Space::open("office", store, clock, metrics, self.options).await.unwrap()
    }

    fn recoveries(&self, result: &str) -> bool {
        self.metrics.text().unwrap().contains(&format!("recoveries_total{{reason=\"{result}\"}}"))
    }
}

/// A client: what it is given, what it heard, and what it knows for coming back.
struct Client {
    metrics: Metrics,
    outbox: SpaceOutbox,
    rooms: Vec<Room>,
    person: Option<Arc<str>>,
    old_rooms: OldRooms,
    joined: Option<Joined>,
    pid: Option<String>,
    offset: Option<String>,
    heard: Vec<String>,
    /// What was repeated to it.
    missed: Vec<Arc<SpaceEvent>>,
    largest_piece: usize,
}

impl Client {
    fn new(rooms: &[&str]) -> Self {
        let metrics = Metrics::new();
        Self {
            outbox: SpaceOutbox::new(&metrics),
            metrics,
            rooms: rooms.iter().map(|name| room(name)).collect(),
            person: None,
            old_rooms: OldRooms::Dropped,
            joined: None,
            pid: None,
            offset: None,
            heard: Vec::new(),
            missed: Vec::new(),
            largest_piece: 0,
        }
    }

    async fn came(rooms: &[&str], space: &Space) -> Self {
        let mut client = Self::new(rooms);
        client.join(space).await;
        assert!(client.pid.is_some(), "there is a session");
        client
    }

    /// A connection, with what is known of the last time.
    fn coming_back(&mut self) -> Join {
        self.outbox = SpaceOutbox::new(&self.metrics);
        let since = self.pid.clone().map(|pid| Since { pid, offset: self.offset.clone() });
        let (outbox, person, rooms) = (self.outbox.clone(), self.person.clone(), self.rooms.clone());
        Join { outbox, person, rooms, since, recover: true, old_rooms: self.old_rooms.clone() }
    }

    /// Connects, with what is known of the last time; whether that was taken up.
    async fn join(&mut self, space: &Space) -> bool {
        let mut joined = space.join(self.coming_back()).await.unwrap();
        assert_eq!(
            joined.recovered,
            self.pid.is_some() && joined.pid == self.pid,
            "clients compare their pid"
        );
        if !joined.recovered {
            self.offset = None;
        }
        self.pid.clone_from(&joined.pid);
        let (recovered, mut missed) = (joined.recovered, std::mem::take(&mut joined.missed));
        while !missed.is_empty() {
            let read = missed.read().await.unwrap();
            assert!(missed.take(&read) && !read.events.is_empty());
            read.events.iter().for_each(|event| self.hear(event));
            let bytes = read.events.iter().map(|event| event.len()).sum();
            self.largest_piece = self.largest_piece.max(bytes);
            self.missed.extend(read.events);
        }
        self.joined = Some(joined);
        recovered
    }

    fn hear(&mut self, event: &SpaceEvent) {
        if let Some(offset) = &event.offset {
            self.offset = Some(offset.to_string());
        }
        self.heard.push(String::from_utf8(event.body.to_vec()).unwrap());
    }

    fn read(&mut self) -> Result<(), Closed> {
        loop {
            let taken = self.outbox.take_now()?;
            if taken.is_empty() {
                return Ok(());
            }
            taken.iter().for_each(|(_, event)| self.hear(event));
        }
    }

    fn heard(&mut self) -> Vec<String> {
        self.read().unwrap();
        std::mem::take(&mut self.heard)
    }

    async fn lose(&mut self, space: &Space) {
        space.leave(self.joined.as_ref().unwrap().member, true).await;
    }

    fn sid(&self) -> Arc<str> {
        self.joined.as_ref().unwrap().sid.clone()
    }
}

async fn seq(space: &Space, say: Say) -> u64 {
    space.say(say).await.unwrap().seq.unwrap()
}

#[tokio::test]
async fn each_member_hears_a_message_once_in_order_and_byte_for_byte() {
    let office = Office::new();
    let space = office.space().await;
    let mut both = Client::came(&["a", "b"], &space).await;
    let mut other = Client::came(&["c"], &space).await;
    let body = "{\"b\": 1,   \"a\":\"\\u00e9\"}";
    let said = space.say(say(&["a", "b", "a"], body)).await.unwrap();
    assert_eq!(said, Said { seq: Some(1), reached: 1, repeated: false });
    assert_eq!(both.heard(), [body]);
    assert_eq!(space.say(say(&[], "all")).await.unwrap().reached, 2);
    let mut passing = say(&["a"], "passing");
    passing.keep = false;
    assert_eq!(space.say(passing).await.unwrap(), Said { seq: None, reached: 1, repeated: false });
    let words: Vec<String> = (0..500).map(|n| n.to_string()).collect();
    let mut seqs = Vec::new();
    for some in words.chunks(25) {
        let saying = join_all(some.iter().map(|body| space.say(say(&["a"], body)))).await;
        seqs.extend(saying.into_iter().map(|said| said.unwrap().seq.unwrap()));
    }
    assert!(seqs.into_iter().eq(3..503));
    let mut expected = vec!["all".to_owned(), "passing".to_owned()];
    expected.extend(words);
    assert_eq!(both.heard(), expected);
    assert_eq!(other.heard(), ["all"]);
    assert_eq!(space.members(&room("a")).await.len(), 1);
    assert_eq!(space.rooms().await.len(), 3);
}

#[tokio::test]
async fn who_is_left_out_does_not_hear_it_now_or_later() {
    let office = Office::new();
    let space = office.space().await;
    let mut me = Client::came(&["a"], &space).await;
    let mut quiet = Client::came(&["a", "quiet"], &space).await;
    let mut third = Client::came(&["a"], &space).await;
    let mut words = say(&["a"], "1");
    words.except = vec![Except::Member(me.joined.as_ref().unwrap().member), Except::Room(room("quiet"))];
    assert_eq!(space.say(words).await.unwrap().reached, 1);
    for client in [&mut me, &mut quiet, &mut third] {
        client.lose(&space).await;
    }
    space.stop().await;
    let space = office.space().await;
    for (client, hears) in [(&mut me, false), (&mut quiet, false), (&mut third, true)] {
        assert!(client.join(&space).await);
        assert_eq!(client.heard().is_empty(), !hears);
    }
}

#[tokio::test]
async fn who_comes_back_hears_exactly_what_was_missed_also_after_a_restart() {
    let office = Office::new();
    let mut space = office.space().await;
    for restart in [false, true, true] {
        let mut client = Client::came(&["a", "b"], &space).await;
        seq(&space, say(&["a"], "heard")).await;
        assert_eq!(client.heard(), ["heard"]);
        let sid = client.sid();
        client.lose(&space).await;
        seq(&space, say(&["a"], "1")).await;
        seq(&space, say(&["foreign"], "not mine")).await;
        let last = seq(&space, say(&[], "2")).await;
        if restart {
            space.stop().await;
            space = office.space().await;
            assert!(seq(&space, say(&["b"], "3")).await > last, "a number is given once");
        } else {
            seq(&space, say(&["b"], "3")).await;
        }
        assert!(client.join(&space).await);
        assert_eq!((client.heard(), client.sid()), (vec!["1".into(), "2".into(), "3".into()], sid));
        // And again, with what was just repeated lost on the way.
        client.lose(&space).await;
        seq(&space, say(&["a"], "4")).await;
        assert!(client.join(&space).await);
        assert_eq!(client.heard(), ["4"]);
        seq(&space, say(&["b"], "5")).await;
        assert_eq!(client.heard(), ["5"]);
        space.leave(client.joined.unwrap().member, false).await;
    }
}

#[tokio::test]
async fn a_session_is_taken_up_before_the_first_event_and_when_its_offset_has_aged_out() {
    let office = Office::new();
    let space = office.space().await;
    seq(&space, say(&["a"], "before")).await;
    let mut none = Client::came(&["a"], &space).await;
    none.lose(&space).await;
    seq(&space, say(&["a"], "first")).await;
    assert!(none.join(&space).await, "no event was ever heard");
    assert_eq!(none.heard(), ["first"]);

    // Quiet for hours, while another room is not.
    for _ in 0..10 {
        office.clock.advance(Duration::from_secs(1_000));
        seq(&space, say(&["busy"], "x")).await;
    }
    none.lose(&space).await;
    assert!(none.join(&space).await, "its last offset is long gone, but nothing was missed");
    assert!(none.heard().is_empty());
    none.lose(&space).await;
    space.stop().await;
    let space = office.space().await;
    seq(&space, say(&["a"], "after")).await;
    assert!(none.join(&space).await);
    assert_eq!(none.heard(), ["after"]);
}

#[tokio::test]
async fn what_somebody_said_itself_hours_ago_is_no_loss() {
    let mut office = Office::new();
    office.options.window = Duration::from_secs(3); // its housekeeping is done every 50 ms
    let space = office.space().await;
    let mut me = Client::came(&["a"], &space).await;
    let mut gone = Client::came(&["a"], &space).await;
    gone.lose(&space).await;
    let mut words = say(&["a"], "mine");
    words.except = vec![Except::Member(me.joined.as_ref().unwrap().member)];
    space.say(words).await.unwrap();
    for _ in 0..8 {
        office.clock.advance(Duration::from_secs(31));
        running_for(Duration::from_secs(31)).await;
    }
    let pid = me.pid.clone();
    space.stop().await;
    let space = office.space().await;
    assert!(me.join(&space).await);
    assert_eq!((me.heard().len(), &me.pid), (0, &pid));
    assert!(!gone.join(&space).await);
}

/// Time in which timers ring. It takes none; only a clock that is asked for the time goes by itself.
async fn running_for(time: Duration) {
    tokio::time::pause();
    tokio::time::sleep(time).await;
    tokio::time::resume();
}

#[tokio::test]
async fn a_computers_sleep_does_not_prove_that_anything_was_received() {
    let mut office = Office::new();
    office.options.window = Duration::from_secs(3);
    let space = office.space().await;
    let mut client = Client::came(&["a"], &space).await;
    running_for(Duration::from_secs(1)).await;
    seq(&space, say(&["a"], "on its way when the lid closed")).await;
    assert_eq!(client.outbox.take_now().unwrap().len(), 1);
    running_for(Duration::from_secs(1)).await;
    office.clock.advance(Duration::from_secs(3_600));
    seq(&space, say(&["busy"], "x")).await;
    running_for(Duration::from_secs(1)).await;
    assert!(!client.join(&space).await, "it has missed something that is not there any more");
}

#[tokio::test]
async fn what_cannot_be_made_good_is_said() {
    let mut office = Office::new();
    office.options.ring_max_messages = 10;
    for restart in [false, true] {
        let mut space = office.space().await;
        let mut busy = Client::came(&["busy"], &space).await;
        let mut quiet = Client::came(&["quiet"], &space).await;
        let mut old = Client::came(&["quiet"], &space).await;
        for client in [&mut busy, &mut quiet, &mut old] {
            client.lose(&space).await;
        }
        seq(&space, say(&["quiet"], "0")).await;
        for n in 0..10 {
            seq(&space, say(&[if n == 9 { "quiet" } else { "busy" }], &n.to_string())).await;
        }
        if restart {
            space.stop().await;
            space = office.space().await;
        }
        assert!(!quiet.join(&space).await, "the first message of its room left the ring");
        assert!(quiet.heard().is_empty());
        assert!(busy.join(&space).await, "all of its messages are there");
        assert_eq!(busy.heard().len(), 9);
        office.clock.advance(WINDOW + Duration::from_secs(1));
        assert!(!old.join(&space).await, "the window has passed");
        space.stop().await;
    }
    assert!(office.recoveries("lost") && office.recoveries("too_old") && office.recoveries("recovered"));
}

#[tokio::test]
async fn what_left_the_disk_is_known_to_have_been_there_also_after_a_restart() {
    let mut office = Office::new();
    office.options.ring_max_messages = 10;
    let space = office.space().await;
    let mut lost = Client::came(&["quiet"], &space).await;
    let mut whole = Client::came(&["other"], &space).await;
    for client in [&mut lost, &mut whole] {
        client.lose(&space).await;
    }
    seq(&space, say(&["quiet"], "missed")).await;
    for _ in 0..30 {
        for said in join_all((0..20).map(|_| space.say(say(&["busy"], "x")))).await {
            said.unwrap();
        }
    }
    space.stop().await;
    let rows = office.store.as_ref().unwrap().scan(Table::Messages, b"", 1_000).unwrap();
    assert!(rows.len() < 300, "{} rows are left on disk", rows.len());
    let space = office.space().await;
    assert!(whole.join(&space).await);
    assert!(!lost.join(&space).await);
}

/// Messages of a thousand bytes each.
fn a_thousand_bytes(number: usize) -> String {
    format!("{number:05} {}", "x".repeat(994))
}

#[tokio::test]
async fn what_is_too_much_for_the_memory_is_repeated_from_disk_a_piece_at_a_time() {
    let mut office = Office::new();
    office.options.ring_max_memory = 100_000;
    let mut space = office.space().await;
    for restart in [false, true] {
        let mut client = Client::came(&["a"], &space).await;
        client.lose(&space).await;
        for some in (0..1_000).collect::<Vec<_>>().chunks(25) {
            let all = some.iter().map(|number| space.say(say(&["a"], &a_thousand_bytes(*number))));
            assert!(join_all(all).await.iter().all(Result::is_ok));
        }
        // A hundred messages, and an index of the others.
        assert!(office.metrics.ring_bytes.get() < 800_000, "{}", office.metrics.ring_bytes.get());
        if restart {
            space.stop().await;
            space = office.space().await;
            assert!(office.metrics.ring_bytes.get() < 800_000, "{}", office.metrics.ring_bytes.get());
        }
        assert!(client.join(&space).await);
        assert!(client.largest_piece <= SPACE_REPEAT_BYTES + 2_000, "{}", client.largest_piece);
        assert!(client.heard().into_iter().eq((0..1_000).map(a_thousand_bytes)));
        space.leave(client.joined.unwrap().member, false).await;
    }
}

#[tokio::test]
async fn whoever_misses_what_the_disk_has_lost_is_told() {
    let mut office = Office::new();
    office.options.ring_max_memory = 0;
    let space = office.space().await;
    let mut clients = [Client::came(&["a"], &space).await, Client::came(&["b"], &space).await];
    for client in &mut clients {
        client.lose(&space).await;
    }
    seq(&space, say(&["a"], "1")).await;
    seq(&space, say(&["b"], "2")).await;
    let store = office.store.as_ref().unwrap();
    let (key, _) = store.scan(Table::Messages, b"\x06officem", 1).unwrap().remove(0);
    let gone = townhall::store::Write::Delete { table: Table::Messages, key };
    store.commit(vec![gone]).unwrap().await.unwrap().unwrap();
    let [lost, whole] = &mut clients;
    let joined = space.join(lost.coming_back()).await.unwrap();
    assert_eq!(joined.missed.read().await.unwrap_err(), SpaceError::Lost);
    space.leave(joined.member, true).await;
    assert!(!lost.join(&space).await);
    assert!(whole.join(&space).await);
    assert_eq!(whole.heard(), ["2"]);
}

#[tokio::test]
async fn who_is_still_being_told_what_was_missed_is_not_thought_to_have_heard_it() {
    let mut office = Office::new();
    office.options.window = Duration::from_secs(3); // its housekeeping is done every 50 ms
    let space = office.space().await;
    let mut client = Client::came(&["a"], &space).await;
    client.lose(&space).await;
    seq(&space, say(&["a"], "1")).await;
    let joined = space.join(client.coming_back()).await.unwrap();
    assert!(!joined.missed.is_empty());
    for _ in 0..8 {
        office.clock.advance(Duration::from_secs(31));
        running_for(Duration::from_secs(31)).await;
    }
    space.leave(joined.member, true).await;
    assert!(!client.join(&space).await, "the message has left the ring, and it was not heard");
}

#[tokio::test]
async fn a_restart_after_days_takes_nothing_up() {
    let office = Office::new();
    let space = office.space().await;
    let mut client = Client::came(&["a"], &space).await;
    space.stop().await;
    assert_eq!(client.outbox.closed(), Some(Closed::Ended));
    office.clock.advance(Duration::from_secs(2 * 86_400));
    let space = office.space().await;
    assert!(!client.join(&space).await);
    assert!(client.pid.is_some(), "but there is a new session");
}

#[tokio::test]
async fn a_room_that_was_taken_away_is_not_given_back() {
    let office = Office::new();
    let space = office.space().await;
    let mut client = Client::came(&["kept", "taken"], &space).await;
    let member = client.joined.as_ref().unwrap().member;
    space.enter(member, vec![room("board"), room("entered")]).await;
    space.exit(member, vec![room("entered")]).await;
    client.lose(&space).await;
    for name in ["kept", "taken", "board", "entered", "new"] {
        seq(&space, say(&[name], name)).await;
    }
    client.rooms = vec![room("kept"), room("new")];
    client.old_rooms = OldRooms::These(vec![room("board"), room("entered")]);
    let since = Since { pid: client.pid.clone().unwrap(), offset: None };
    assert_eq!(space.remembered(&since).await.unwrap().rooms.len(), 3);
    assert!(client.join(&space).await);
    assert_eq!(client.heard(), ["kept", "board"]);
    for name in ["kept", "taken", "board", "entered", "new"] {
        seq(&space, say(&[name], name)).await;
    }
    assert_eq!(client.heard(), ["kept", "board", "new"]);
}

#[tokio::test]
async fn leaving_a_room_and_entering_it_again_does_not_hide_what_was_missed_there() {
    let office = Office::new();
    let mut space = office.space().await;
    for restart in [false, true] {
        let mut clients = [Client::came(&["board"], &space).await, Client::came(&["board"], &space).await];
        let members = clients.each_ref().map(|client| client.joined.as_ref().unwrap().member);
        seq(&space, say(&["board"], "1")).await;
        clients.iter_mut().for_each(|client| assert_eq!(client.heard(), ["1"]));
        // The line of the second is dead, and nobody knows it.
        seq(&space, say(&["board"], "2")).await;
        assert_eq!(clients[0].heard(), ["2"]);
        let mut own = say(&["board"], "own");
        own.except = vec![Except::Member(members[0])];
        seq(&space, own).await;
        for member in members {
            space.exit(member, vec![room("board")]).await;
        }
        seq(&space, say(&["board"], "while they were out")).await;
        for member in members {
            space.enter(member, vec![room("board")]).await;
        }
        seq(&space, say(&["board"], "3")).await;
        for client in &mut clients {
            client.lose(&space).await;
        }
        if restart {
            space.stop().await;
            space = office.space().await;
        }
        let [whole, late] = &mut clients;
        assert!(whole.join(&space).await, "it had heard all there was before");
        assert_eq!(whole.heard(), ["3"]);
        assert!(late.join(&space).await);
        assert_eq!(late.heard(), ["2", "own", "3"], "what was said while it was out is not for it");
    }
}

#[tokio::test]
async fn what_is_known_of_rooms_that_were_left_is_bounded_and_never_too_kind() {
    let office = Office::new();
    let space = office.space().await;
    let names: Vec<String> = (0..=SPACE_LEFT_ROOMS_MAX).map(|n| format!("r{n}")).collect();
    let rooms: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut clients = [Client::came(&rooms, &space).await, Client::came(&rooms, &space).await];
    for name in &rooms {
        seq(&space, say(&[name], name)).await;
    }
    assert_eq!(clients[0].heard(), rooms);
    for client in &mut clients {
        let member = client.joined.as_ref().unwrap().member;
        for room in client.rooms.clone() {
            space.exit(member, vec![room]).await;
        }
        space.enter(member, client.rooms.clone()).await;
        client.lose(&space).await;
    }
    assert!(clients[0].join(&space).await, "it had heard all of it");
    assert!(!clients[1].join(&space).await, "the first of them is not known any more");
}

#[tokio::test]
async fn a_session_belongs_to_one_connection_of_one_person() {
    let office = Office::new();
    let space = office.space().await;
    let mut client = Client::new(&["a"]);
    client.person = Some("ann".into());
    client.join(&space).await;
    // Somebody else with the same secret ends nothing and gets nothing.
    let mut thief = Client::new(&["a"]);
    (thief.person, thief.pid) = (Some("bob".into()), client.pid.clone());
    assert!(!thief.join(&space).await);
    assert_ne!(thief.sid(), client.sid());
    seq(&space, say(&["a"], "1")).await;
    assert_eq!(client.heard(), ["1"]);
    // The same person on a new connection, before the old one is known to be dead.
    let (old, sid) = (client.outbox.clone(), client.sid());
    let member = client.joined.as_ref().unwrap().member;
    assert!(client.join(&space).await);
    assert_eq!(old.closed(), Some(Closed::TakenOver));
    assert_eq!(client.sid(), sid);
    // What the old connection says late changes nothing.
    space.leave(member, false).await;
    seq(&space, say(&["a"], "2")).await;
    assert_eq!(client.heard(), ["2"]);
    // Who leaves on purpose does not come back.
    space.leave(client.joined.as_ref().unwrap().member, false).await;
    assert!(!client.join(&space).await);
    // Text that is no offset is not taken for one.
    client.offset = Some("hello".into());
    client.lose(&space).await;
    assert!(!client.join(&space).await);
}

#[tokio::test]
async fn a_message_said_again_with_its_key_is_answered_and_not_heard_again() {
    let office = Office::new();
    let space = office.space().await;
    let mut client = Client::came(&["a"], &space).await;
    let keyed = |body: &str| Say { id: Some("key-1".into()), ..say(&["a"], body) };
    let (one, two) = tokio::join!(space.say(keyed("1")), space.say(keyed("1")));
    let (one, two) = (one.unwrap(), two.unwrap());
    assert_eq!((one.seq, two.seq), (Some(1), Some(1)));
    assert!(!one.repeated && two.repeated);
    client.lose(&space).await;
    space.stop().await;
    let space = office.space().await;
    let again = space.say(keyed("1")).await.unwrap();
    assert_eq!(again, Said { seq: Some(1), reached: 0, repeated: true });
    assert!(client.join(&space).await);
    assert_eq!(client.heard(), ["1"]);
    office.clock.advance(WINDOW + Duration::from_secs(1));
    assert!(!space.say(keyed("1")).await.unwrap().repeated, "a key is remembered for the window");
}

#[tokio::test]
async fn a_slow_reader_is_cut_off_and_gets_all_of_it_when_it_comes_back() {
    let office = Office::new();
    let space = office.space().await;
    let mut slow = Client::came(&["a"], &space).await;
    let mut quick = Client::came(&["a"], &space).await;
    let piece = "x".repeat(100_000);
    for n in 0..60 {
        seq(&space, say(&["a"], &format!("{n} {piece}"))).await;
        quick.read().unwrap();
    }
    assert_eq!(slow.read(), Err(Closed::Overflow));
    assert_eq!(slow.outbox.waiting_bytes(), 0);
    assert_eq!(space.members(&room("a")).await.len(), 1);
    assert!(slow.join(&space).await);
    seq(&space, say(&["a"], "last")).await;
    assert_eq!((slow.heard().len(), quick.heard().len()), (61, 61));
}

#[tokio::test]
async fn a_connection_that_vanished_is_not_here_any_more() {
    let office = Office::new();
    let space = office.space().await;
    let client = Client::came(&["a"], &space).await;
    drop(client);
    space.say(say(&["a"], "1")).await.unwrap();
    assert!(space.members(&room("a")).await.is_empty());
    assert_eq!(office.metrics.members.get(), 0);
}

#[tokio::test]
async fn without_a_store_everything_passes() {
    let mut office = Office::new();
    office.store = None;
    let space = office.space().await;
    let mut client = Client::new(&["a"]);
    client.join(&space).await;
    assert_eq!(client.pid, None);
    let said = space.say(say(&["a"], "1")).await.unwrap();
    assert_eq!(said, Said { seq: None, reached: 1, repeated: false });
    assert_eq!(client.heard(), ["1"]);
    space.stop().await;
    assert_eq!(space.say(say(&["a"], "2")).await, Err(SpaceError::Ended));
}

/// What a client should have heard since it last was told that something is lost.
#[derive(Default)]
struct Model {
    expected: Vec<String>,
    here: bool,
}

#[tokio::test]
async fn whatever_happens_everybody_hears_everything_once_or_is_told() {
    let seed = 0x5eed_0000_0000_0002;
    println!("seed {seed:#x}");
    let mut dice = Dice::new(seed);
    let mut office = Office::new();
    office.options.ring_max_messages = 300;
    let mut space = office.space().await;
    let rooms = ["a", "b", "c", "d"];
    let mut clients: Vec<(Client, Model)> = Vec::new();
    for n in 0..24 {
        let mine: Vec<&str> =
            rooms.iter().enumerate().filter(|(at, _)| n >> at & 1 == 1).map(|(_, r)| *r).collect();
        clients.push((Client::came(&mine, &space).await, Model { here: true, ..Model::default() }));
    }
    let (mut said, mut taken_up, mut refused, mut last) = (0, 0, 0, 0);
    for _ in 0..1_000 {
        match dice.below(100) {
            0..60 => {
                let mut words = Vec::new();
                for _ in 0..=dice.below(5) {
                    let mut to: Vec<&str> = rooms.iter().copied().filter(|_| dice.below(3) == 0).collect();
                    to.truncate(2);
                    if to.is_empty() && dice.below(2) == 0 {
                        to.push("nobody");
                    }
                    said += 1;
                    let body = said.to_string();
                    for (client, model) in &mut clients {
                        if to.is_empty() || client.rooms.iter().any(|room| to.contains(&room.as_str())) {
                            model.expected.push(body.clone());
                        }
                    }
                    words.push(space.say(say(&to, &body)));
                }
                for said in join_all(words).await {
                    let seq = said.unwrap().seq.unwrap();
                    assert!(seq > last);
                    last = seq;
                }
            }
            60..75 => {
                let (client, model) = &mut clients[dice.below(24)];
                if model.here {
                    client.read().unwrap();
                }
            }
            75..83 => {
                // The connection is lost, with or without what was on its way.
                let (client, model) = &mut clients[dice.below(24)];
                if std::mem::take(&mut model.here) {
                    if dice.below(2) == 0 {
                        client.read().unwrap();
                    }
                    if dice.below(2) == 0 {
                        client.lose(&space).await;
                    }
                }
            }
            83..97 => {
                let (client, model) = &mut clients[dice.below(24)];
                if !model.here || dice.below(8) == 0 {
                    let expected = std::mem::take(&mut model.expected);
                    let before = client.heard.len();
                    if client.join(&space).await {
                        taken_up += 1;
                        assert_eq!(client.heard, expected);
                    } else {
                        refused += 1;
                        assert_eq!(client.heard, expected[..before], "up to here it was complete");
                    }
                    client.heard.clear();
                    model.here = true;
                }
            }
            97 => office.clock.advance(Duration::from_secs(dice.below(400) as u64)),
            _ => {
                space.stop().await;
                space = office.space().await;
                clients.iter_mut().for_each(|(_, model)| model.here = false);
            }
        }
    }
    for (client, model) in &mut clients {
        if model.here {
            client.read().unwrap();
            assert_eq!(client.heard, model.expected);
        }
    }
    println!("{said} said, {taken_up} taken up, {refused} told that something is lost");
    assert!(taken_up > 50 && refused > 10);
}

/// The process that is killed: one client hears what two publishers say.
#[test]
#[ignore = "started by another test"]
fn child_says_until_killed() {
    let Some(dir) = std::env::var_os("TOWNHALL_TEST_DIR") else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let metrics = Metrics::new();
        let store = Store::open(Path::new(&dir), &Clock::real(), &metrics).unwrap();
        let space = Space::open("office", Some(store), Clock::real(), metrics, SpaceOptions::default())
            .await
            .unwrap();
        let mut client = Client::came(&["a"], &space).await;
        println!("\npid {}", client.pid.as_ref().unwrap());
        for publisher in 0..2 {
            let space = space.clone();
            tokio::spawn(async move {
                for n in 0.. {
                    let said = space.say(say(&["a"], &format!("{publisher}.{n}"))).await.unwrap();
                    println!("said {} {publisher}.{n}", said.seq.unwrap());
                }
            });
        }
        loop {
            for (_, event) in client.outbox.take().await.unwrap() {
                client.hear(&event);
                let body = String::from_utf8_lossy(&event.body).into_owned();
                println!("heard {} {} {body}", event.seq.unwrap(), event.offset.as_ref().unwrap());
            }
        }
    });
}

#[tokio::test]
async fn after_a_kill_a_client_goes_on_where_it_was_and_no_number_is_given_twice() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    let mut numbers: BTreeMap<u64, String> = BTreeMap::new();
    for round in 0..6 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "space::child_says_until_killed", "--nocapture"])
            .env("TOWNHALL_TEST_DIR", &path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let mut out = String::new();
        while out.matches("\nheard ").count() < 5 {
            assert!(lines.read_line(&mut out).unwrap() > 0, "round {round}: it ended by itself: {out}");
        }
        std::thread::sleep(Duration::from_millis(round * 40));
        child.kill().unwrap();
        lines.read_to_string(&mut out).unwrap();
        child.wait().unwrap();
        let mut client = Client::new(&["a"]);
        let mut heard: Vec<u64> = Vec::new();
        for line in out.lines().filter(|line| out.ends_with(&format!("{line}\n")) || line.len() > 4) {
            let words: Vec<&str> = line.split(' ').collect();
            match words[..] {
                ["pid", pid] => client.pid = Some(pid.into()),
                ["heard", seq, offset, body] => {
                    let seq = seq.parse().unwrap();
                    // The last line may be cut.
                    if out.ends_with(line) {
                        continue;
                    }
                    client.offset = Some(offset.into());
                    heard.push(seq);
                    let before = numbers.insert(seq, body.into());
                    assert!(before.is_none_or(|before| before == body), "number {seq} was given twice");
                }
                _ => {}
            }
        }
        assert!(client.pid.is_some() && heard.len() > 3, "round {round}: hardly anything was said: {out}");
        assert!(heard.windows(2).all(|pair| pair[1] == pair[0] + 1), "round {round}: a gap");

        let metrics = Metrics::new();
        let store = Store::open(&path, &Clock::real(), &metrics).unwrap();
        let space =
            Space::open("office", Some(store.clone()), Clock::real(), metrics, SpaceOptions::default());
        let space = space.await.unwrap();
        assert!(client.join(&space).await, "round {round}: the session is there");
        for event in &client.missed {
            heard.push(event.seq.unwrap());
            let body = String::from_utf8(event.body.to_vec()).unwrap();
            let before = numbers.insert(event.seq.unwrap(), body.clone());
            assert!(before.is_none_or(|before| before == body));
        }
        assert!(heard.windows(2).all(|pair| pair[1] == pair[0] + 1), "round {round}: a gap after the kill");
        let said: Vec<&str> = out.lines().filter(|line| line.starts_with("said ")).collect();
        for line in said.iter().filter(|line| !out.ends_with(**line)) {
            let words: Vec<&str> = line.split(' ').collect();
            assert_eq!(
                numbers.get(&words[1].parse().unwrap()).unwrap(),
                words[2],
                "what was answered is kept"
            );
        }
        space.stop().await;
        store.close();
    }
}

#[tokio::test]
async fn on_a_full_disk_the_publisher_is_told_and_the_rest_goes_on() {
    let Some(disk) = SmallDisk::mount("size=8m") else { return };
    let (clock, metrics) = (Clock::manual(1_000_000_000), Metrics::new());
    let store = Store::open(&disk.path(), &clock, &metrics).unwrap();
    let open = || {
        Space::open("office", Some(store.clone()), clock.clone(), metrics.clone(), SpaceOptions::default())
    };
    let space = open().await.unwrap();
    let mut client = Client::came(&["a"], &space).await;
    let body = "x".repeat(300_000);
    let mut said = 0;
    let error = loop {
        match space.say(say(&["a"], &format!("{said} {body}"))).await {
            Ok(_) => said += 1,
            Err(error) => break error,
        }
        client.read().unwrap();
    };
    assert!(matches!(error, SpaceError::NotKept(_)), "{error}");
    assert_eq!(client.heard().len(), said, "nobody hears what is not kept");
    // What passes is heard, who comes is let in, without a promise; who has a session comes back.
    let passing = Say { keep: false, ..say(&["a"], "passing") };
    assert_eq!(space.say(passing).await.unwrap().reached, 1);
    assert_eq!(client.heard(), ["passing"]);
    let mut newcomer = Client::new(&["a"]);
    assert!(!newcomer.join(&space).await);
    assert_eq!(newcomer.pid, None);
    client.lose(&space).await;
    assert!(client.join(&space).await);
    space.leave(newcomer.joined.unwrap().member, true).await;
    client.lose(&space).await;
    // Whoever goes on publishing is told each time.
    for _ in 0..60 {
        let refused = join_all((0..20).map(|_| space.say(say(&["a"], &body)))).await;
        assert!(refused.iter().all(Result::is_err));
    }
    // With room again, messages are kept again, in order, and what failed stays unheard, also after a restart.
    assert!(disk.option("remount,size=64m", &[]));
    let mut state = store.state();
    state.wait_for(|state| *state == StoreState::Writable).await.unwrap();
    let again = async {
        while space.say(say(&["a"], "after")).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(4), again).await.expect("messages are kept again");
    space.stop().await;
    let space = open().await.unwrap();
    assert!(client.join(&space).await);
    assert_eq!(client.heard(), ["after"]);
    space.stop().await;
    store.close();
}
