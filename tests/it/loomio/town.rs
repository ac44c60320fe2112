//! A town with Loomio: an office, and a back end that reaches it through a real Redis, or over HTTP where there is none.

use std::time::Duration;

use serde_json::{Value, json};
use townhall::auth::Role;
use townhall::config::Config;

use crate::harness::node::Node;
use crate::harness::redis::RedisServer;
use crate::harness::{Client, Office, PROGRAM};

/// Longest wait for the office to find Redis.
const FOUND: Duration = Duration::from_secs(10);

/// What a back end writes about Ann.
pub(super) const ANN: &str = r#"{"name":"Ann","group_ids":[10,11],"id":1}"#;

/// An office, and a back end that may publish.
pub(super) struct Town {
    pub(super) office: Office,
    pub(super) redis: Option<RedisServer>,
    back_end: Client,
    _folder: tempfile::TempDir,
}

impl Town {
    /// Without Redis.
    pub(super) async fn alone(change: impl FnOnce(&mut Config)) -> Self {
        Self::open(None, change).await
    }

    /// Without Redis, and where one is installed once more with it.
    pub(super) async fn both(change: impl Fn(&mut Config)) -> Vec<Self> {
        let mut towns = Vec::new();
        for redis in RedisServer::without_and_with().await {
            towns.push(Self::open(redis, &change).await);
        }
        towns
    }

    /// With this Redis.
    pub(super) async fn open(redis: Option<RedisServer>, change: impl FnOnce(&mut Config)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config::in_folder(folder.path().to_path_buf(), PROGRAM.into());
        config.central = redis.as_ref().map(|redis| redis.url().parse().unwrap());
        change(&mut config);
        let office = Office::start_with(config).await;
        let mut state = office.handle().bus().state();
        let found = tokio::time::timeout(FOUND, state.wait_for(|state| state.up)).await;
        drop(found.expect("Redis is reached").unwrap());
        let back_end = office.client().with_token(&office.mint(Role::Service).await);
        Self { office, redis, back_end, _folder: folder }
    }

    /// What a back end writes when a page boots.
    pub(super) async fn user(&self, token: &str, value: &str) {
        self.user_for(token, value, None).await;
    }

    /// The same, known for a while only.
    pub(super) async fn user_for(&self, token: &str, value: &str, life: Option<Duration>) {
        let key = format!("/current_users/{token}");
        let Some(redis) = &self.redis else {
            return self.office.handle().bus().put_shared(&key, value.as_bytes(), life).await.unwrap();
        };
        let mut set = ::redis::cmd("SET");
        set.arg(key).arg(value);
        if let Some(life) = life {
            set.arg("PX").arg(life.as_millis() as u64);
        }
        set.exec_async(&mut redis.connect().await).await.unwrap();
    }

    pub(super) async fn forget(&self, token: &str) {
        let key = format!("/current_users/{token}");
        match &self.redis {
            None => self.office.handle().bus().delete_shared(&key).await.unwrap(),
            Some(redis) => {
                ::redis::cmd("DEL").arg(key).exec_async(&mut redis.connect().await).await.unwrap();
            }
        }
    }

    /// Publishes exactly this text. What HTTP answers; Redis takes everything.
    pub(super) async fn publish(&self, channel: &str, message: &str) -> u16 {
        if let Some(redis) = &self.redis {
            redis.publish(channel, message.as_bytes()).await;
            return 200;
        }
        self.post(channel, message).await
    }

    /// Publishes over HTTP, whether there is a Redis or not.
    pub(super) async fn post(&self, channel: &str, message: &str) -> u16 {
        let body = format!("{{\"channel\":{},\"message\":{message}}}", json!(channel));
        let path = "/api/v1/channels";
        self.back_end.send("POST", path, Some("application/json"), body.as_bytes()).await.status
    }

    pub(super) async fn to_room(&self, room: &str, number: u64) {
        assert_eq!(self.publish("/records", &record(room, number)).await, 200);
    }

    pub(super) async fn connect(&self, node: &mut Node, client: &str, token: Option<&str>) {
        let query = token.map(|token| json!({ "channel_token": token }));
        let url = format!("http://{}", self.office.address());
        node.tell(json!({ "do": "open", "client": client, "url": url, "query": query })).await;
        node.until(client, "connected", |state| state["connected"] == true).await;
    }
}

/// A record with one event for a room.
pub(super) fn record(room: &str, number: u64) -> String {
    json!({ "room": room, "records": { "events": [{ "id": number }] } }).to_string()
}

/// The ids of the events in the records that a client heard, and its notices.
fn heard(state: &Value) -> Vec<Value> {
    let all = state["heard"].as_array().unwrap();
    all.iter()
        .map(|event| match event[0].as_str().unwrap() {
            "records" => event[1]["records"]["events"][0]["id"].clone(),
            _ => event[1]["notice"].clone(),
        })
        .collect()
}

pub(super) async fn hears(node: &mut Node, client: &str, wanted: &[Value]) {
    let count = wanted.len();
    let state = node.until(client, "told", |state| state["heard"].as_array().unwrap().len() >= count).await;
    assert_eq!(heard(&state), wanted, "{client}");
}
