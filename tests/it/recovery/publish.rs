//! Back ends: one that publishes on Redis, and some that POST and insist on an answer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use super::{GROUPS, READERS, SLEEPERS, STOCK, Scene};
use crate::harness::Client;
use crate::harness::dice::Dice;

/// 120 a second…
const REDIS_EVERY: Duration = Duration::from_micros(8_333);
/// …and 80 more.
const POSTERS: usize = 4;
const POST_EVERY: Duration = Duration::from_millis(50);

/// What became of publications.
#[derive(Default)]
pub(super) struct Published {
    /// Answered by POST: these arrive.
    pub(super) answered: Vec<String>,
    /// Redis said that somebody listened.
    pub(super) through_redis: Vec<(String, Instant)>,
    /// Each back end's, in order.
    pub(super) orders: Vec<Vec<String>>,
    unheard_by_redis: usize,
    tries: usize,
}

impl Published {
    pub(super) fn add(&mut self, other: Self) {
        self.answered.extend(other.answered);
        self.through_redis.extend(other.through_redis);
        self.orders.extend(other.orders);
        self.unheard_by_redis += other.unheard_by_redis;
        self.tries += other.tries;
    }

    pub(super) fn counts(&self) -> String {
        format!(
            "{} answered by POST after {} tries, {} through Redis and {} to nobody there",
            self.answered.len(),
            self.tries,
            self.through_redis.len(),
            self.unheard_by_redis,
        )
    }
}

pub(super) fn start(scene: &Arc<Scene>, dice: &mut Dice) -> JoinSet<Published> {
    let mut back_ends = JoinSet::new();
    back_ends.spawn(on_redis(scene.clone(), Dice::new(dice.next())));
    for number in 0..POSTERS {
        back_ends.spawn(by_post(scene.clone(), number, Dice::new(dice.next())));
    }
    back_ends
}

fn some_room(dice: &mut Dice) -> String {
    match dice.below(200) {
        0 => "notice".to_owned(),
        // Nobody but a sleeper hears what is for a sleeper.
        1..20 => format!("user-{}", SLEEPERS + dice.below(READERS + STOCK.len() - SLEEPERS)),
        _ => format!("group-{}", dice.below(GROUPS)),
    }
}

fn record(room: &str, id: &str, dice: &mut Dice) -> serde_json::Value {
    json!({ "room": room, "id": id, "records": { "text": "x".repeat(dice.below(800)) } })
}

async fn on_redis(scene: Arc<Scene>, mut dice: Dice) -> Published {
    let (mut published, mut order) = (Published::default(), Vec::new());
    let client = redis::Client::open(scene.redis_url.as_str()).unwrap();
    let mut line = client.get_multiplexed_async_connection().await.ok();
    let mut tick = interval(REDIS_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
    for number in 0.. {
        tick.tick().await;
        if scene.is_over() {
            break;
        }
        let id = format!("redis-{number}");
        let body = record(&some_room(&mut dice), &id, &mut dice).to_string();
        let Some(mut open) = line.take() else {
            line = client.get_multiplexed_async_connection().await.ok();
            continue;
        };
        let at = Instant::now();
        let mut publish = redis::cmd("PUBLISH");
        // An answer that is lost on the way says nothing: such a message may arrive.
        match publish.arg("/records").arg(body).query_async::<i64>(&mut open).await {
            Ok(0) => published.unheard_by_redis += 1,
            Ok(_) => published.through_redis.push((id.clone(), at)),
            Err(_) => continue,
        }
        order.push(id);
        line = Some(open);
    }
    published.orders.push(order);
    published
}

async fn by_post(scene: Arc<Scene>, number: usize, mut dice: Dice) -> Published {
    let mut published = Published::default();
    let mut tick = interval(POST_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for count in 0.. {
        tick.tick().await;
        if scene.is_over() {
            break;
        }
        let id = format!("post-{number}-{count}");
        let message = record(&some_room(&mut dice), &id, &mut dice);
        published.tries += until_taken(&scene, &id, &message).await;
        published.answered.push(id);
    }
    published.orders.push(published.answered.clone());
    published
}

/// Says one thing by POST.
pub(super) async fn post_until_taken(scene: &Scene, room: &str, id: &str) {
    until_taken(scene, id, &json!({ "room": room, "id": id })).await;
}

/// Publishes under one id until the office says that it has it; how many tries that took.
async fn until_taken(scene: &Scene, id: &str, message: &serde_json::Value) -> usize {
    let client = Client::new(scene.address).with_token(&scene.admin);
    let body = json!({ "channel": "/records", "message": message, "id": id }).to_string();
    for tries in 1..10_000 {
        let json = Some("application/json");
        let reply = client.try_send("POST", "/api/v1/channels", json, body.as_bytes()).await;
        match reply {
            Ok(reply) if reply.status == 200 => return tries,
            // It does not serve yet, or its disk is slow.
            Ok(reply) => assert!(reply.status >= 500, "{}", reply.text()),
            Err(_) => {}
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("nobody takes {id}");
}
