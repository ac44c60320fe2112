//! One bot's way to one Matrix room: which room it is, that the bot is in it, and messages in order.
//!
//! Owns the calls to a homeserver (Loomio's channel server) and their repetition. Does not know where messages come
//! from. Nothing here is ever logged but the room's name and what went wrong.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::{Mutex, oneshot};

use crate::clock::Clock;
use crate::config::limits::{MATRIX_DEADLINE, MATRIX_PAUSE, MATRIX_PAUSE_MAX, MATRIX_TRIES};
use crate::lock::held;
use crate::outbound::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use crate::outbound::{Answer, Ask, Method, Outbound, OutboundError};

/// The versions of the interface, the one that bots used first: newer servers may have dropped it.
const VERSIONS: &[&str] = &["r0", "v3"];

/// Where a bot speaks, and as whom.
#[derive(Clone, PartialEq, Eq, serde::Deserialize)]
pub(super) struct Config {
    pub(super) server: String,
    pub(super) access_token: String,
    pub(super) channel: String,
}

/// Why a message did not get there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum MatrixError {
    /// What was given makes no request.
    #[error("the server, the token or the room is not understood")]
    Config,
    /// The homeserver cannot be asked.
    #[error(transparent)]
    Outbound(#[from] OutboundError),
    /// The homeserver said no.
    #[error("the homeserver answered {0}")]
    Status(u16),
    /// The homeserver's answer names no room.
    #[error("the homeserver's answer names no room")]
    NoRoom,
}

/// One bot in one room.
pub(super) struct Bot {
    config: Config,
    outbound: Outbound,
    clock: Clock,
    /// The room once it is known and joined. Whoever stands in front of the line has it to themselves.
    room: Mutex<Speaking>,
    /// Ends with the message that stands last in line.
    last: std::sync::Mutex<oneshot::Receiver<()>>,
}

/// A message's place among those of one bot.
pub(super) struct InLine {
    before: oneshot::Receiver<()>,
    /// Dropped when it is over: then the next one comes.
    over: oneshot::Sender<()>,
}

impl InLine {
    /// Waits until those before are over, said or given up. The next one comes when what is returned is dropped.
    pub(super) async fn front(self) -> oneshot::Sender<()> {
        let _ = self.before.await;
        self.over
    }
}

#[derive(Default)]
struct Speaking {
    room: Option<String>,
    said: u64,
}

impl Bot {
    pub(super) fn new(config: Config, outbound: Outbound, clock: Clock) -> Self {
        let (_, nobody) = oneshot::channel();
        Self { config, outbound, clock, room: Mutex::default(), last: std::sync::Mutex::new(nobody) }
    }

    /// Takes the place behind all messages that stand in line now.
    pub(super) fn stand_in_line(&self) -> InLine {
        let (over, last) = oneshot::channel();
        let mut now_last = held(&self.last);
        InLine { before: std::mem::replace(&mut *now_last, last), over }
    }

    /// Says something, joining first; for who stands in front of the line.
    pub(super) async fn say(&self, body: &Value) -> Result<(), MatrixError> {
        let mut speaking = self.room.lock().await;
        speaking.said += 1;
        // The same number at every try: a homeserver takes a message once.
        let number = format!("{}__inc{}", self.clock.now_ms(), speaking.said);
        let room = match speaking.room.clone() {
            Some(room) => room,
            None => self.enter().await?,
        };
        let path = format!("rooms/{}/send/m.room.message/{number}", escaped(&room));
        let sent = self.call(&Method::PUT, &path, Some(body)).await;
        // The next message looks for the room again.
        speaking.room = sent.is_ok().then_some(room);
        sent.map(|_| ())
    }

