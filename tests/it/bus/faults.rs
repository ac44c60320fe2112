//! An office whose Redis fails in each of the ways in which one does: what people and operators notice of it.

use std::time::Duration;

use futures_util::StreamExt;
use serde_json::{Value, json};
use tokio::time::timeout;
use townhall::clock::Stopwatch;
use townhall::config::Config;

use crate::harness::redis::RedisServer;
use crate::harness::{Client, Office, PROGRAM};

/// What people notice, they notice at once.
const AT_ONCE: Duration = Duration::from_secs(1);
const BACK: Duration = Duration::from_secs(2);
/// Until an office says that its Redis is away: it asks every second, and waits a second for the answer.
const NOTICED: Duration = Duration::from_secs(5);

async fn office(url: &str) -> (Office, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let mut config = Config::in_folder(folder.path().to_path_buf(), PROGRAM.into());
    config.central = Some(url.parse().unwrap());
    (Office::start_with(config).await, folder)
}

/// Waits until `/health` says so; what it says then. It never keeps anybody waiting.
async fn health(office: &Office, up: bool, within: Duration) -> Value {
    let (client, watch) = (office.client(), Stopwatch::start());
    loop {
        let asked = Stopwatch::start();
        let reply = client.get("/health").await;
        assert_eq!(reply.status, 200);
        assert!(asked.elapsed() < AT_ONCE, "/health took {:?}", asked.elapsed());
        if reply.json()["bus_up"] == up {
            return reply.json();
        }
        assert!(watch.elapsed() < within, "{}", reply.text());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Publishes numbers; nobody waits for it, nor for a key.
async fn publish(office: &Office, admin: &Client, numbers: std::ops::Range<u32>) {
    for number in numbers {
        let watch = Stopwatch::start();
        let reply = admin.post("/api/v1/channels", json!({ "channel": "out", "message": number })).await;
        assert_eq!((reply.status, &reply.json()["forwarded"]), (200, &json!(true)), "{}", reply.text());
        assert!(watch.elapsed() < AT_ONCE, "publishing took {:?}", watch.elapsed());
    }
    let watch = Stopwatch::start();
    office.handle().bus().get_shared("any").await.unwrap();
    assert!(watch.elapsed() < 2 * AT_ONCE, "a key took {:?}", watch.elapsed());
    let site = admin.get("/api/v1/boot/site").await;
    assert_eq!(site.status, 200);
}

/// A fault that begins and ends. What is published meanwhile arrives afterwards, in order, at whoever kept listening.
async fn through(office: &Office, fault: impl AsyncFnOnce(bool), mend: impl AsyncFnOnce()) -> Value {
    let before = health(office, true, NOTICED).await;
    let admin = office.admin();
    fault(true).await;
    let away = health(office, false, NOTICED).await;
    assert!(away["bus_since"].as_str() >= before["bus_since"].as_str(), "{away}");
    publish(office, &admin, 0..10).await;
    assert_eq!(health(office, false, AT_ONCE).await["bus_waiting"], 10);
    mend().await;
    let back = health(office, true, BACK).await;
    assert!(back["bus_since"].as_str() > away["bus_since"].as_str(), "{back}");
    let sent = async {
        while health(office, true, BACK).await["bus_waiting"] != 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(BACK, sent).await.expect("what waited is sent");
    // What others said meanwhile is gone: since when is said.
    let shown = admin.get("/api/v1/settings/redis").await.json()["redis"]["state"].clone();
    assert_eq!((&shown["away_since"], &shown["since"]), (&away["bus_since"], &back["bus_since"]), "{shown}");
    away
}

#[tokio::test]
async fn a_redis_that_is_killed_and_restarted() {
    let Some(mut redis) = RedisServer::start(None).await else { return };
    let (office, _folder) = office(&redis.url()).await;
    let redis = std::cell::RefCell::new(&mut redis);
    #[expect(clippy::await_holding_refcell_ref, reason = "one after the other")]
    let again = async || redis.borrow_mut().start_again().await;
    through(&office, async |_| redis.borrow_mut().kill(), again).await;
}

#[cfg(unix)] // where a program can be made to hang
#[tokio::test]
async fn a_redis_that_hangs_and_goes_on() {
    let Some(redis) = RedisServer::start(None).await else { return };
    let (office, _folder) = office(&redis.url()).await;
    let mut elsewhere = redis.listen("out").await.into_on_message();
    through(&office, async |on| redis.freeze(on), async || redis.freeze(false)).await;
    for number in 0..10 {
        let heard = timeout(BACK, elsewhere.next()).await.unwrap().unwrap();
        assert_eq!(heard.get_payload_bytes(), number.to_string().as_bytes(), "in order");
    }
}

#[tokio::test]
async fn a_redis_whose_password_is_changed_and_changed_back() {
    let Some(redis) = RedisServer::start(Some("first")).await else { return };
    let (office, _folder) = office(&redis.url()).await;
    let mut elsewhere = redis.listen("out").await.into_on_message();
    let line = std::cell::RefCell::new(redis.connect().await);
    let set = async |password: &str| {
        let mut line = line.borrow().clone();
        let config = redis::cmd("CONFIG").arg("SET").arg("requirepass").arg(password).to_owned();
        config.exec_async(&mut line).await.unwrap();
    };
    let refuse = async |_| {
        set("second").await;
        // Who is connected stays logged in; only the next connection is refused.
        let mut line = line.borrow().clone();
        let list: String = redis::cmd("CLIENT").arg("LIST").query_async(&mut line).await.unwrap();
        // The office's line is the one that speaks the newer protocol.
        for client in list.lines().filter(|client| client.contains("resp=3")) {
            let id = client.split_whitespace().find_map(|part| part.strip_prefix("id=")).unwrap();
            let kill = redis::cmd("CLIENT").arg("KILL").arg("ID").arg(id).to_owned();
            kill.exec_async(&mut line).await.unwrap();
        }
    };
    through(&office, refuse, async || set("first").await).await;
    for number in 0..10 {
        let heard = timeout(BACK, elsewhere.next()).await.unwrap().unwrap();
        assert_eq!(heard.get_payload_bytes(), number.to_string().as_bytes(), "in order");
    }
}

#[tokio::test]
async fn a_redis_that_is_there_only_after_the_office() {
    let Some(mut redis) = RedisServer::start(None).await else { return };
    redis.kill();
    let (office, _folder) = office(&redis.url()).await;
    publish(&office, &office.admin(), 0..3).await;
    let away = health(&office, false, AT_ONCE).await;
    assert_eq!((&away["bus"], &away["bus_waiting"]), (&json!("central"), &json!(3)));
    redis.start_again().await;
    health(&office, true, BACK).await;
    let shown = office.admin().get("/api/v1/settings/redis").await.json();
    assert!(shown["redis"]["state"]["last_error"].is_string(), "{shown}");
}
