//! Rules of the two protocol documents that want more than one connection, odd frames or several namespaces; the
//! others are in `it::sio`.

use std::time::Duration;

use futures_util::SinkExt;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::frame::{Frame, FrameHeader};
use townhall::config::limits::CLOSE_LINGER;
use townhall::faces::sio::SioOptions;

use crate::harness::channels::{Channels, Wire, quick};
use crate::harness::http::{Client, Reply};

async fn echo() -> Channels {
    Channels::start_with(SioOptions { echo: true, ..SioOptions::default() }).await
}

/// Nothing is asked for signs of life meanwhile.
async fn calm() -> Channels {
    Channels::start_with(SioOptions::default()).await
}

/// A polling request with this type of content.
async fn post_as(channels: &Channels, sid: &str, kind: Option<&str>, body: &[u8]) -> Reply {
    let path = format!("/socket.io/?EIO=4&transport=polling&sid={sid}");
    Client::new(channels.address).without("Origin").send("POST", &path, kind, body).await
}

async fn is_over(channels: &Channels, sid: &str) -> bool {
    channels.poll(sid).await.text() == "{\"code\":1,\"message\":\"Session ID unknown\"}"
}

// --- Engine.IO -------------------------------------------------------------------------------------------

#[tokio::test(flavor = "multi_thread")]
async fn two_requests_that_bring_something_at_once_end_the_session() {
    let channels = echo().await;
    let sid = channels.session().await;
    let mut slow = TcpStream::connect(channels.address).await.unwrap();
    let head = format!(
        "POST /socket.io/?EIO=4&transport=polling&sid={sid} HTTP/1.1\r\nHost: {}\r\nContent-Length: 6\r\n\r\n4s",
        channels.address
    );
    slow.write_all(head.as_bytes()).await.unwrap();
    sleep(Duration::from_millis(50)).await;
    let second = channels.post(&sid, "4second").await;
    assert_eq!((second.status, second.text().as_str()), (400, "{\"code\":3,\"message\":\"Bad request\"}"));
    assert!(is_over(&channels, &sid).await);
    slow.write_all(b"low!").await.unwrap();
    let mut answer = [0; 12];
    slow.read_exact(&mut answer).await.unwrap();
    assert_eq!(channels.sio.sessions(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_waits_until_there_is_something_to_say() {
    let channels = calm().await;
    let sid = channels.session().await;
    channels.post(&sid, "40").await;
    channels.poll(&sid).await;
    let (heard, ()) = tokio::join!(channels.poll(&sid), async {
        sleep(Duration::from_millis(200)).await;
        channels.say("hall", "late", "1").await;
    });
    assert!(heard.text().starts_with("42[\"late\",1,"), "{}", heard.text());
    assert_eq!(heard.header("content-type"), Some("text/plain; charset=UTF-8"));
}

#[tokio::test(flavor = "multi_thread")]
async fn polling_payloads_are_text() {
    let channels = echo().await;
    let sid = channels.session().await;
    for kind in [None, Some("text/plain;charset=UTF-8"), Some("text/plain"), Some("application/xml")] {
        let reply = post_as(&channels, &sid, kind, "4é".as_bytes()).await;
        assert_eq!((reply.status, reply.text().as_str()), (200, "ok"), "{kind:?}");
        assert_eq!(channels.poll(&sid).await.text(), "4é");
    }
    assert_eq!(post_as(&channels, &sid, Some("application/octet-stream"), b"4x").await.status, 400);
    assert!(is_over(&channels, &sid).await, "binary data comes as base64");
    let sid = channels.session().await;
    assert_eq!(post_as(&channels, &sid, None, b"4\xc3").await.status, 400);
    assert!(is_over(&channels, &sid).await, "half a letter is no text");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_carries_one_packet_a_message() {
    let channels = echo().await;
    let mut wire = channels.open().await;
    wire.say("4a\u{1e}4b").await;
    assert_eq!(wire.text().await, "4a\u{1e}4b", "nothing separates packets here");
    for (opcode, last, part) in
        [(Data::Text, false, "4in thr"), (Data::Continue, false, "ee p"), (Data::Continue, true, "arts")]
    {
        let header = FrameHeader { opcode: OpCode::Data(opcode), is_final: last, ..FrameHeader::default() };
        wire.0.send(Message::Frame(Frame::from_payload(header, part.into()))).await.unwrap();
    }
    assert_eq!(wire.text().await, "4in three parts");
    wire.0.send(Message::Ping(b"x".as_slice().into())).await.unwrap();
    assert_eq!(wire.next().await, Some(Message::Pong(b"x".as_slice().into())));
    let half = FrameHeader { opcode: OpCode::Data(Data::Text), ..FrameHeader::default() };
    wire.0.send(Message::Frame(Frame::from_payload(half, b"4\xc3".as_slice().into()))).await.unwrap();
    assert_eq!(wire.closed().await, 1007);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_that_is_not_understood_is_ended_at_once_and_told_why() {
    let channels = echo().await;
    // A reserved bit, an opcode that means nothing, a ping in two parts, half a letter; no mask that changes anything.
    for (frame, code) in [
        (&b"\xc1\x81\0\0\0\0x"[..], 1002_u16),
        (b"\x83\x80\0\0\0\0", 1002),
        (b"\x09\x80\0\0\0\0", 1002),
        (b"\x81\x81\0\0\0\0\xc3", 1007),
    ] {
        let mut wire = channels.open().await;
        let stream = wire.0.get_mut();
        stream.write_all(frame).await.unwrap();
        let mut heard = Vec::new();
        // The client says no goodbye: it has none that would be understood.
        let ended = timeout(CLOSE_LINGER / 2, stream.read_to_end(&mut heard)).await;
        ended.expect("the server does not wait for the client to end it").unwrap();
        assert!(heard.windows(2).any(|two| two == code.to_be_bytes()), "{code}: {heard:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_has_one_websocket() {
    let channels = echo().await;
    let mut wire = channels.socket("").await;
    let open: Value = serde_json::from_str(&wire.text().await[1..]).unwrap();
    let sid = open["sid"].as_str().unwrap();
    let mut second = channels.socket(&format!("&sid={sid}")).await;
    assert_eq!(second.closed().await, 1000, "whatever it may want to say");
    assert_eq!(
        channels.poll(sid).await.status,
        400,
        "a session that began on a WebSocket is not asked by requests"
    );
    assert_eq!(channels.post(sid, "4x").await.status, 400);
    wire.say("4still").await;
    assert_eq!(wire.text().await, "4still");

    // Two that want to take over: the first one does, the second one is closed, and nothing is lost.
    let sid = channels.session().await;
    let mut first = channels.socket(&format!("&sid={sid}")).await;
    let mut late = channels.socket(&format!("&sid={sid}")).await;
    first.say("2probe").await;
    assert_eq!(first.text().await, "3probe");
    late.say("2probe").await;
    assert_eq!(late.closed().await, 1000);
    first.say("5").await;
    first.say("4mine").await;
    assert_eq!(first.text().await, "4mine");
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_overtake_each_other_are_answered_as_if_they_had_not() {
    let channels = echo().await;
    // The client closes while it waits; its word arrives first.
    let sid = channels.session().await;
    let (closed, asked) = tokio::join!(channels.post(&sid, "1"), async {
        sleep(Duration::from_millis(3)).await;
        channels.poll(&sid).await
    });
    assert_eq!((closed.text().as_str(), asked.text().as_str()), ("ok", "6"));
    assert!(is_over(&channels, &sid).await);
    // Whoever moves to a WebSocket without waiting for its requests is told by them that it has moved.
    let sid = channels.session().await;
    let mut wire = channels.socket(&format!("&sid={sid}")).await;
    let (asked, ()) = tokio::join!(channels.poll(&sid), async {
        sleep(Duration::from_millis(100)).await;
        wire.say("2probe").await;
        wire.say("5").await;
    });
    assert_eq!((asked.status, asked.text().as_str()), (400, "{\"code\":3,\"message\":\"Bad request\"}"));
    wire.say("4moved").await;
    assert_eq!((wire.text().await.as_str(), wire.text().await.as_str()), ("3probe", "4moved"));
}

#[tokio::test(flavor = "multi_thread")]
async fn signs_of_life_that_nobody_asked_for_and_noops_are_no_fault() {
    let channels = echo().await;
    let mut wire = channels.open().await;
    let sid = channels.session().await;
    for packet in ["3", "3probe", "6", "3"] {
        wire.say(packet).await;
        assert_eq!(channels.post(&sid, packet).await.status, 200, "{packet}");
    }
    wire.say("4here").await;
    assert_eq!(wire.text().await, "4here");
    channels.post(&sid, "6\u{1e}4here\u{1e}3").await;
    assert_eq!(channels.poll(&sid).await.text(), "4here");
}

// --- Socket.IO -------------------------------------------------------------------------------------------

/// Comes into a namespace; the answer's public id.
async fn comes_in(wire: &mut Wire, namespace: &str) -> String {
    wire.say(&format!("40{namespace},")).await;
    let text = wire.text().await;
    let connected: Value =
        serde_json::from_str(text.strip_prefix(&format!("40{namespace},")).unwrap()).unwrap();
    assert_eq!(wire.text().await, format!("42{namespace},[\"auth\",{{}}]"));
    connected["sid"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn namespaces_on_one_connection_do_not_mix() {
    let channels = calm().await;
    let (mut wire, root) = channels.member().await;
    let custom = comes_in(&mut wire, "/custom").await;
    assert_ne!(root["sid"], *custom, "each has an id of its own");
    for (said, answer) in [
        ("42/custom,7[\"ask\",\"a\"]", "43/custom,7[\"a\"]"),
        ("427[\"ask\",\"b\"]", "437[\"b\"]"),
        ("42/custom,[\"message\",1]", "42/custom,[\"message-back\",1]"),
        ("42[\"message\",2]", "42[\"message-back\",2]"),
    ] {
        wire.say(said).await;
        assert_eq!(wire.text().await, answer);
    }
    wire.say("451-/custom,8[\"ask\",{\"_placeholder\":true,\"num\":0}]").await;
    wire.say_binary(&[9]).await;
    assert_eq!(wire.text().await, "461-/custom,8[{\"_placeholder\":true,\"num\":0}]");
    assert_eq!(&wire.binary().await[..], [9]);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_left_a_namespace_may_come_again_but_not_go_on_in_it() {
    let channels = calm().await;
    let mut wire = channels.open().await;
    let first = comes_in(&mut wire, "/custom").await;
    wire.say("41/custom,").await;
    assert_ne!(comes_in(&mut wire, "/custom").await, first, "as somebody new");
    wire.say("41/custom").await;
    wire.say("42/custom,[\"message\"]").await;
    assert_eq!(wire.closed().await, 1002);
    let mut wire = channels.open().await;
    wire.say("41/custom").await;
    assert_eq!(wire.closed().await, 1002, "nobody leaves who is not in");
}

#[tokio::test(flavor = "multi_thread")]
async fn acknowledgements_that_nobody_waits_for_are_no_fault() {
    let channels = calm().await;
    let (mut wire, _) = channels.member().await;
    for text in ["431[]", "430[\"x\",{\"a\":1}]", "439007199254740991[]", "460-3[]"] {
        wire.say(text).await;
    }
    wire.say("461-15[\"bar\",{\"_placeholder\":true,\"num\":0}]").await;
    wire.say_binary(&[1, 2, 3, 4]).await;
    wire.say("42[\"message\",\"on\"]").await;
    assert_eq!(wire.text().await, "42[\"message-back\",\"on\"]");
    for text in ["43", "431", "43[]", "431{}", "431\"x\"", "43-1[]", "461-[]", "4615[]"] {
        let (mut wire, _) = channels.member().await;
        wire.say(text).await;
        assert_eq!(wire.closed().await, 1002, "{text}: the payload is an array, and the id a number");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_protocol_forbids_ends_a_polling_session_too() {
    let channels = calm().await;
    for body in [
        "42[\"before\"]",
        "40\u{1e}4abc",
        "40\u{1e}42{}",
        "40\u{1e}42abc[\"x\"]",
        "40\u{1e}bAQID",
        "40\u{1e}40",
    ] {
        let sid = channels.session().await;
        assert_eq!(channels.post(&sid, body).await.status, 400, "{body:?}");
        assert!(is_over(&channels, &sid).await, "{body:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn several_packets_in_one_payload_are_heard_in_order() {
    let channels = Channels::start_with(quick()).await;
    let sid = channels.session().await;
    let body = "40\u{1e}42[\"message\",1]\u{1e}451-[\"message\",{\"_placeholder\":true,\"num\":0}]\u{1e}bAQ==\u{1e}427[\"x\",2]";
    assert_eq!(channels.post(&sid, body).await.text(), "ok");
    let mut heard = Vec::new();
    while heard.len() < 6 {
        heard.extend(
            channels.poll(&sid).await.text().split('\u{1e}').filter(|part| *part != "2").map(str::to_owned),
        );
        channels.post(&sid, "3").await;
    }
    assert!(heard[0].starts_with("40{"), "{heard:?}");
    let rest = ["42[\"auth\",{}]", "42[\"message-back\",1]"];
    let binary = ["451-[\"message-back\",{\"_placeholder\":true,\"num\":0}]", "bAQ==", "437[2]"];
    assert_eq!(heard[1..], [&rest[..], &binary[..]].concat());
}
