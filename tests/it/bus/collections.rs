//! Shared keys that are more than a text: alike without Redis and with it, and one for all offices where there is one.

use std::time::Duration;

use bytes::Bytes;
#[cfg(unix)]
use redis::AsyncCommands;
#[cfg(unix)]
use tokio_util::sync::CancellationToken;
use townhall::bus::{Bus, Kept};
#[cfg(unix)]
use townhall::bus::{BusOptions, Known};
use townhall::clock::Clock;
#[cfg(unix)]
use townhall::config::limits::BUS_COPY_LIFE;
#[cfg(unix)]
use townhall::store::Store;
#[cfg(unix)]
use townhall::telemetry::Metrics;

#[cfg(unix)]
use super::central::Line;
#[cfg(unix)]
use crate::harness::redis::RedisServer;

const LIFE: Duration = Duration::from_secs(60);

fn fields(all: &[(&str, &str)]) -> Vec<(String, Bytes)> {
    all.iter().map(|(name, value)| ((*name).to_owned(), Bytes::copy_from_slice(value.as_bytes()))).collect()
}

fn names(all: &[&str]) -> Vec<String> {
    all.iter().map(|&name| name.to_owned()).collect()
}

/// What holds on every bus.
async fn keeps(bus: &Bus) {
    let rule = fields(&[("allowedRoles", "[]"), ("isPublic", "true")]);
    bus.put_fields("rule", &rule).await.unwrap();
    assert_eq!(bus.read_shared("rule").await.unwrap().kept(), Some(Kept::Fields(rule)));
    assert_eq!(bus.get_shared("rule").await.unwrap().filter(|text| text.is_empty()), None);
    bus.put_shared("text", b"x", None).await.unwrap();
    assert_eq!(bus.read_shared("text").await.unwrap().kept(), Some(Kept::Text("x".into())));
    assert_eq!(bus.read_shared("nothing").await.unwrap().kept(), None);
    bus.put_members("users", names(&["ann", "bob"]), LIFE).await.unwrap();
    bus.put_members("users", names(&["bob", "cy"]), LIFE).await.unwrap();
    assert_eq!(bus.members("users").await.unwrap(), ["bob", "cy"]);
    bus.put_members("users", Vec::new(), LIFE).await.unwrap();
    assert!(bus.members("users").await.unwrap().is_empty());
    for count in 1..=3 {
        assert_eq!(bus.count_shared("often", LIFE).await.unwrap(), count);
    }
    assert_eq!(bus.get_shared("often").await.unwrap().unwrap(), "3");
}

#[tokio::test]
async fn an_office_alone_keeps_fields_members_and_counts_with_their_lives() {
    let data = tempfile::tempdir().unwrap();
    let clock = Clock::manual(1_000_000);
    let bus = Bus::open(&data.path().join("bus"), &clock).unwrap();
    keeps(&bus).await;
    bus.put_members("users", names(&["ann"]), LIFE).await.unwrap();
    clock.advance(LIFE);
    assert!(bus.members("users").await.unwrap().is_empty());
    assert_eq!(bus.count_shared("often", LIFE).await.unwrap(), 1, "a new window");
}