    /// Finds the room and joins it.
    async fn enter(&self) -> Result<String, MatrixError> {
        let channel = &self.config.channel;
        let mut room = (!channel.starts_with('#')).then(|| channel.clone());
        if room.is_none() {
            let found = self.call(&Method::GET, &format!("directory/room/{}", escaped(channel)), None).await;
            room = match found {
                Ok(answer) => Some(room_id(&answer).ok_or(MatrixError::NoRoom)?),
                Err(MatrixError::Status(404)) => None,
                Err(error) => return Err(error),
            };
        }
        let named = room.as_deref().unwrap_or(channel);
        let joined = self.call(&Method::POST, &format!("join/{}", escaped(named)), Some(&json!({}))).await;
        match (room, joined) {
            (None, Ok(answer)) => room_id(&answer).ok_or(MatrixError::NoRoom),
            (None, Err(error)) => Err(error),
            (Some(room), Ok(_)) => Ok(room),
            // A bot that was let in by somebody need not be allowed to join; whether it may speak shows when it does.
            (Some(room), Err(MatrixError::Status(status))) if status < 500 => {
                tracing::info!(room = ?channel, status, "a bot could not join its room and speaks all the same");
                Ok(room)
            }
            (Some(_), Err(error)) => Err(error),
        }
    }

    /// A call in the first version of the interface that the homeserver knows.
    async fn call(&self, method: &Method, path: &str, body: Option<&Value>) -> Result<Answer, MatrixError> {
        let mut last = MatrixError::Status(404);
        for version in VERSIONS {
            match self.try_often(method, &format!("/_matrix/client/{version}/{path}"), body).await {
                Err(MatrixError::Status(status @ (404 | 405))) => last = MatrixError::Status(status),
                done => return done,
            }
        }
        Err(last)
    }

    async fn try_often(
        &self,
        method: &Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Answer, MatrixError> {
        let mut pause = MATRIX_PAUSE;
        for left in (0..MATRIX_TRIES).rev() {
            let (error, wait) = match self.outbound.ask(self.request(method, path, body)?).await {
                Ok(answer) if (200..300).contains(&answer.status) => return Ok(answer),
                Ok(answer) => {
                    (MatrixError::Status(answer.status), answer.retry_after.or_else(|| asked_wait(&answer)))
                }
                Err(error) => (error.into(), None),
            };
            if left == 0 || !passes(error) {
                return Err(error);
            }
            tokio::time::sleep(wait.unwrap_or(pause).min(MATRIX_PAUSE_MAX)).await;
            pause *= 2;
        }
        Err(MatrixError::Config)
    }

    fn request(&self, method: &Method, path: &str, body: Option<&Value>) -> Result<Ask, MatrixError> {
        let server = self.config.server.trim_end_matches('/');
        let mut ask = Ask::new(method.clone(), format!("{server}{path}"));
        let token = HeaderValue::try_from(format!("Bearer {}", self.config.access_token));
        let mut token = token.map_err(|_| MatrixError::Config)?;
        token.set_sensitive(true);
        ask.headers.push((AUTHORIZATION, token));
        if let Some(body) = body {
            ask.headers.push((CONTENT_TYPE, HeaderValue::from_static("application/json")));
            ask.body = body.to_string().into();
        }
        ask.deadline = MATRIX_DEADLINE;
        Ok(ask)
    }
}

/// Whether another try may end better.
fn passes(error: MatrixError) -> bool {
    match error {
        MatrixError::Status(status) => status == 429 || status >= 500,
        MatrixError::Outbound(OutboundError::Url | OutboundError::Scheme | OutboundError::Forbidden) => false,
        MatrixError::Outbound(_) => true,
        MatrixError::Config | MatrixError::NoRoom => false,
    }
}

/// How long the homeserver asks to wait, in the form that came before the header (Client-Server API, Rate limiting).
fn asked_wait(answer: &Answer) -> Option<Duration> {
    if answer.status != 429 {
        return None;
    }
    let answer: Value = serde_json::from_slice(&answer.body).ok()?;
    answer["retry_after_ms"].as_u64().map(Duration::from_millis)
}

fn room_id(answer: &Answer) -> Option<String> {
    let answer: Value = serde_json::from_slice(&answer.body).ok()?;
    answer["room_id"].as_str().filter(|room| !room.is_empty()).map(str::to_owned)
}

/// A piece of a path, escaped as browsers' `encodeURIComponent` does it.
fn escaped(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.!~*'()".contains(&byte);
    let escape = |byte: u8| match plain(byte) {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    };
    text.bytes().map(escape).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rooms_stand_in_a_path_as_clients_write_them() {
        assert_eq!(escaped("!abc:hs.example"), "!abc%3Ahs.example");
        assert_eq!(escaped("#town hall:hs/é"), "%23town%20hall%3Ahs%2F%C3%A9");
        assert_eq!(escaped("../../admin"), "..%2F..%2Fadmin");
    }
}
