//! Bots against a homeserver that is up, down, slow, or of another opinion.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use tokio::net::TcpListener;

use super::*;
use crate::clock::Stopwatch;
use crate::config::limits::MATRIX_PAUSE;

type Calls = Arc<Mutex<Vec<(String, String, String)>>>;

/// A homeserver: notes every call as method, path, body; `says` decides.
#[derive(Clone)]
struct Homeserver {
    calls: Calls,
    says: fn(&str, usize) -> StatusCode,
}

async fn answer(State(server): State<Homeserver>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    assert_eq!(parts.headers["authorization"], "Bearer syt_canary");
    let body = to_bytes(body, 100_000).await.unwrap();
    let path = parts.uri.to_string();
    let turn = {
        let mut calls = server.calls.lock().unwrap();
        calls.push((parts.method.to_string(), path.clone(), String::from_utf8(body.to_vec()).unwrap()));
        calls.len()
    };
    let status = (server.says)(&path, turn);
    if path.contains("slow") {
        tokio::time::sleep(Duration::from_secs(30)).await;
    }
    (status, axum::Json(json!({ "room_id": "!room:hs", "event_id": "$e", "retry_after_ms": 1 })))
        .into_response()
}

async fn homeserver(says: fn(&str, usize) -> StatusCode) -> (SocketAddr, Calls) {
    let server = Homeserver { calls: Calls::default(), says };
    let calls = server.calls.clone();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let routes = Router::new().fallback(answer).with_state(server);
    tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
    (address, calls)
}

fn bots() -> Bots {
    Bots::new(Outbound::new(vec!["127.0.0.1".into()]), Clock::real(), Metrics::new())
}

