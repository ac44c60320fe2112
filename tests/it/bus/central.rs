//! A real Redis, as it is in real life: there, wrong, killed, restarted, emptied, frozen.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use serde_json::json;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use townhall::bus::{Bus, BusOptions, Heard, Message, Missed, Pattern, Subscription};
use townhall::clock::{Clock, Stopwatch};
use townhall::config::Config;
use townhall::config::limits::OUTGOING_MAX_BYTES;
use townhall::follow::relay;
use townhall::store::Store;
use townhall::telemetry::Metrics;

use crate::harness::redis::RedisServer;
use crate::harness::{Office, OfficeProcess, PROGRAM};

/// Nothing here takes longer.
const SOON: Duration = Duration::from_secs(10);
/// Back after the server's return.
const BACK: Duration = Duration::from_secs(2);

/// A bus with everything behind it.
pub(super) struct Line {
    pub(super) bus: Bus,
    store: Store,
    stop: CancellationToken,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Line {
    pub(super) fn open(data: &Path, url: &str) -> Self {
        let (clock, metrics) = (Clock::real(), Metrics::new());
        let store = Store::open(data, &clock, &metrics).unwrap();
        let options = BusOptions { store: store.clone(), central: Some(url.parse().unwrap()), metrics };
        let bus = Bus::open_with(&data.join("bus"), &clock, options).unwrap();
        let stop = CancellationToken::new();
        let (kept, until) = (bus.clone(), stop.clone());
        let tasks = vec![
            tokio::spawn(async move { kept.keep_connected(until).await }),
            tokio::spawn(relay::run(bus.clone(), stop.clone())),
        ];
        Self { bus, store, stop, tasks }
    }

    /// Waits until the server is up, or not; how long that took.
    pub(super) async fn becomes(&self, up: bool) -> Duration {
        let watch = Stopwatch::start();
        let mut state = self.bus.state();
        let change = timeout(SOON, state.wait_for(|state| state.up == up)).await;
        change.unwrap_or_else(|_| panic!("{:?}", self.bus.state().borrow().clone())).unwrap();
        watch.elapsed()
    }

    async fn listen(&self, pattern: Pattern) -> Subscription {
        let ear = self.bus.subscribe(pattern).unwrap();
        tokio::time::sleep(Duration::from_millis(500)).await; // it is told to the server behind our back
        ear
    }

    async fn publish(&self, channel: &str, body: &str) {
        let message = Message::new(channel, Bytes::copy_from_slice(body.as_bytes())).unwrap();
        assert!(self.bus.publish(&message, None).await.unwrap().forwarded);
    }

    async fn drained(&self) {
        let empty = async {
            while self.bus.waiting() > 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(SOON, empty).await.expect("everything is sent");
    }

    pub(super) async fn close(self) {
        self.stop.cancel();
        for task in self.tasks {
            task.await.unwrap();
        }
        let (bus, store) = (self.bus, self.store);
        tokio::task::spawn_blocking(move || (bus.close(), store.close())).await.unwrap();
    }
}

async fn next(ear: &mut Subscription) -> Heard {
    timeout(SOON, ear.next()).await.expect("something is heard").unwrap()
}

fn said(channel: &str, body: &str) -> Heard {
    Heard::Message(Message::new(channel, Bytes::copy_from_slice(body.as_bytes())).unwrap())
}

async fn nothing_more(ear: &mut Subscription) {
    let more = timeout(Duration::from_millis(300), ear.next()).await;
    assert!(more.is_err(), "{more:?}");
}

#[tokio::test]
async fn messages_go_both_ways_and_ours_are_heard_once() {
    let Some(redis) = RedisServer::start(Some("pa%2F/ss")).await else { return };
    for protocol in ["", "?protocol=resp2"] {
        let data = tempfile::tempdir().unwrap();
        let line = Line::open(data.path(), &format!("{}{protocol}", redis.url()));
        line.becomes(true).await;
        let mut records = line.listen(Pattern::channel("/records")).await;
        let mut bots = line.listen(Pattern::prefix("chatbot/")).await;
        let mut elsewhere = redis.listen("/records").await.into_on_message();

        let odd = "{\"b\":1, \"a\":\"é\u{2028}\"}";
        assert_eq!(redis.publish("/records", odd.as_bytes()).await, 2);
        assert_eq!(redis.publish("chatbot/test", b"\xff\x00").await, 1);
        redis.publish("/recordsmore", b"not asked for").await;
        assert_eq!(next(&mut records).await, said("/records", odd));
        assert_eq!(
            next(&mut bots).await,
            Heard::Message(Message::new("chatbot/test", Bytes::from_static(b"\xff\x00")).unwrap())
        );
        assert_eq!(elsewhere.next().await.unwrap().get_payload_bytes(), odd.as_bytes());

        for n in 0..100 {
            line.publish("/records", &n.to_string()).await;
        }
        for n in 0..100 {
            assert_eq!(next(&mut records).await, said("/records", &n.to_string()));
            let heard = timeout(SOON, elsewhere.next()).await.unwrap().unwrap();
            assert_eq!(heard.get_payload_bytes(), n.to_string().as_bytes());
        }
        line.drained().await;
        nothing_more(&mut records).await;
        // The same bytes from somebody else are another message.
        redis.publish("/records", b"99").await;
        assert_eq!(next(&mut records).await, said("/records", "99"));
        drop(bots);
        redis.hears_patterns(0).await;
        assert_eq!(redis.publish("chatbot/test", b"x").await, 0, "nobody listens any more");
        line.close().await;
    }
}

#[tokio::test]
async fn a_restarted_redis_is_listened_to_again_within_two_seconds() {
    let Some(mut redis) = RedisServer::start(None).await else { return };
    let data = tempfile::tempdir().unwrap();
    let line = Line::open(data.path(), &redis.url());
    line.becomes(true).await;
    let mut ear = line.listen(Pattern::channel("a")).await;
    for round in 0..3 {
        redis.kill();
        line.becomes(false).await;
        let watch = Stopwatch::start();
        line.publish("a", "said while it is away").await;
        assert!(watch.elapsed() < Duration::from_secs(1), "publishing waited");
        assert_eq!(next(&mut ear).await, said("a", "said while it is away"));
        if round == 1 {
            tokio::time::sleep(Duration::from_secs(2)).await; // the pauses are the longest by now
        }
        redis.start_again().await;
        let back = line.becomes(true).await;
        assert!(back < BACK, "back after {back:?}");
        assert!(matches!(next(&mut ear).await, Heard::Missed(Missed::Away { .. })));
        redis.publish("a", round.to_string().as_bytes()).await;
        assert_eq!(next(&mut ear).await, said("a", &round.to_string()));
    }
    line.close().await;
}

#[tokio::test]
async fn what_is_published_offline_follows_in_order_even_after_a_restart_of_the_office() {
    let Some(mut redis) = RedisServer::start(None).await else { return };
    let data = tempfile::tempdir().unwrap();
    redis.kill();
    let line = Line::open(data.path(), &redis.url());
    for n in 0..100 {
        line.publish("a", &n.to_string()).await;
    }
    assert_eq!(line.bus.waiting(), 100);
    line.close().await;

    redis.start_again().await;
    let mut elsewhere = redis.listen("a").await.into_on_message();
    let line = Line::open(data.path(), &redis.url());
    for n in 100..150 {
        line.publish("a", &n.to_string()).await;
    }
    for n in 0..150 {
        let heard = timeout(SOON, elsewhere.next()).await.unwrap().unwrap();
        assert_eq!(heard.get_payload_bytes(), n.to_string().as_bytes());
    }
    line.drained().await;
    line.close().await;
    // Nothing of it is sent again, and the numbers go on.
    let line = Line::open(data.path(), &redis.url());
    line.becomes(true).await;
    assert_eq!(line.bus.waiting(), 0);
    line.publish("a", "150").await;
    let heard = timeout(SOON, elsewhere.next()).await.unwrap().unwrap();
    assert_eq!(heard.get_payload_bytes(), b"150");
    line.close().await;
}

#[tokio::test]
async fn a_redis_that_stays_away_for_long_never_keeps_the_office_from_hearing_itself() {
    let data = tempfile::tempdir().unwrap();
    let line = Line::open(data.path(), "redis://127.0.0.1:1");
    let mut ear = line.bus.subscribe(Pattern::channel("a")).unwrap();
    let message = Message::new("a", Bytes::from(vec![b'x'; 1024 * 1024])).unwrap();
    let most = OUTGOING_MAX_BYTES / message.body.len() - 1;
    for number in 0..most + 2 {
        let published = line.bus.publish(&message, None).await.unwrap();
        assert_eq!((published.reached, published.forwarded), (1, number < most), "{number}");
        assert_eq!(next(&mut ear).await, Heard::Message(message.clone()));
    }
    assert_eq!(line.bus.waiting(), most, "what waits waits on");
    let why = line.bus.state().borrow().last_error.clone();
    assert_eq!(why.as_deref(), Some("nobody listens there"));
    line.close().await;
}

#[tokio::test]
async fn shared_keys_are_there_with_redis_without_it_and_after_it_came_back_empty() {
    let Some(mut redis) = RedisServer::start(None).await else { return };
    let data = tempfile::tempdir().unwrap();
    let line = Line::open(data.path(), &redis.url());
    line.becomes(true).await;
    let mut other = redis.connect().await;
    let life = Some(Duration::from_secs(1_800));
    line.bus.put_shared("/current_users/ours", b"Ann", life).await.unwrap();
    redis::cmd("SET").arg("/current_users/theirs").arg("Bob").exec_async(&mut other).await.unwrap();
    redis::cmd("SET").arg("gone").arg("x").exec_async(&mut other).await.unwrap();
    let ask = async |line: &Line, key: &str| line.bus.get_shared(key).await.unwrap();
    assert_eq!(ask(&line, "/current_users/ours").await.unwrap(), "Ann");
    assert_eq!(ask(&line, "/current_users/theirs").await.unwrap(), "Bob");
    assert_eq!(ask(&line, "gone").await.unwrap(), "x");
    let left: i64 = redis::cmd("TTL").arg("/current_users/ours").query_async(&mut other).await.unwrap();
    assert!((1_790..=1_800).contains(&left), "{left}");
    redis::cmd("DEL").arg("gone").exec_async(&mut other).await.unwrap();
    assert!(ask(&line, "gone").await.is_none(), "what the server says holds");

    redis.kill();
    line.becomes(false).await;
    let watch = Stopwatch::start();
    assert_eq!(ask(&line, "/current_users/ours").await.unwrap(), "Ann");
    assert_eq!(ask(&line, "/current_users/theirs").await.unwrap(), "Bob");
    line.bus.put_shared("offline", b"new", life).await.unwrap();
    line.bus.delete_shared("/current_users/theirs").await.unwrap();
    assert!(ask(&line, "/current_users/theirs").await.is_none());
    assert_eq!(ask(&line, "offline").await.unwrap(), "new");
    assert!(watch.elapsed() < Duration::from_secs(1), "keys waited for a server that is away");

    redis.start_again().await;
    line.becomes(true).await;
    let mut other = redis.connect().await;
    for (key, value) in [("/current_users/ours", Some("Ann")), ("offline", Some("new")), ("gone", None)] {
        let there: Option<String> = redis::cmd("GET").arg(key).query_async(&mut other).await.unwrap();
        assert_eq!(there.as_deref(), value, "{key} at the server");
        assert_eq!(ask(&line, key).await, value.map(Bytes::from), "{key} here");
    }
    line.close().await;
}

#[cfg(unix)] // where a program can be made to hang
#[tokio::test]
async fn a_frozen_redis_holds_nobody_up() {
    let Some(redis) = RedisServer::start(None).await else { return };
    let data = tempfile::tempdir().unwrap();
    let line = Line::open(data.path(), &redis.url());
    line.becomes(true).await;
    let mut ear = line.listen(Pattern::channel("a")).await;
    line.bus.put_shared("key", b"1", None).await.unwrap();
    redis.freeze(true);
    for n in 0..20 {
        let watch = Stopwatch::start();
        line.publish("a", &n.to_string()).await;
        assert!(watch.elapsed() < Duration::from_secs(1), "publishing waited {:?}", watch.elapsed());
        assert_eq!(next(&mut ear).await, said("a", &n.to_string()));
    }
    let watch = Stopwatch::start();
    assert_eq!(line.bus.get_shared("key").await.unwrap().unwrap(), "1");
    assert!(watch.elapsed() < Duration::from_millis(1_500), "a key took {:?}", watch.elapsed());
    line.becomes(false).await;
    let watch = Stopwatch::start();
    for _ in 0..100 {
        assert_eq!(line.bus.get_shared("key").await.unwrap().unwrap(), "1");
    }
    assert!(watch.elapsed() < Duration::from_secs(1), "keys waited {:?}", watch.elapsed());
    redis.freeze(false);
    let back = line.becomes(true).await;
    assert!(back < BACK, "back after {back:?}");
    line.drained().await;
    line.close().await;
}

#[tokio::test]
async fn a_wrong_password_is_said_in_plain_words_and_shown_nowhere() {
    let Some(redis) = RedisServer::start(Some("the-right-one")).await else { return };
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let url = format!("redis://:canary-secret@127.0.0.1:{}", redis.port());
    let environment = [("TOWNHALL_LOG", "trace"), ("REDIS_URL", url.as_str())];
    let office = OfficeProcess::start_with(&data, &[], &environment);
    let admin = office.admin();
    let shown = async {
        loop {
            let shown = admin.get("/api/v1/settings/redis").await.json();
            if !shown["redis"]["state"]["last_error"].is_null() {
                return shown;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let shown = timeout(SOON, shown).await.unwrap();
    assert_eq!(shown["redis"]["state"]["last_error"], "it refuses the user's name or the password");
    assert_eq!(shown["redis"]["state"]["up"], false);
    assert_eq!(
        (&shown["redis"]["source"], &shown["redis"]["password_set"]),
        (&json!("configuration"), &json!(true))
    );
    let health = office.client().get("/health").await;
    assert_eq!(
        (health.status, &health.json()["bus"], &health.json()["bus_up"]),
        (200, &json!("central"), &json!(false))
    );
    let said = json!({ "channel": "/records", "message": {} });
    let reply = admin.post("/api/v1/channels", said).await;
    assert_eq!((reply.status, &reply.json()["forwarded"]), (200, &json!(true)));
    let changed =
        admin.send("PUT", "/api/v1/settings/redis", Some("application/json"), b"{\"url\":null}").await;
    assert_eq!(changed.status, 409, "{}", changed.text());
    let figures = office.client().get("/metrics").await.text();
    assert!(figures.contains("townhall_bus_up 0") && figures.contains("townhall_bus_waiting 1"), "{figures}");
    let log = office.log();
    assert!(log.contains("the central Redis is away"), "{log}");
    for text in [log, figures, shown.to_string(), health.text()] {
        assert!(!text.contains("canary-secret"), "{text}");
    }
    let (_, why) =
        OfficeProcess::fail(&folder.path().join("other"), &["--redis", "http://canary-secret"], &[]);
    assert!(why.contains("redis://") && !why.contains("canary"), "{why}");
}

#[tokio::test]
async fn the_settings_page_chooses_a_redis_that_lasts_and_shows_no_password() {
    let Some(redis) = RedisServer::start(Some("pass")).await else { return };
    let data = redis.folder().join("data");
    let office = Office::start_in(&data).await;
    let put = async |office: &Office, body: serde_json::Value| {
        let body = body.to_string();
        office.admin().send("PUT", "/api/v1/settings/redis", Some("application/json"), body.as_bytes()).await
    };
    let plain = format!("redis://127.0.0.1:{}", redis.port());
    let test = async |body| office.admin().post("/api/v1/settings/redis/test", body).await.json();
    assert_eq!(
        test(json!({ "url": plain, "password": "pass" })).await,
        json!({ "ok": true, "why": null, "code": null })
    );
    let refused = test(json!({ "url": plain, "password": "no" })).await;
    assert_eq!((&refused["ok"], &refused["code"]), (&json!(false), &json!("log_in")));
    let nobody = test(json!({ "url": "redis://no-such-computer.invalid" })).await;
    assert_eq!(nobody["code"], "no_such_host", "{nobody}");
    let editor = office.client().with_token(&office.mint(townhall::auth::Role::Editor).await);
    assert_eq!(editor.get("/api/v1/settings/redis").await.status, 403);
    assert_eq!(put(&office, json!({ "url": "http://x" })).await.code(), "bad_address");

    let reply = put(&office, json!({ "url": plain, "password": "pass" })).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let up = async |office: &Office| {
        let up = async {
            loop {
                let shown = office.admin().get("/api/v1/settings/redis").await.json();
                if shown["redis"]["state"]["up"] == true {
                    return shown;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(SOON, up).await.unwrap()
    };
    let shown = up(&office).await;
    assert_eq!(shown["redis"]["url"], plain);
    assert!(!shown.to_string().contains("pass\""), "{shown}");
    office.stop().await;
    let office = Office::start_in(&data).await;
    assert_eq!(up(&office).await["redis"]["source"], "settings");
    // The same address keeps its password; another one does not get it.
    assert_eq!(put(&office, json!({ "url": plain })).await.json()["redis"]["password_set"], true);
    let reply = put(&office, json!({ "url": "redis://127.0.0.1:1" })).await.json();
    assert_eq!(reply["redis"]["password_set"], false);
    let none = put(&office, json!({ "url": null })).await.json();
    assert_eq!(
        (&none["redis"]["source"], &none["redis"]["state"]["kind"]),
        (&json!("none"), &json!("embedded"))
    );
    office.stop().await;
}

#[tokio::test]
async fn an_office_starts_and_works_with_a_redis_that_is_not_there() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = Config::in_folder(folder.path().to_path_buf(), PROGRAM.into());
    config.central = Some("redis://127.0.0.1:1".parse().unwrap());
    let watch = Stopwatch::start();
    let office = Office::start_with(config).await;
    let reply = office.admin().post("/api/v1/records", json!({ "title": "Noise" })).await;
    assert_eq!(reply.status, 201, "{}", reply.text());
    assert!(watch.elapsed() < Duration::from_secs(5), "{:?}", watch.elapsed());
    let health = office.client().get("/health").await.json();
    assert_eq!((&health["status"], &health["bus"]), (&json!("ok"), &json!("central")));
    office.stop().await;
}
