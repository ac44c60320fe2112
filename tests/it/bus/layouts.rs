//! How a Redis is reached: through sentinels that know the master, as a cluster, as a user who may do little.

use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use tokio::time::timeout;
use townhall::bus::{Heard, Kept, Message, Pattern};

use super::central::Line;
use crate::harness::redis::{RedisServer, program};

const SOON: Duration = Duration::from_secs(15);

/// A server that is part of something, with a configuration of its own.
async fn part(lines: &str, arguments: &[&str]) -> RedisServer {
    RedisServer::start_as(lines, arguments).await.unwrap()
}

async fn until(what: &str, mut done: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !done().await {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(SOON, waiting).await.unwrap_or_else(|_| panic!("{what}"));
}

/// Everything that is asked of a central server.
async fn works(line: &Line, elsewhere: &RedisServer) {
    let mut ear = line.bus.subscribe(Pattern::channel("/records")).unwrap();
    let mut bots = line.bus.subscribe(Pattern::prefix("chatbot/")).unwrap();
    tokio::time::sleep(Duration::from_millis(1_000)).await; // it is told to some server behind our back
    let mut other = elsewhere.listen("ours").await.into_on_message();
    let message = Message::new("ours", Bytes::from_static(b"1")).unwrap();
    line.bus.publish(&message, None).await.unwrap();
    let heard = timeout(SOON, other.next()).await.unwrap().unwrap();
    assert_eq!(heard.get_payload_bytes(), b"1");
    for (channel, ear) in [("/records", &mut ear), ("chatbot/test", &mut bots)] {
        elsewhere.publish(channel, b"x").await;
        let heard = timeout(SOON, ear.next()).await.unwrap().unwrap();
        assert_eq!(heard, Heard::Message(Message::new(channel, Bytes::from_static(b"x")).unwrap()));
    }
    for number in 0..8 {
        let key = format!("key {number}");
        line.bus.put_shared(&key, b"v", Some(Duration::from_secs(60))).await.unwrap();
        assert_eq!(line.bus.get_shared(&key).await.unwrap().unwrap(), "v");
        let fields = vec![("a".to_owned(), Bytes::from_static(b"1"))];
        line.bus.put_fields(&format!("rule {number}"), &fields).await.unwrap();
        let read = line.bus.read_shared(&format!("rule {number}")).await.unwrap().kept();
        assert_eq!(read, Some(Kept::Fields(fields)));
        let people = format!("people {number}");
        line.bus.put_members(&people, vec!["ann".into()], Duration::from_secs(60)).await.unwrap();
        assert_eq!(line.bus.members(&people).await.unwrap(), ["ann"]);
        assert_eq!(line.bus.count_shared(&format!("n {number}"), Duration::from_secs(60)).await.unwrap(), 1);
    }
    assert!(line.bus.state().borrow().up);
}

#[tokio::test]
async fn sentinels_say_where_the_master_is() {
    let Some(master) = RedisServer::start(None).await else { return };
    let watched = format!("sentinel monitor town 127.0.0.1 {} 1\n", master.port());
    let sentinel = part(&watched, &["--sentinel"]).await;
    let data = tempfile::tempdir().unwrap();
    let line = Line::open(data.path(), &format!("redis+sentinel://127.0.0.1:{}/town", sentinel.port()));
    line.becomes(true).await;
    works(&line, &master).await;
    line.close().await;
    // A name that no sentinel knows is said in plain words.
    let data = tempfile::tempdir().unwrap();
    let line = Line::open(data.path(), &format!("redis+sentinel://127.0.0.1:{}/village", sentinel.port()));
    let mut state = line.bus.state();
    let said =
        timeout(SOON, state.wait_for(|state| state.last_error.is_some())).await.unwrap().unwrap().clone();
    assert_eq!((said.up, said.last_error.as_deref()), (false, Some("no sentinel knows this master")));
    line.close().await;
}

/// The master dies, the sentinels make another one, and the office finds it.
#[tokio::test]
async fn an_office_follows_the_sentinels_to_a_new_master() {
    let Some(mut master) = RedisServer::start(None).await else { return };
    let replica = part(&format!("replicaof 127.0.0.1 {}\n", master.port()), &[]).await;
    let mut line = replica.connect().await;
    until("the replica follows", async || {
        let info: String = redis::cmd("INFO").arg("replication").query_async(&mut line).await.unwrap();
        info.contains("master_link_status:up")
    })
    .await;
    let watched = format!(
        "sentinel monitor town 127.0.0.1 {} 1\nsentinel down-after-milliseconds town 500\n\
         sentinel failover-timeout town 3000\n",
        master.port()
    );
    let sentinel = part(&watched, &["--sentinel"]).await;
    let mut line = sentinel.connect().await;
    until("the sentinel knows the replica", async || {
        let info: String = redis::cmd("INFO").arg("sentinel").query_async(&mut line).await.unwrap();
        info.contains("slaves=1")
    })
    .await;
    let data = tempfile::tempdir().unwrap();
    let office = Line::open(data.path(), &format!("redis+sentinel://127.0.0.1:{}/town", sentinel.port()));
    office.becomes(true).await;
    master.kill();
    office.becomes(false).await;
    let message = Message::new("meanwhile", Bytes::from_static(b"1")).unwrap();
    office.bus.publish(&message, None).await.unwrap();
    let mut state = office.bus.state();
    drop(timeout(SOON, state.wait_for(|state| state.up)).await.expect("a new master").unwrap());
    until("what waited went to the new master", async || office.bus.waiting() == 0).await;
    works(&office, &replica).await;
    office.close().await;
}

#[tokio::test]
async fn a_cluster_is_found_by_any_of_its_nodes() {
    if program().is_none() {
        return;
    }
    let mut nodes = Vec::new();
    for _ in 0..3 {
        nodes.push(part("cluster-enabled yes\n", &[]).await);
    }
    for (number, node) in nodes.iter().enumerate() {
        let mut line = node.connect().await;
        let (first, last) = (number * 5_462, (number * 5_462 + 5_461).min(16_383));
        redis::cmd("CLUSTER").arg("ADDSLOTSRANGE").arg(first).arg(last).exec_async(&mut line).await.unwrap();
        for other in &nodes {
            let meet = redis::cmd("CLUSTER").arg("MEET").arg("127.0.0.1").arg(other.port()).to_owned();
            meet.exec_async(&mut line).await.unwrap();
        }
    }
    for node in &nodes {
        let mut line = node.connect().await;
        until("the cluster has come together", async || {
            let info: String = redis::cmd("CLUSTER").arg("INFO").query_async(&mut line).await.unwrap();
            info.contains("cluster_state:ok") && info.contains("cluster_known_nodes:3")
        })
        .await;
    }
    let data = tempfile::tempdir().unwrap();
    let line = Line::open(data.path(), &format!("redis+cluster://127.0.0.1:{}", nodes[1].port()));
    line.becomes(true).await;
    works(&line, &nodes[2]).await;
    line.close().await;
}

/// The guide's words for a user of the office's own are enough, and a channel that it may not use holds up no other.
#[tokio::test]
async fn a_user_with_the_permissions_of_the_guide_is_enough() {
    let Some(redis) = RedisServer::start(None).await else { return };
    let guide = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/operating.md")).unwrap();
    let words = guide.split("~townhall/*`, with `").nth(1).and_then(|rest| rest.split('`').next()).unwrap();
    let mut acl = redis::cmd("ACL");
    acl.arg("SETUSER").arg("office").arg("on").arg(">word").arg("-@all").arg("resetchannels").arg("~*");
    acl.arg("&/records").arg("&chatbot/*").arg("&ours");
    for word in words.split_whitespace() {
        acl.arg(word);
    }
    acl.exec_async(&mut redis.connect().await).await.unwrap();
    let data = tempfile::tempdir().unwrap();
    let url = format!("redis://office:word@127.0.0.1:{}", redis.port());
    // All of it waits and goes out in one piece.
    let line = Line::open(data.path(), "redis://127.0.0.1:1");
    for (channel, body) in [("ours", "1"), ("not for offices", "x"), ("ours", "2"), ("ours", "3")] {
        let message = Message::new(channel, Bytes::from_static(body.as_bytes())).unwrap();
        line.bus.publish(&message, None).await.unwrap();
    }
    let mut elsewhere = redis.listen("ours").await.into_on_message();
    line.bus.choose_central(Some(url.parse().unwrap()));
    for wanted in ["1", "2", "3"] {
        let heard = timeout(SOON, elsewhere.next()).await.unwrap().unwrap();
        assert_eq!(heard.get_payload_bytes(), wanted.as_bytes());
    }
    until("nothing waits", async || line.bus.waiting() == 0).await;
    assert!(timeout(Duration::from_millis(300), elsewhere.next()).await.is_err(), "nothing twice");
    works(&line, &redis).await;
    line.close().await;
}

/// Of what it had confirmed the server is not told again because of something else that it does not take.
#[tokio::test]
async fn a_key_that_others_removed_does_not_come_back_while_the_server_stays() {
    let Some(redis) = RedisServer::start(None).await else { return };
    let mut acl = redis::cmd("ACL");
    acl.arg("SETUSER").arg("office").arg("on").arg(">word").arg("+@all").arg("&*");
    acl.arg("~townhall/*").arg("~ours*");
    let mut town = redis.connect().await;
    acl.exec_async(&mut town).await.unwrap();
    let data = tempfile::tempdir().unwrap();
    let line = Line::open(data.path(), &format!("redis://office:word@127.0.0.1:{}", redis.port()));
    line.becomes(true).await;
    line.bus.put_shared("ours", b"1", None).await.unwrap();
    let gone: i64 = redis::cmd("DEL").arg("ours").query_async(&mut town).await.unwrap();
    assert_eq!(gone, 1);
    line.bus.put_shared("not for offices", b"1", None).await.unwrap();
    until("it is tried again and again", async || {
        let said: String =
            redis::cmd("INFO").arg("errorstats").query_async(&mut redis.connect().await).await.unwrap();
        let count =
            said.split("errorstat_NOPERM:count=").nth(1).and_then(|rest| rest.trim().parse::<u64>().ok());
        count.unwrap_or_default() >= 3
    })
    .await;
    let there: bool = redis::cmd("EXISTS").arg("ours").query_async(&mut town).await.unwrap();
    assert!(!there);
    assert!(line.bus.state().borrow().up);
    line.close().await;
}