async fn count(bots: &Bots, reason: &'static str, wanted: u64) {
    let watch = Stopwatch::start();
    let now = || bots.0.metrics.bots.get_or_create(&Reason { reason }).get();
    while now() < wanted {
        assert!(watch.elapsed() < Duration::from_secs(20), "{reason}: {}", now());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn config(at: SocketAddr, channel: &str) -> Value {
    json!({ "server": format!("http://{at}"), "access_token": "syt_canary", "channel": channel })
}

fn publish(bots: &Bots, at: SocketAddr, channel: &str, html: &str) {
    let message = json!({ "config": config(at, channel), "payload": { "html": html } });
    bots.heard("chatbot/publish", message.to_string().as_bytes(), None);
}

#[tokio::test]
async fn both_forms_reach_the_room_by_alias_and_by_id() {
    let (at, calls) = homeserver(|_, _| StatusCode::OK).await;
    let bots = bots();
    let mut test = config(at, "#town:hs");
    test["message"] = "It works".into();
    bots.heard("chatbot/test", test.to_string().as_bytes(), None);
    count(&bots, "sent", 1).await;
    let first: Vec<_> = std::mem::take(&mut calls.lock().unwrap());
    let what: Vec<_> = first.iter().map(|(method, path, _)| format!("{method} {path}")).collect();
    assert_eq!(what[0], "GET /_matrix/client/r0/directory/room/%23town%3Ahs");
    assert_eq!(what[1], "POST /_matrix/client/r0/join/!room%3Ahs");
    assert!(
        what[2].starts_with("PUT /_matrix/client/r0/rooms/!room%3Ahs/send/m.room.message/"),
        "{}",
        what[2]
    );
    assert!(what[2].contains("__inc") && what.len() == 3);
    assert_eq!(first[1].2, "{}");
    let said: Value = serde_json::from_str(&first[2].2).unwrap();
    assert_eq!(said, json!({ "msgtype": "m.notice", "body": "It works" }));

    // The room is looked for and joined once, and messages keep their order.
    for number in 0..5 {
        publish(&bots, at, "!other:hs", &format!("<p>{number} &amp; more</p>"));
    }
    count(&bots, "sent", 6).await;
    let calls = calls.lock().unwrap().clone();
    assert_eq!(calls.len(), 6);
    assert!(calls[0].1.ends_with("/join/!other%3Ahs"));
    for (number, (_, path, body)) in calls[1..].iter().enumerate() {
        assert!(path.contains("/rooms/!other%3Ahs/send/"), "{path}");
        let said: Value = serde_json::from_str(body).unwrap();
        let html = format!("<p>{number} &amp; more</p>");
        let wanted = json!({
            "body": format!("{number} & more"), "msgtype": "m.text",
            "format": "org.matrix.custom.html", "formatted_body": html
        });
        assert_eq!(said, wanted);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn messages_of_one_bot_keep_their_order_whichever_task_begins_first() {
    let (at, calls) = homeserver(|_, _| StatusCode::OK).await;
    let bots = bots();
    for number in 0..100 {
        publish(&bots, at, "!room:hs", &number.to_string());
    }
    count(&bots, "sent", 100).await;
    let calls = calls.lock().unwrap().clone();
    let said = calls[1..].iter().map(|(_, _, body)| serde_json::from_str::<Value>(body).unwrap());
    let said: Vec<String> = said.map(|said| said["body"].as_str().unwrap().to_owned()).collect();
    assert_eq!(said, (0..100).map(|number| number.to_string()).collect::<Vec<_>>());
}

#[tokio::test]
async fn who_stands_in_line_comes_when_the_one_before_is_over_or_gives_up() {
    let config = serde_json::from_value(config(([127, 0, 0, 1], 1).into(), "!room:hs")).unwrap();
    let bot = bots().make(config);
    let (first, second, third) = (bot.stand_in_line(), bot.stand_in_line(), bot.stand_in_line());
    let (third, second) = (tokio::spawn(third.front()), tokio::spawn(second.front()));
    let first = first.front().await;
    tokio::task::yield_now().await;
    assert!(!second.is_finished());
    drop(first);
    let second = second.await.unwrap();
    tokio::task::yield_now().await;
    assert!(!third.is_finished());
    drop(second);
    drop(third.await.unwrap());
    let given_up = bot.stand_in_line();
    let last = bot.stand_in_line();
    drop(given_up);
    drop(last.front().await);
}

#[tokio::test]
async fn a_homeserver_that_stumbles_is_asked_again_with_the_same_number() {
    let (at, calls) = homeserver(|path, turn| match turn {
        2 if path.contains("/send/") => StatusCode::BAD_GATEWAY,
        _ => StatusCode::OK,
    })
    .await;
    let bots = bots();
    publish(&bots, at, "!room:hs", "<b>x</b>");
    count(&bots, "sent", 1).await;
    let calls = calls.lock().unwrap().clone();
    assert_eq!(calls.len(), 3);
    assert_eq!(calls[1].1, calls[2].1);
}

#[tokio::test]
async fn a_newer_homeserver_and_a_bot_that_may_not_join_are_fine() {
    let (at, calls) = homeserver(|path, _| match path {
        path if path.contains("/r0/") => StatusCode::NOT_FOUND,
        path if path.contains("/join/") => StatusCode::FORBIDDEN,
        _ => StatusCode::OK,
    })
    .await;
    let bots = bots();
    publish(&bots, at, "#town:hs", "x");
    count(&bots, "sent", 1).await;
    let calls = calls.lock().unwrap().clone();
    assert!(calls.last().unwrap().1.starts_with("/_matrix/client/v3/rooms/!room%3Ahs/send/"));
}

#[tokio::test]
async fn what_cannot_be_sent_is_dropped_and_disturbs_nobody() {
    let bots = bots();
    let rubbish: &[&[u8]] =
        &[b"", b"not json", b"null", b"[]", b"{}", b"{\"config\":null}", b"\xff\xfe", b"7"];
    for message in rubbish {
        bots.heard("chatbot/publish", message, None);
        bots.heard("chatbot/test", message, None);
    }
    bots.heard("chatbot/publish", json!({ "payload": { "html": "x" } }).to_string().as_bytes(), None);
    bots.heard("chatbot/other", b"{}", None);
    count(&bots, "not_understood", 17).await;
    count(&bots, "other_channel", 1).await;
    // Nobody there, somewhere forbidden, and a homeserver that says no.
    let gone = "127.0.0.1:1".parse().unwrap();
    let (slow, _) = homeserver(|_, _| StatusCode::OK).await;
    let (no, _) = homeserver(|_, _| StatusCode::UNAUTHORIZED).await;
    publish(&bots, slow, "!slow:hs", "x");
    publish(&bots, gone, "!room:hs", "x");
    publish(&bots, no, "!room:hs", "x");
    publish(&bots, "10.0.0.1:80".parse().unwrap(), "!room:hs", "x");
    count(&bots, "failed", 3).await;
    let (up, calls) = homeserver(|_, _| StatusCode::OK).await;
    publish(&bots, up, "!room:hs", "x");
    count(&bots, "sent", 1).await;
    assert_eq!(calls.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn bots_and_messages_in_flight_are_bounded() {
    let (slow, _) = homeserver(|_, _| StatusCode::OK).await;
    let bots = bots();
    for number in 0..BOT_MESSAGES_PER_SERVER_WAITING_MAX + 5 {
        publish(&bots, slow, &format!("!slow{number}:hs"), "x");
    }
    count(&bots, "too_many", 5).await;
    assert_eq!(bots.0.known.lock().unwrap().bots.len(), BOTS_MAX);
}

#[tokio::test]
async fn a_homeserver_that_hangs_does_not_keep_bots_from_another() {
    let (slow, _) = homeserver(|_, _| StatusCode::OK).await;
    let (quick, _) = homeserver(|_, _| StatusCode::OK).await;
    let bots = bots();
    for number in 0..20 {
        publish(&bots, slow, &format!("!slow{number}:hs"), "x");
    }
    tokio::time::sleep(Duration::from_millis(200)).await; // they are on their way
    let watch = Stopwatch::start();
    publish(&bots, quick, "!room:hs", "x");
    count(&bots, "sent", 1).await;
    assert!(watch.elapsed() < Duration::from_secs(3), "{:?}", watch.elapsed());
    assert!(bots.0.known.lock().unwrap().turns.len() <= 2);
}

#[tokio::test]
async fn the_same_publication_again_is_said_once() {
    let (at, calls) = homeserver(|_, _| StatusCode::OK).await;
    let bots = bots();
    let message = json!({ "config": config(at, "!a:hs"), "payload": { "html": "x" } }).to_string();
    for id in [Some("1"), Some("1"), Some("2"), None, None] {
        bots.heard("chatbot/publish", message.as_bytes(), id);
    }
    count(&bots, "sent", 4).await;
    count(&bots, "repeated", 1).await;
    let said = calls.lock().unwrap().iter().filter(|(method, ..)| method == "PUT").count();
    assert_eq!(said, 4);
}

#[tokio::test]
async fn a_silent_homeserver_leaves_room_for_the_messages_to_others() {
    let (silent, _) = homeserver(|_, _| StatusCode::OK).await;
    let (well, calls) = homeserver(|_, _| StatusCode::OK).await;
    let bots = bots();
    for number in 0..BOT_MESSAGES_WAITING_MAX {
        publish(&bots, silent, &format!("!slow{number}:hs"), "x");
    }
    publish(&bots, well, "!a:hs", "heard");
    count(&bots, "sent", 1).await;
    count(&bots, "too_many", (BOT_MESSAGES_WAITING_MAX - BOT_MESSAGES_PER_SERVER_WAITING_MAX) as u64).await;
    assert!(calls.lock().unwrap().iter().any(|(.., body)| body.contains("heard")));
}

#[tokio::test]
async fn a_homeserver_that_says_how_long_to_wait_is_waited_for_so_long() {
    let (at, calls) = homeserver(|_, turn| match turn {
        2..=4 => StatusCode::TOO_MANY_REQUESTS,
        _ => StatusCode::OK,
    })
    .await;
    let bots = bots();
    let watch = Stopwatch::start();
    publish(&bots, at, "!room:hs", "x");
    count(&bots, "sent", 1).await;
    assert!(watch.elapsed() < 3 * MATRIX_PAUSE, "{:?}: it asked for a moment only", watch.elapsed());
    assert_eq!(calls.lock().unwrap().len(), 5);
}
