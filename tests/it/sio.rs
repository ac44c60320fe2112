//! Every rule of Engine.IO 4 and Socket.IO 5, with raw frames; and what the channels promise beyond them.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_tungstenite::tungstenite::Message;
use townhall::clock::Stopwatch;
use townhall::config::Config;
use townhall::config::limits::CONNECTIONS_PER_ADDRESS_UNAUTHENTICATED_MAX;
use townhall::faces::sio::SioOptions;
use townhall::rooms::space::Room;

use crate::harness::channels::{Channels, quick};
use crate::harness::http::{Client, handshake};
use crate::harness::{Office, PROGRAM};

const POLLING: &str = "?EIO=4&transport=polling";

async fn echo() -> Channels {
    Channels::start_with(SioOptions { echo: true, ..quick() }).await
}

// --- Engine.IO: handshake --------------------------------------------------------------------------------

#[tokio::test(flavor = "multi_thread")]
async fn a_session_opens_over_both_transports() {
    let channels = echo().await;
    let reply = channels.ask("GET", POLLING, "").await;
    assert_eq!((reply.status, reply.header("cache-control")), (200, Some("no-store")));
    assert_eq!(reply.header("content-type"), Some("text/plain; charset=UTF-8"));
    let text = channels.socket("").await.text().await;
    for (said, upgrades) in [(reply.text(), json!(["websocket"])), (text, json!([]))] {
        let open: Value = serde_json::from_str(said.strip_prefix('0').unwrap()).unwrap();
        assert_eq!(open.as_object().unwrap().len(), 5);
        assert!(open["sid"].as_str().unwrap().len() >= 20);
        assert_eq!(open["upgrades"], upgrades);
        assert_eq!((&open["pingInterval"], &open["pingTimeout"]), (&json!(300), &json!(200)));
        assert_eq!(open["maxPayload"], 1_000_000);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_handshake_is_refused_in_the_reference_servers_words() {
    let channels = echo().await;
    let sid = channels.session().await;
    let after_upgrade = "?EIO=4&transport=websocket";
    for (method, query, code, message) in [
        ("GET", "?EIO=4", 0, "Transport unknown"),
        ("GET", "?EIO=4&transport=abc", 0, "Transport unknown"),
        ("GET", "", 0, "Transport unknown"),
        ("GET", "?EIO=4&transport=polling&sid=nobody", 1, "Session ID unknown"),
        ("POST", "?EIO=4&transport=polling&sid=%00", 1, "Session ID unknown"),
        ("POST", POLLING, 2, "Bad handshake method"),
        ("PUT", POLLING, 2, "Bad handshake method"),
        ("GET", after_upgrade, 3, "Bad request"),
        ("PUT", &format!("{POLLING}&sid={sid}"), 3, "Bad request"),
        ("GET", &format!("{after_upgrade}&sid={sid}"), 3, "Bad request"),
        ("GET", "?transport=polling", 5, "Unsupported protocol version"),
        ("GET", "?EIO=3&transport=polling", 5, "Unsupported protocol version"),
        ("GET", "?EIO=abc&transport=polling", 5, "Unsupported protocol version"),
    ] {
        let reply = channels.ask(method, query, "").await;
        assert_eq!(reply.status, 400, "{method} {query}");
        assert_eq!(
            reply.text(),
            format!("{{\"code\":{code},\"message\":\"{message}\"}}"),
            "{method} {query}"
        );
        assert_eq!(reply.header("content-type"), Some("application/json"));
    }
    for query in ["?transport=websocket", "?EIO=3&transport=websocket", "?EIO=4", "?EIO=4&transport=polling"]
    {
        let host = channels.address.to_string();
        assert_eq!(
            handshake(channels.address, &format!("/socket.io/{query}"), &[("Host", &host)]).await,
            400
        );
    }
    for path in ["/socket.io", "/socket.io/x", "/socket.io/socket.io.js.map"] {
        assert_eq!(Client::new(channels.address).get(path).await.status, 404, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_browsers_client_is_served_with_its_version() {
    let channels = echo().await;
    let client = Client::new(channels.address);
    let reply = client.get("/socket.io/socket.io.js").await;
    assert_eq!(reply.status, 200);
    assert!(reply.text().contains("Socket.IO v4.8") && reply.text().contains("MIT"));
    let tag = reply.header("etag").unwrap().to_owned();
    assert!(tag.starts_with("\"4.8."), "{tag}");
    let again = client.with("If-None-Match", &tag).get("/socket.io/socket.io.js").await;
    assert_eq!((again.status, again.body.len()), (304, 0));
}

// --- Engine.IO: messages ---------------------------------------------------------------------------------

#[tokio::test(flavor = "multi_thread")]
async fn messages_travel_over_polling() {
    let channels = echo().await;
    let sid = channels.session().await;
    for body in ["4hello", "4test1\u{1e}4test2\u{1e}4test3", "4hello\u{1e}bAQIDBA==", "4é😀", "4"] {
        let reply = channels.post(&sid, body).await;
        assert_eq!((reply.status, reply.text().as_str()), (200, "ok"));
        assert_eq!(channels.poll(&sid).await.text(), body);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_travel_over_a_websocket() {
    let channels = echo().await;
    let mut wire = channels.open().await;
    wire.say("4hello").await;
    assert_eq!(wire.text().await, "4hello");
    wire.say_binary(&[1, 2, 3, 4]).await;
    assert_eq!(&wire.binary().await[..], [1, 2, 3, 4]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_packet_ends_the_session() {
    let channels = echo().await;
    for body in ["abc", "", "4a\u{1e}", "bAQ?", "2", "2probe", "5", "0{}", "1x"] {
        let sid = channels.session().await;
        assert_eq!(channels.post(&sid, body).await.status, 400, "{body:?}");
        assert_eq!(channels.poll(&sid).await.text(), "{\"code\":1,\"message\":\"Session ID unknown\"}");
        if body.contains('\u{1e}') {
            continue; // on a WebSocket this is text like any other
        }
        let mut wire = channels.open().await;
        wire.say(body).await;
        assert_eq!(wire.closed().await, 1002, "{body:?}");
    }
    assert_eq!(channels.sio.sessions(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_requests_that_wait_at_once_end_the_session() {
    let channels = echo().await;
    let sid = channels.session().await;
    let (first, second) = tokio::join!(channels.poll(&sid), async {
        sleep(Duration::from_millis(100)).await;
        channels.poll(&sid).await
    });
    assert_eq!((first.status, first.text().as_str()), (200, "1"));
    assert_eq!(second.status, 400);
    assert_eq!(channels.poll(&sid).await.status, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_given_up_ends_the_session() {
    let channels = echo().await;
    let sid = channels.session().await;
    assert!(timeout(Duration::from_millis(50), channels.poll(&sid)).await.is_err());
    sleep(Duration::from_millis(50)).await;
    assert_eq!(channels.poll(&sid).await.status, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_largest_payload_passes_and_one_byte_more_is_refused_with_a_reason() {
    let channels = echo().await;
    let (most, more) = (format!("4{}", "x".repeat(999_999)), format!("4{}", "x".repeat(1_000_000)));
    let sid = channels.session().await;
    assert_eq!(channels.post(&sid, &most).await.status, 200);
    assert_eq!(channels.poll(&sid).await.text().len(), 1_000_000);
    let reply = channels.post(&sid, &more).await;
    assert_eq!((reply.status, reply.json()["message"].as_str()), (413, Some("Payload too large")));
    let mut wire = channels.open().await;
    wire.say(&most).await;
    assert_eq!(wire.text().await.len(), 1_000_000);
    wire.say(&more).await;
    assert_eq!(wire.closed().await, 1009);
}

// --- Engine.IO: heartbeat and end ------------------------------------------------------------------------

#[tokio::test(flavor = "multi_thread")]
async fn pings_come_after_one_full_interval_and_silence_ends_the_session() {
    let channels = echo().await;
    let polling = async {
        let sid = channels.session().await;
        for _ in 0..3 {
            let watch = Stopwatch::start();
            assert_eq!(channels.poll(&sid).await.text(), "2");
            assert!(watch.elapsed() > Duration::from_millis(250), "{:?}", watch.elapsed());
            assert_eq!(channels.post(&sid, "3").await.status, 200);
        }
        sleep(Duration::from_millis(700)).await;
        assert_eq!(channels.poll(&sid).await.status, 400);
    };
    let websocket = async {
        let mut wire = channels.open().await;
        for _ in 0..3 {
            let watch = Stopwatch::start();
            assert_eq!(wire.0.next().await.unwrap().unwrap(), Message::Text("2".into()));
            assert!(watch.elapsed() > Duration::from_millis(250), "{:?}", watch.elapsed());
            wire.say("3").await;
        }
        let watch = Stopwatch::start();
        while let Some(Ok(message)) = wire.0.next().await {
            if message.is_close() {
                break;
            }
        }
        assert!((Duration::from_millis(400)..Duration::from_secs(2)).contains(&watch.elapsed()));
    };
    tokio::join!(polling, websocket);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_closes_is_gone() {
    let channels = echo().await;
    let sid = channels.session().await;
    let (poll, _) = tokio::join!(channels.poll(&sid), async {
        sleep(Duration::from_millis(100)).await;
        assert_eq!(channels.post(&sid, "1").await.text(), "ok");
    });
    assert_eq!((poll.status, poll.text().as_str()), (200, "6"));
    assert_eq!(channels.poll(&sid).await.status, 400);
    let mut wire = channels.open().await;
    wire.say("1").await;
    assert_eq!(wire.closed().await, 1000);
    assert_eq!(channels.sio.sessions(), 0);
}

// --- Engine.IO: upgrade ----------------------------------------------------------------------------------

#[tokio::test(flavor = "multi_thread")]
async fn a_polling_session_moves_to_a_websocket_and_nothing_is_lost() {
    let channels = Channels::start_with(SioOptions { echo: true, ..SioOptions::default() }).await;
    let sid = channels.session().await;
    let mut wire = channels.socket(&format!("&sid={sid}")).await;
    let (poll, ()) = tokio::join!(channels.poll(&sid), async {
        sleep(Duration::from_millis(100)).await;
        wire.say("2probe").await;
        assert_eq!(wire.text().await, "3probe");
    });
    assert_eq!(poll.text(), "6", "the request that waits is let go");
    assert_eq!(channels.post(&sid, "4before").await.status, 200);
    wire.say("5").await;
    assert_eq!(wire.text().await, "4before");
    wire.say("4after").await;
    assert_eq!(wire.text().await, "4after");
    assert_eq!(channels.poll(&sid).await.status, 400, "requests are over");
    assert_eq!(channels.post(&sid, "4x").await.status, 400);
    let mut second = channels.socket(&format!("&sid={sid}")).await;
    second.0.next().await;
    wire.say("4still").await;
    assert_eq!(wire.text().await, "4still");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_that_does_not_take_over_leaves_polling_as_it_is() {
    let channels = echo().await;
    for said in
        [vec!["2probe"], vec!["2prob"], vec!["4hello"], vec!["2probe", "4hello"], vec!["2probe", "2probe"]]
    {
        let sid = channels.session().await;
        let mut wire = channels.socket(&format!("&sid={sid}")).await;
        for text in &said {
            wire.say(text).await;
        }
        if said == ["2probe"] {
            assert_eq!(wire.text().await, "3probe");
            drop(wire);
        } else {
            wire.closed().await;
        }
        sleep(Duration::from_millis(30)).await;
        channels.post(&sid, "4here").await;
        let mut heard = channels.poll(&sid).await.text();
        while ["2", "6"].contains(&heard.as_str()) {
            channels.post(&sid, "3").await;
            heard = channels.poll(&sid).await.text();
        }
        assert_eq!(heard, "4here", "{said:?}");
    }
}

// --- Socket.IO: coming in --------------------------------------------------------------------------------

#[tokio::test(flavor = "multi_thread")]
async fn clients_come_into_namespaces() {
    let channels = Channels::start().await;
    for (said, head, auth) in [
        ("40", "40", "42[\"auth\",{}]"),
        ("40{\"token\":\"123\"}", "40", "42[\"auth\",{\"token\":\"123\"}]"),
        ("40/custom,", "40/custom,", "42/custom,[\"auth\",{}]"),
        ("40/custom", "40/custom,", "42/custom,[\"auth\",{}]"),
        ("40/custom,{\"token\":\"abc\"}", "40/custom,", "42/custom,[\"auth\",{\"token\":\"abc\"}]"),
        ("40{\"b\": 1, \"a\":\"\\ud83d\"}", "40", "42[\"auth\",{\"b\": 1, \"a\":\"\\ud83d\"}]"),
    ] {
        let mut wire = channels.open().await;
        wire.say(said).await;
        let text = wire.text().await;
        let connected: Value = serde_json::from_str(text.strip_prefix(head).expect(&text)).unwrap();
        assert!(connected["sid"].is_string() && connected["pid"].is_string(), "{text}");
        assert_eq!(wire.text().await, auth);
    }
    let mut wire = channels.open().await;
    wire.say("40/random").await;
    assert_eq!(wire.text().await, "44/random,{\"message\":\"Invalid namespace\"}");
    wire.say("40{\"token\":\"bad\"}").await;
    assert_eq!(wire.text().await, "44{\"message\":\"Not you\",\"data\":{\"code\":\"not_you\"}}");
    wire.say("40").await;
    assert!(wire.text().await.starts_with("40{"), "a refusal leaves the connection");
    let mut wire = channels.socket("&token=bad").await;
    wire.text().await;
    wire.say("40").await;
    assert!(wire.text().await.starts_with("44{"), "the dialect sees the query");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_coming_in_nobody_stays() {
    let channels = Channels::start().await;
    let mut wire = channels.open().await;
    let watch = Stopwatch::start();
    assert_eq!(wire.closed().await, 1008);
    assert!((Duration::from_millis(900)..Duration::from_secs(3)).contains(&watch.elapsed()));
    let mut wire = channels.open().await;
    for _ in 0..70 {
        if futures_util::SinkExt::send(&mut wire.0, Message::Text("40/x".repeat(256).into())).await.is_err() {
            break;
        }
    }
    wire.closed().await;
    assert_eq!(channels.sio.sessions(), 0, "a stranger's bytes are counted");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_protocol_forbids_ends_the_connection() {
    let channels = Channels::start().await;
    for text in [
        "42[\"message\"]",
        "431[]",
        "41",
        "451-[\"message\",{\"_placeholder\":true,\"num\":0}]",
        "4abc",
        "40[]",
        "40/custom,\"x\"",
    ] {
        let mut wire = channels.open().await;
        wire.say(text).await;
        assert_eq!(wire.closed().await, 1002, "{text} before coming in");
    }
    for text in [
        "4abc",
        "4",
        "40",
        "42{}",
        "42",
        "42[]",
        "42[\"connect\"]",
        "42abc[\"message-with-ack\",1,\"2\",{\"3\":[false]}]",
        "42/custom,[\"message\"]",
        "43[]",
        "44{\"message\":\"x\"}",
        "45500000-[\"message\"]",
        "4599999999999999999999-[\"message\"]",
        "45-[\"message\"]",
        "451-[\"message\",{\"_placeholder\":true,\"num\":9}]",
        "47",
    ] {
        let (mut wire, _) = channels.member().await;
        wire.say(text).await;
        assert_eq!(wire.closed().await, 1002, "{text}");
    }
    let (mut wire, _) = channels.member().await;
    wire.say_binary(&[1]).await;
    assert_eq!(wire.closed().await, 1002, "binary data that nobody waits for");
    let (mut wire, _) = channels.member().await;
    wire.say("451-[\"message\",{\"_placeholder\":true,\"num\":0}]").await;
    wire.say("42[\"message\"]").await;
    assert_eq!(wire.closed().await, 1002, "text in place of binary data");
    assert_eq!(channels.sio.sessions(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn leaving_one_namespace_is_not_leaving_the_other() {
    let channels = Channels::start().await;
    let (mut wire, _) = channels.member().await;
    wire.say("40/custom").await;
    wire.text().await;
    wire.text().await;
    wire.say("41/custom").await;
    wire.say("42[\"message\",\"message to main namespace\"]").await;
    let mut heard = Vec::new();
    while heard.last().is_none_or(|text: &String| !text.contains("message-back")) {
        heard.push(wire.text().await);
    }
    assert!(heard.contains(&"42[\"message-back\",\"message to main namespace\"]".to_owned()), "{heard:?}");
    wire.say("41").await;
    assert_eq!(wire.0.next().await.unwrap().unwrap(), Message::Text("2".into()), "the connection stays");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_sent_out_is_told_so_and_what_it_still_says_is_no_fault() {
    let channels = Channels::start().await;
    let (mut wire, _) = channels.member().await;
    wire.say("42[\"send-me-out\"]").await;
    wire.say("42[\"message\",1]").await;
    assert_eq!(wire.text().await, "41");
    wire.say("42[\"message\",2]").await;
    wire.say("40").await;
    assert!(wire.text().await.starts_with("40{"), "it may come in again");
    wire.text().await;
    wire.say("42[\"come-back\"]").await;
    assert_eq!(wire.closed().await, 1012);
}

// --- Socket.IO: messages ---------------------------------------------------------------------------------

#[tokio::test(flavor = "multi_thread")]
async fn events_and_acknowledgements_keep_their_arguments_byte_for_byte() {
    let channels = Channels::start().await;
    let (mut wire, _) = channels.member().await;
    for (said, answer) in [
        ("42[\"message\",1,\"2\",{\"3\":[true]}]", "42[\"message-back\",1,\"2\",{\"3\":[true]}]"),
        ("42[\"message\"]", "42[\"message-back\"]"),
        (
            "42[\"message\",{\"b\":1.0, \"a\":\"\\ud83d\"}]",
            "42[\"message-back\",{\"b\":1.0, \"a\":\"\\ud83d\"}]",
        ),
        ("42456[\"message-with-ack\",1,\"2\",{\"3\":[false]}]", "43456[1,\"2\",{\"3\":[false]}]"),
        ("420[\"none\"]", "430[]"),
    ] {
        wire.say(said).await;
        assert_eq!(wire.text().await, answer);
    }
    let placeholders = "{\"_placeholder\":true,\"num\":0},{\"_placeholder\":true,\"num\":1}";
    for (head, name, answer) in
        [("452-", "message", "452-[\"message-back\","), ("452-789", "ask", "462-789[")]
    {
        wire.say(&format!("{head}[\"{name}\",{placeholders}]")).await;
        wire.say_binary(&[1, 2, 3]).await;
        wire.say_binary(&[4, 5, 6]).await;
        assert_eq!(wire.text().await, format!("{answer}{placeholders}]"));
        assert_eq!((&wire.binary().await[..], &wire.binary().await[..]), (&[1, 2, 3][..], &[4, 5, 6][..]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_over_polling() {
    let channels = Channels::start().await;
    let sid = channels.session().await;
    channels.post(&sid, "40{\"token\":\"slow\"}").await;
    let text = channels.poll(&sid).await.text();
    let parts: Vec<&str> = text.split('\u{1e}').filter(|part| *part != "2").collect();
    assert!(parts[0].starts_with("40{"), "{text}");
    channels.post(&sid, "3").await;
    let body = "451-7[\"message\",{\"_placeholder\":true,\"num\":0}]\u{1e}bAQID";
    channels.post(&sid, body).await;
    let mut text = channels.poll(&sid).await.text();
    while !text.contains('7') {
        channels.post(&sid, "3").await;
        text = format!("{text}\u{1e}{}", channels.poll(&sid).await.text());
    }
    let back = "451-[\"message-back\",{\"_placeholder\":true,\"num\":0}]\u{1e}bAQID";
    assert!(text.contains(back), "{text}");
    assert!(text.contains("461-7[{\"_placeholder\":true,\"num\":0}]\u{1e}bAQID"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_in_a_room_hears_it_once_in_order() {
    let channels = Channels::start_with(SioOptions::default()).await;
    let mut wires = Vec::new();
    for room in ["a", "b"] {
        let (mut wire, _) = channels.member().await;
        wire.say(&format!("420[\"enter\",\"{room}\"]")).await;
        wire.text().await;
        wires.push(wire);
    }
    let mut custom = channels.open().await;
    custom.say("40/custom").await;
    custom.text().await;
    custom.text().await;
    for n in 0..1_000 {
        channels.say(if n % 2 == 0 { "a" } else { "b" }, "n", n.to_string()).await;
    }
    channels.say("hall", "end", "").await;
    for (first, wire) in wires.iter_mut().enumerate() {
        for n in (first..1_000).step_by(2) {
            let text = wire.text().await;
            let event: Vec<Value> = serde_json::from_str(text.strip_prefix("42").unwrap()).unwrap();
            assert_eq!((&event[0], &event[1]), (&json!("n"), &json!(n)));
            assert!(event[2].is_string(), "a kept event ends with its offset: {text}");
        }
        assert!(wire.text().await.starts_with("42[\"end\","));
    }
    assert!(custom.text().await.starts_with("42/custom,[\"end\","));
}

// --- what is promised beyond the protocols ---------------------------------------------------------------

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_connection_is_taken_up_again_on_the_wire() {
    let channels = Channels::start().await;
    let (wire, connected) = channels.member().await;
    let pid = connected["pid"].as_str().unwrap().to_owned();
    drop(wire);
    let hall = Room::new("hall").unwrap();
    while !channels.space.members(&hall).await.is_empty() {
        sleep(Duration::from_millis(10)).await;
    }
    channels.say("hall", "missed", "{\"b\":1,\"a\":2}").await;
    channels.say("elsewhere", "foreign", "1").await;
    let mut wire = channels.open().await;
    wire.say(&format!("40{{\"pid\":\"{pid}\"}}")).await;
    let again: Value = serde_json::from_str(wire.text().await.strip_prefix("40").unwrap()).unwrap();
    assert_eq!(
        (&again["sid"], &again["pid"]),
        (&connected["sid"], &connected["pid"]),
        "{}",
        channels.metrics.text().unwrap()
    );
    let mut offset = String::new();
    for begins in ["42[\"gone\",\"closed\",", "42[\"missed\",{\"b\":1,\"a\":2},"] {
        let text = wire.text().await;
        let rest = text.strip_prefix(begins).unwrap_or_else(|| panic!("{text}"));
        offset = serde_json::from_str(rest.strip_suffix(']').unwrap()).unwrap();
    }
    drop(wire);
    channels.say("hall", "later", "2").await;
    let mut wire = channels.open().await;
    wire.say(&format!("40{{\"pid\":\"{pid}\",\"offset\":\"{offset}\"}}")).await;
    assert!(wire.text().await.contains(&pid));
    let mut heard = String::new();
    while !heard.contains("later") {
        heard = wire.text().await;
        assert!(!heard.contains("missed"), "nothing twice: {heard}");
    }
    let mut wire = channels.open().await;
    wire.say("40{\"pid\":\"stolen\",\"offset\":\"x\"}").await;
    let fresh = wire.text().await;
    assert!(fresh.starts_with("40{") && !fresh.contains(connected["sid"].as_str().unwrap()));
    assert_eq!(wire.text().await, "42[\"auth\",{\"pid\":\"stolen\",\"offset\":\"x\"}]");
}

#[tokio::test(flavor = "multi_thread")]
async fn however_much_was_missed_it_comes_before_what_is_said_meanwhile() {
    const MISSED: usize = 1_500;
    let channels = Channels::start_with(SioOptions::default()).await;
    let (wire, connected) = channels.member().await;
    let pid = connected["pid"].as_str().unwrap();
    drop(wire);
    let hall = Room::new("hall").unwrap();
    while !channels.space.members(&hall).await.is_empty() {
        sleep(Duration::from_millis(10)).await;
    }
    let text = "x".repeat(1_000);
    let say = |number: usize| channels.say("hall", "said", format!("{number},\"{text}\""));
    for some in (0..MISSED).collect::<Vec<_>>().chunks(25) {
        join_all(some.iter().map(|number| say(*number))).await;
    }
    let mut wire = channels.open().await;
    wire.say(&format!("40{{\"pid\":\"{pid}\"}}")).await;
    let meanwhile = async {
        for number in MISSED..MISSED + 100 {
            say(number).await;
        }
    };
    let heard = async {
        assert!(wire.text().await.contains(pid));
        assert!(wire.text().await.starts_with("42[\"gone\","));
        for number in 0..MISSED + 100 {
            let text = wire.text().await;
            assert!(text.starts_with(&format!("42[\"said\",{number},")), "{number}: {}", &text[..30]);
        }
    };
    tokio::join!(meanwhile, heard);
}

#[tokio::test(flavor = "multi_thread")]
async fn members_who_wait_by_polling_are_no_strangers_on_any_connection() {
    let channels = Arc::new(Channels::start_with(SioOptions::default()).await);
    // More than one address may have strangers; each request is on a connection of its own.
    let mut waiting = JoinSet::new();
    for _ in 0..CONNECTIONS_PER_ADDRESS_UNAUTHENTICATED_MAX + 8 {
        let sid = polling_member(&channels).await;
        let channels = channels.clone();
        waiting.spawn(async move { channels.poll(&sid).await });
    }
    let watch = Stopwatch::start();
    while channels.metrics.connections.get() < waiting.len() as i64 {
        assert!(watch.elapsed() < Duration::from_secs(10), "all of them wait");
        sleep(Duration::from_millis(10)).await;
    }
    let one_more = timeout(Duration::from_secs(5), polling_member(&channels)).await;
    assert!(one_more.is_ok(), "who is let in and waits keeps nobody out");
    channels.say("hall", "news", "1").await;
    while let Some(reply) = waiting.join_next().await {
        let reply = reply.unwrap();
        assert!(reply.status == 200 && reply.text().starts_with("42[\"news\",1"), "{}", reply.text());
    }
}

/// A page that polls, let in; its session's secret id.
async fn polling_member(channels: &Channels) -> String {
    let sid = channels.session().await;
    assert_eq!(channels.post(&sid, "40").await.status, 200);
    let mut told = String::new();
    while !told.contains("42[\"auth\"") {
        told.push_str(&channels.poll(&sid).await.text());
    }
    sid
}

#[tokio::test(flavor = "multi_thread")]
async fn the_public_id_opens_nothing() {
    let channels = Channels::start().await;
    let engine = channels.session().await;
    channels.post(&engine, "40").await;
    let text = channels.poll(&engine).await.text();
    let connected: Value =
        serde_json::from_str(text.split('\u{1e}').next().unwrap().strip_prefix("40").unwrap()).unwrap();
    for stolen in [connected["sid"].as_str().unwrap(), connected["pid"].as_str().unwrap()] {
        assert_ne!(stolen, engine);
        assert_eq!(channels.post(stolen, "1").await.status, 400);
        assert_eq!(channels.poll(stolen).await.status, 400);
    }
    assert_eq!(channels.sio.sessions(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_read_is_closed_and_costs_the_others_nothing() {
    let channels = Channels::start_with(SioOptions::default()).await;
    let asleep = channels.session().await;
    channels.post(&asleep, "40").await;
    let (mut awake, _) = channels.member().await;
    let body = format!("\"{}\"", "x".repeat(100_000));
    for n in 0..100 {
        channels.say("hall", "big", body.clone()).await;
        let text = awake.text().await;
        assert!(text.starts_with("42[\"big\"") || text.starts_with("42[\"gone\""), "{n}: {}", &text[..40]);
    }
    assert!(
        channels.poll(&asleep).await.text().starts_with("40{"),
        "what was said to it alone is still there"
    );
    assert_eq!(channels.poll(&asleep).await.text(), "1", "its session is over, and it knows");
    assert_eq!(channels.poll(&asleep).await.status, 400);
    assert!(channels.metrics.text().unwrap().contains("outbox_overflow"));
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_reads_in_fits_and_starts_hears_every_frame_whole_and_in_order() {
    const ROUND: usize = 20;
    let channels = Channels::start_with(SioOptions::default()).await;
    let (mut wire, _) = channels.member().await;
    let text = "x".repeat(300_000);
    for round in 0..5 {
        // What the room is told, what this client is told alone, and the WebSocket's own answer, all of it while nobody reads.
        wire.0.send(Message::Ping(Bytes::from_static(b"?"))).await.unwrap();
        wire.say("42[\"message\",1]").await;
        for number in 0..ROUND {
            channels.say("hall", "said", format!("{number},\"{text}\"")).await;
        }
        let (mut told, mut answers, mut pongs) = (0, 0, 0);
        while told < ROUND || answers == 0 || pongs == 0 {
            match wire.next().await {
                Some(Message::Pong(_)) => pongs += 1,
                Some(Message::Text(said)) if said.starts_with("42[\"message-back\"") => answers += 1,
                Some(Message::Text(said)) => {
                    let begins = said.starts_with(&format!("42[\"said\",{told},\"xx"));
                    assert!(begins && said.ends_with("\"]"), "{round}: {told}: {}", &said[..30]);
                    told += 1;
                }
                other => panic!("{other:?}"),
            }
        }
        assert_eq!((told, answers, pongs), (ROUND, 1, 1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn other_places_pages_come_in_only_where_the_configuration_names_them() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = Config::in_folder(folder.path().to_path_buf(), PROGRAM.into());
    config.channels_origins = vec!["https://app.example.org".into()];
    let office = Office::start_with(config).await;
    let foreign = |origin: &str| office.client().with("Origin", origin);
    let path = "/socket.io/?EIO=4&transport=polling";
    for origin in ["https://app.example.org", "https://evil.example"] {
        let reply = foreign(origin).send("OPTIONS", path, None, b"").await;
        assert_eq!((reply.status, reply.body.len()), (204, 0), "{origin}");
        assert_eq!(reply.header("access-control-allow-methods"), Some("GET,HEAD,PUT,PATCH,POST,DELETE"));
        let get = foreign(origin).get(path).await;
        assert_eq!(get.status, 200);
        for reply in [&reply, &get] {
            assert_eq!(reply.header("access-control-allow-origin"), Some("https://app.example.org"));
            assert_eq!(reply.header("access-control-allow-credentials"), Some("true"));
            assert!(reply.header("vary").unwrap().contains("Origin"));
        }
        let sid = get.text()[9..].split('"').next().unwrap().to_owned();
        let post =
            foreign(origin).send("POST", &format!("{path}&sid={sid}"), Some("text/plain"), b"40").await;
        let socket = handshake(
            office.address(),
            "/socket.io/?EIO=4&transport=websocket",
            &[("Host", &office.address().to_string()), ("Origin", origin)],
        )
        .await;
        let expected = if origin.contains("app") { (200, 101) } else { (403, 403) };
        assert_eq!((post.status, socket), expected, "{origin}");
    }
    let program = office.client().without("Origin");
    let get = program.get(path).await;
    assert_eq!(get.status, 200);
    let sid = get.text()[9..].split('"').next().unwrap().to_owned();
    let post = program.send("POST", &format!("{path}&sid={sid}"), Some("text/plain"), b"40/x").await;
    assert_eq!((post.status, post.text().as_str()), (200, "ok"), "a program sends no Origin");
    let other = foreign("https://app.example.org").post("/api/v1/join", json!({})).await;
    assert_eq!(other.status, 403, "the channels only");
}
