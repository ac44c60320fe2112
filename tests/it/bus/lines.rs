//! The way to the central Redis is a bad one: slow, or with a computer on it that is switched off.

use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
#[cfg(target_os = "linux")]
use tokio::net::TcpSocket;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use townhall::bus::{Heard, Message, Pattern};

use super::central::Line;
use crate::harness::redis::RedisServer;

/// What the slow line carries each second: half a megabit.
const BYTES_PER_S: u64 = 64 * 1024;
/// The bodies on it: more than it carries in a second, by far.
const BODIES: usize = 32;
const BODY_BYTES: usize = 8 * 1024;
/// Much longer than they take.
const ALL: Duration = Duration::from_secs(60);

async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf) {
    let mut piece = vec![0; 2 * 1024];
    while let Ok(count @ 1..) = from.read(&mut piece).await {
        tokio::time::sleep(Duration::from_micros(count as u64 * 1_000_000 / BYTES_PER_S)).await;
        if to.write_all(&piece[..count]).await.is_err() {
            return;
        }
    }
}

/// A slow line to a server; its port.
async fn slow_line(to: u16) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            let far = TcpStream::connect(("127.0.0.1", to)).await.unwrap();
            let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
            tokio::spawn(carry(near_in, far_out));
            tokio::spawn(carry(far_in, near_out));
        }
    });
    port
}

fn body(number: usize) -> Bytes {
    let mut body = format!("{number} ").into_bytes();
    body.resize(BODY_BYTES, b'x');
    body.into()
}

#[tokio::test]
async fn a_slow_line_carries_everything_once_and_in_order_both_ways() {
    let Some(redis) = RedisServer::start(None).await else { return };
    let data = tempfile::tempdir().unwrap();
    let line = Line::open(data.path(), &format!("redis://127.0.0.1:{}", slow_line(redis.port()).await));
    line.becomes(true).await;
    let since_ms = line.bus.state().borrow().since_ms;
    let mut elsewhere = redis.listen("ours").await.into_on_message();
    for number in 0..BODIES {
        let message = Message::new("ours", body(number)).unwrap();
        assert!(line.bus.publish(&message, None).await.unwrap().forwarded);
    }
    let heard = async {
        for number in 0..BODIES {
            let heard = elsewhere.next().await.unwrap();
            assert_eq!(heard.get_payload_bytes(), body(number), "the one after {number}");
        }
        while line.bus.waiting() > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(ALL, heard).await.expect("all of it gets there");
    assert!(timeout(Duration::from_millis(300), elsewhere.next()).await.is_err(), "nothing twice");

    let mut ear = line.bus.subscribe(Pattern::prefix("theirs")).unwrap();
    redis.hears_patterns(1).await;
    for number in 0..BODIES {
        redis.publish("theirs", &body(number)).await;
    }
    let heard = async {
        for number in 0..BODIES {
            let wanted = Message::new("theirs", body(number)).unwrap();
            assert_eq!(ear.next().await, Some(Heard::Message(wanted)));
        }
    };
    timeout(ALL, heard).await.expect("all of it is heard");
    let state = line.bus.state().borrow().clone();
    assert!(state.up && state.since_ms == since_ms, "a slow server is not one that is away: {state:?}");
    line.close().await;
}

/// A computer that is switched off, as far as anybody can tell who connects: nothing comes back. Lives as long as what
/// is returned.
#[cfg(target_os = "linux")] // elsewhere a full queue says no
async fn silent() -> (u16, TcpListener, Vec<TcpStream>) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut waiting = Vec::new();
    while let Ok(Ok(one)) = timeout(Duration::from_millis(200), TcpStream::connect(address)).await {
        waiting.push(one);
    }
    (address.port(), listener, waiting)
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_sentinel_or_a_node_that_is_switched_off_is_not_waited_for() {
    let Some(redis) = RedisServer::start(None).await else { return };
    let (off, _listener, _waiting) = silent().await;
    let watched = format!("sentinel monitor town 127.0.0.1 {} 1\n", redis.port());
    let sentinel = RedisServer::start_as(&watched, &["--sentinel"]).await.unwrap();
    let slots = "cluster-enabled yes\ncluster-require-full-coverage no\n";
    let node = RedisServer::start_as(slots, &[]).await.unwrap();
    let mut own = redis::cmd("CLUSTER");
    own.arg("ADDSLOTSRANGE").arg(0).arg(16_383).exec_async(&mut node.connect().await).await.unwrap();
    for url in [
        format!("redis+sentinel://127.0.0.1:{off},127.0.0.1:{}/town", sentinel.port()),
        format!("redis+cluster://127.0.0.1:{off},127.0.0.1:{}", node.port()),
    ] {
        let data = tempfile::tempdir().unwrap();
        let line = Line::open(data.path(), &url);
        line.becomes(true).await;
        line.close().await;
    }
}

#[tokio::test]
async fn what_was_begun_gets_there_though_its_publisher_hung_up() {
    let Some(redis) = RedisServer::start(None).await else { return };
    let data = tempfile::tempdir().unwrap();
    let line = Line::open(data.path(), &redis.url());
    line.becomes(true).await;
    let mut elsewhere = redis.listen("ours").await.into_on_message();
    let message = Message::new("ours", Bytes::from_static(b"1")).unwrap();
    let hung_up = futures_util::FutureExt::now_or_never(line.bus.publish(&message, None));
    assert!(hung_up.is_none(), "it was not done yet");
    let heard = timeout(Duration::from_secs(10), elsewhere.next()).await.expect("it gets there").unwrap();
    assert_eq!(heard.get_payload_bytes(), b"1");
    line.close().await;
}
