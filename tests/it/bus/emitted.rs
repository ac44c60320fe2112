//! Back ends that emit through Redis as Node's servers do reach our sockets' rooms; what makes no sense reaches nobody.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::timeout;
use townhall::clock::Clock;
use townhall::follow::emitted::Emitters;
use townhall::rooms::space::{Join, OldRooms, Room, Space, SpaceOptions, SpaceOutbox};
use townhall::telemetry::Metrics;

use super::central::Line;
use crate::harness::redis::RedisServer;

/// As @socket.io/redis-emitter 5.1.0 says `to("group-1").emit("records", {"a": 1})`.
const EVENT: &[u8] =
    b"\x93\xa7emitter\x83\xa4type\x02\xa4data\x92\xa7records\x81\xa1a\x01\xa3nsp\xa1/\x83\xa5rooms\x91\
\xa7group-1\xa5flags\x80\xa6except\x90";

#[tokio::test]
async fn an_event_emitted_through_redis_reaches_its_room_and_rubbish_reaches_nobody() {
    let Some(redis) = RedisServer::start(None).await else { return };
    let data = tempfile::tempdir().unwrap();
    let line = Line::open(data.path(), &redis.url());
    line.becomes(true).await;
    let metrics = Metrics::new();
    let options = SpaceOptions::default();
    let space = Space::open("office", None, Clock::real(), metrics.clone(), options).await.unwrap();
    let mut outboxes = Vec::new();
    for room in ["group-1", "group-2"] {
        let outbox = SpaceOutbox::new(&metrics);
        let join = Join {
            outbox: outbox.clone(),
            person: None,
            rooms: vec![Room::new(room).unwrap()],
            since: None,
            recover: false,
            old_rooms: OldRooms::Dropped,
        };
        space.join(join).await.unwrap();
        outboxes.push(outbox);
    }
    let emitters = Arc::new(Emitters::new(vec![(space.clone(), |_| true)], metrics.clone()));
    let consuming = line.bus.consume(&[Emitters::pattern()], emitters).unwrap();
    redis.hears_patterns(1).await;

    let deep = [vec![0x91; 100_000], vec![0xc0]].concat();
    let mut hostile: Vec<Vec<u8>> = (0..EVENT.len()).map(|end| EVENT[..end].to_vec()).collect();
    hostile.extend([deep, b"\xdd\xff\xff\xff\xff".to_vec(), b"not msgpack".to_vec(), vec![0xff; 900_000]]);
    let count = hostile.len();
    for body in hostile {
        assert_eq!(redis.publish("socket.io#/#", &body).await, 1);
    }
    assert_eq!(redis.publish("socket.io#/#group-2#", EVENT).await, 1);
    assert_eq!(
        redis.publish("socket.io-request#/#", EVENT).await,
        0,
        "requests between servers are not listened to"
    );
    redis.publish("socket.io#/#group-1#", EVENT).await;

    let heard = timeout(Duration::from_secs(10), outboxes[0].take()).await.unwrap().unwrap();
    assert_eq!(heard.len(), 1);
    assert_eq!((&*heard[0].1.name, &heard[0].1.body), ("records", &Bytes::from_static(b"{\"a\":1}")));
    assert!(outboxes[1].take_now().unwrap().is_empty());
    let figures = metrics.text().unwrap();
    let refused = figures.lines().filter(|line| line.contains("refused_total{reason=\"emitter_"));
    let refused: usize = refused.map(|line| line.rsplit(' ').next().unwrap().parse::<usize>().unwrap()).sum();
    assert_eq!(refused, count + 1, "{figures}");
    drop(consuming);
    line.close().await;
}