#[cfg(unix)] // where a program can be made to hang
#[tokio::test]
async fn two_offices_and_other_programs_share_them_through_redis() {
    let Some(mut redis) = RedisServer::start(None).await else { return };
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (one, two) = (Line::open(one.path(), &redis.url()), Line::open(two.path(), &redis.url()));
    for line in [&one, &two] {
        line.becomes(true).await;
    }
    keeps(&one.bus).await;
    assert_eq!(two.bus.count_shared("often", LIFE).await.unwrap(), 4);
    let mut other = redis.connect().await;
    let left: i64 = other.pttl("often").await.unwrap();
    assert!((1..=60_000).contains(&left), "{left}");
    // As the design writes it, and as other programs do.
    let _: () = other.hset_multiple("theirs", &[("allowedRoles", "[\"a\"]"), ("x", "1")]).await.unwrap();
    let rule = Some(Kept::Fields(fields(&[("allowedRoles", "[\"a\"]"), ("x", "1")])));
    assert_eq!(two.bus.read_shared("theirs").await.unwrap().kept(), rule);
    two.bus.put_fields("theirs", &fields(&[("allowedRoles", "[]")])).await.unwrap();
    let x: String = other.hget("theirs", "x").await.unwrap();
    assert_eq!(x, "1", "what others wrote beside ours stays");
    let _: () = other.set("was text", "x").await.unwrap();
    two.bus.put_fields("was text", &fields(&[("a", "1")])).await.unwrap();
    assert_eq!(two.bus.get_shared("was text").await.unwrap(), None, "not a text any more");
    assert!(two.bus.state().borrow().up, "and nothing was lost with it");

    one.bus.put_members("users", names(&["ann", "bob"]), LIFE).await.unwrap();
    two.bus.put_members("users", names(&["bob", "cy"]), LIFE).await.unwrap();
    let _: () = other.sadd("users", "dan").await.unwrap();
    assert_eq!(two.bus.members("users").await.unwrap(), ["ann", "bob", "cy", "dan"]);
    // Redis goes away; who leaves meanwhile is gone when it is back, also where it kept its data.
    redis.freeze(true);
    one.becomes(false).await;
    one.bus.put_members("users", names(&["ann"]), LIFE).await.unwrap();
    assert_eq!(one.bus.members("users").await.unwrap(), ["ann"]);
    assert_eq!(one.bus.count_shared("often", LIFE).await.unwrap(), 1, "alone for now");
    redis.freeze(false);
    one.becomes(true).await;
    two.becomes(true).await;
    let members = async |line: &Line| line.bus.members("users").await.unwrap();
    for _ in 0..100 {
        if !members(&one).await.contains(&"bob".to_owned()) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(members(&one).await.starts_with(&names(&["ann"])));
    // Emptied under our feet, without a word.
    one.bus.put_shared("ours", b"Ann", None).await.unwrap();
    one.bus.put_fields("our rule", &fields(&[("isPublic", "true")])).await.unwrap();
    let _: () = redis::cmd("FLUSHALL").query_async(&mut other).await.unwrap();
    assert_eq!(
        one.bus.get_shared("ours").await.unwrap().unwrap(),
        "Ann",
        "what is missing there says nothing"
    );
    assert!(one.bus.read_shared("our rule").await.unwrap().kept().is_some());
    for _ in 0..200 {
        if other.exists::<_, u8>(&["our rule", "ours"]).await.unwrap() == 2 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let rule: String = other.hget("our rule", "isPublic").await.unwrap();
    assert_eq!((rule.as_str(), members(&one).await.contains(&"ann".to_owned())), ("true", true));
    assert!(one.bus.state().borrow().up);
    let _: () = other.del("ours").await.unwrap();
    assert_eq!(one.bus.get_shared("ours").await.unwrap(), None, "taken away is not emptied");
    redis.kill();
    one.becomes(false).await;
    assert_eq!(
        two.bus.read_shared("theirs").await.unwrap().kept(),
        Some(Kept::Fields(fields(&[("allowedRoles", "[]")])))
    );
    redis.start_again().await;
    for line in [&one, &two] {
        line.becomes(true).await;
    }
    assert_eq!(members(&two).await, ["ann", "bob", "cy"], "an empty server is told again");
    one.close().await;
    two.close().await;
}

#[cfg(unix)] // where a program can be made to hang
#[tokio::test]
async fn what_others_wrote_meanwhile_stays_when_the_office_is_back() {
    let Some(redis) = RedisServer::start(None).await else { return };
    let data = tempfile::tempdir().unwrap();
    let line = Line::open(data.path(), &redis.url());
    line.becomes(true).await;
    let open = fields(&[("isPublic", "true")]);
    for key in ["board", "taken away"] {
        line.bus.put_fields(key, &open).await.unwrap();
    }
    for key in ["text", "lost"] {
        line.bus.put_shared(key, b"1", None).await.unwrap();
    }
    line.close().await;
    let mut other = redis.connect().await;
    let _: () = other.hset("board", "isPublic", "false").await.unwrap();
    let _: () = other.set("text", "2").await.unwrap();
    let _: () = other.del(&["taken away", "lost"]).await.unwrap();

    let line = Line::open(data.path(), &redis.url());
    line.becomes(true).await;
    let at_server = async |other: &mut redis::aio::MultiplexedConnection, key: &str| -> Option<String> {
        other.get(key).await.unwrap()
    };
    let public: String = other.hget("board", "isPublic").await.unwrap();
    assert_eq!(public, "false", "a board that was closed stays closed");
    let closed = Some(Kept::Fields(fields(&[("isPublic", "false")])));
    assert_eq!(line.bus.read_shared("board").await.unwrap().kept(), closed);
    assert_eq!(at_server(&mut other, "text").await.as_deref(), Some("2"));
    assert_eq!(at_server(&mut other, "lost").await.as_deref(), Some("1"), "what is not there is put again");
    let public: String = other.hget("taken away", "isPublic").await.unwrap();
    assert_eq!(public, "true");

    // What the office put while the server was away, nobody has confirmed.
    redis.freeze(true);
    line.becomes(false).await;
    line.bus.put_shared("text", b"3", None).await.unwrap();
    line.bus.put_fields("board", &open).await.unwrap();
    redis.freeze(false);
    line.becomes(true).await;
    assert_eq!(at_server(&mut other, "text").await.as_deref(), Some("3"));
    let public: String = other.hget("board", "isPublic").await.unwrap();
    assert_eq!(public, "true");
    line.close().await;
}

#[cfg(unix)] // where a program can be made to hang
#[tokio::test]
async fn what_redis_confirmed_is_known_for_its_whole_life_from_then_on() {
    let Some(redis) = RedisServer::start(None).await else { return };
    let (data, clock, metrics) = (tempfile::tempdir().unwrap(), Clock::manual(1_000_000), Metrics::new());
    let store = Store::open(data.path(), &clock, &metrics).unwrap();
    let options = BusOptions { store, central: Some(redis.url().parse().unwrap()), metrics };
    let bus = Bus::open_with(&data.path().join("bus"), &clock, options).unwrap();
    let (kept, stop) = (bus.clone(), CancellationToken::new());
    let until = stop.clone();
    let keeping = tokio::spawn(async move { kept.keep_connected(until).await });
    let mut state = bus.state();
    drop(state.wait_for(|state| state.up).await.unwrap());
    let mut other = redis.connect().await;
    let _: () = other.hset("board", "isPublic", "true").await.unwrap();
    let rule = Known::There(Kept::Fields(fields(&[("isPublic", "true")])));
    for _ in 0..3 {
        assert_eq!(bus.read_shared("board").await.unwrap(), rule);
        clock.advance(BUS_COPY_LIFE * 2 / 3);
    }
    redis.freeze(true);
    drop(state.wait_for(|state| !state.up).await.unwrap());
    assert_eq!(bus.read_shared("board").await.unwrap(), rule);
    assert_eq!(bus.read_shared("another").await.unwrap(), Known::Unknown, "not missing: nobody was asked");
    clock.advance(BUS_COPY_LIFE);
    assert_eq!(bus.read_shared("board").await.unwrap(), Known::Unknown);
    redis.freeze(false);
    stop.cancel();
    keeping.await.unwrap();
}
