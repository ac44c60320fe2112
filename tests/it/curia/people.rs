//! A town with a forum: an office, its boards, real clients, and tokens as the forum's own application signs them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use townhall::auth::Role;
use townhall::config::Config;

use crate::harness::node::Node;
use crate::harness::{Client, Office, PROGRAM};

pub(super) const SECRET: &str = "the secret of the forum's application";

/// Seconds since 1970, so many from now.
pub(super) fn until(seconds: i64) -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64 + seconds
}

#[expect(clippy::needless_pass_by_value, reason = "tests write the header where they need it")]
pub(super) fn sign_with(secret: &str, header: Value, claims: &Value) -> String {
    let pack = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let text = format!("{}.{}", pack(&header), pack(claims));
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret.as_bytes());
    let mark = ring::hmac::sign(&key, text.as_bytes());
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(mark))
}

pub(super) fn sign(header: Value, claims: &Value) -> String {
    sign_with(SECRET, header, claims)
}

/// An office whose forum has a key, and no narrow limits.
pub(super) fn config() -> (tempfile::TempDir, Config) {
    let folder = tempfile::tempdir().unwrap();
    let mut config = Config::in_folder(folder.path().to_path_buf(), PROGRAM.into());
    config.curia.jwt_secret = Some(SECRET.parse().unwrap());
    config.curia.events_per_minute = 1_000;
    (folder, config)
}

pub(super) struct Town {
    pub(super) office: Office,
    pub(super) node: Node,
    back_end: Client,
    clients: Vec<String>,
    _folder: tempfile::TempDir,
}

impl Town {
    pub(super) async fn start() -> Self {
        Self::start_with(config()).await
    }

    pub(super) async fn start_with((folder, config): (tempfile::TempDir, Config)) -> Self {
        let office = Office::start_with(config).await;
        let back_end = office.client().with_token(&office.mint(Role::Service).await);
        let node = Node::run("forum.mjs").await;
        Self { office, node, back_end, clients: Vec::new(), _folder: folder }
    }

    /// Board 5 is open in community 7, board 6 is for its clerks; 8 is a partner of 7.
    pub(super) async fn boards(&mut self) {
        for (board, roles) in [(5, json!([])), (6, json!(["clerk"]))] {
            let board = json!({ "id": board, "settings": { "permissions": { "allowedRoles": roles } } });
            let payload = json!({ "communityId": "7", "board": board });
            self.emit(json!({ "event": "newBoard", "payload": payload })).await;
        }
        let payload = json!({ "communityId": "7", "partners": ["8"] });
        self.emit(json!({ "room": "community:7", "event": "community:partnersChanged", "payload": payload }))
            .await;
    }

    /// The boards, and everybody, quiet.
    pub(super) async fn people(&mut self) {
        self.boards().await;
        for (name, community, roles, admin) in [
            ("member", "7", json!([]), false),
            ("clerk", "7", json!(["clerk"]), false),
            ("admin", "7", json!([]), true),
            ("partner", "8", json!(["clerk"]), true),
            ("outsider", "9", json!(["clerk"]), true),
        ] {
            let claims = json!({ "sub": name, "uid": name, "cid": community, "roles": roles, "adm": admin });
            self.open(name, claims).await;
        }
        self.forget().await;
    }

    /// Opens a client with these claims, and waits until it is in.
    pub(super) async fn open(&mut self, name: &str, mut claims: Value) {
        claims["exp"] = until(600).into();
        self.open_raw(name, &claims).await;
        self.hears_named(name, "globalPresenceSync").await;
    }

    pub(super) async fn open_raw(&mut self, name: &str, claims: &Value) {
        let token = sign(json!({ "alg": "HS256", "typ": "JWT" }), claims);
        self.open_with(name, json!({ "token": token })).await;
    }

    pub(super) async fn open_with(&mut self, name: &str, mut options: Value) {
        options["do"] = "open".into();
        options["client"] = name.into();
        options["url"] = format!("http://{}", self.office.address()).into();
        self.node.tell(options).await;
        self.clients.push(name.to_owned());
    }

    pub(super) async fn say(&mut self, name: &str, event: &str, args: Value) {
        self.node.tell(json!({ "do": "say", "client": name, "event": event, "args": args })).await;
    }

    pub(super) async fn emit(&self, body: Value) {
        let reply = self.back_end.post("/api/v1/emit", body.clone()).await;
        assert_eq!(reply.status, 200, "{body}: {}", reply.text());
    }

    /// Everybody of these communities hears this after everything that was said before.
    pub(super) async fn marker(&self, community: &str) {
        let body = json!({ "room": format!("community:{community}"), "event": "marker", "payload": {} });
        self.emit(body).await;
    }

    /// Waits until a client has heard exactly this.
    pub(super) async fn hears(&mut self, name: &str, wanted: &Value) {
        let heard = |state: &Value| state["heard"].as_array().unwrap().contains(wanted);
        self.node.until(name, &format!("told {wanted}"), heard).await;
    }

    /// Waits until a client has heard an event of this name; what came with it.
    pub(super) async fn hears_named(&mut self, name: &str, event: &str) -> Value {
        let find = |state: &Value| {
            let all = state["heard"].as_array().unwrap().iter().rev();
            all.clone().find(|heard| heard[0] == event).map(|heard| heard[1].clone())
        };
        let state = self.node.until(name, &format!("told {event}"), |state| find(state).is_some()).await;
        find(&state).unwrap()
    }

    /// The names of everything a client heard.
    pub(super) async fn heard(&mut self, name: &str) -> Vec<String> {
        let state = self.node.state(name).await;
        let all = state["heard"].as_array().unwrap().iter();
        all.map(|event| event[0].as_str().unwrap().to_owned()).collect()
    }

    /// Lets what is still on its way arrive, and forgets it.
    pub(super) async fn forget(&mut self) {
        tokio::time::sleep(Duration::from_millis(700)).await; // presence is told half a second late
        for name in self.clients.clone() {
            self.node.order("forget", &name).await;
        }
    }
}
