//! What Loomio's back end publishes: to the rooms, to everybody, to the bots.
//!
//! Owns what a publication on one of its channels must look like (Loomio's channel server). What is inside is nobody's
//! business here: it goes on byte for byte. What makes no sense is logged, counted and dropped.

use std::sync::Arc;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::bots::{Bots, CHATBOT};
use crate::bus::{Beginning, Begun, Consumer, Message, Pattern, Undelivered};
use crate::rooms::space::{Room, Say, Space, SpaceError};
use crate::telemetry::Metrics;

const RECORDS: &str = "/records";
const SYSTEM_NOTICE: &str = "/system_notice";

/// The channels that are listened to.
pub(super) fn patterns(bots: bool) -> Vec<Pattern> {
    let mut patterns = vec![Pattern::channel(RECORDS), Pattern::channel(SYSTEM_NOTICE)];
    patterns.extend(bots.then(|| Pattern::prefix(CHATBOT)));
    patterns
}

/// Hands on what is published.
pub(super) struct Feed {
    pub(super) space: Space,
    pub(super) bots: Bots,
    pub(super) metrics: Metrics,
}

impl Consumer for Feed {
    fn begin<'a>(&'a self, message: &'a Message, id: Option<&'a str>) -> Beginning<'a> {
        Box::pin(async move {
            let say = match self.understood(message, id) {
                Ok(Some(say)) => say,
                other => return Begun::done(other.map(drop)),
            };
            let (begun, metrics) = (self.space.begin_to_say(say).await, self.metrics.clone());
            Begun::until(async move {
                let said = match begun {
                    Ok(said) => said.await,
                    Err(error) => Err(error),
                };
                said.map(drop).map_err(|error| unsaid(&metrics, &error))
            })
        })
    }
}

impl Feed {
    fn refused(&self, channel: &str, why: &'static str) -> Undelivered {
        tracing::warn!(channel, why, "a publication makes no sense and was dropped");
        self.metrics.refuse("publication");
        Undelivered::Refused(why.to_owned())
    }

    /// What is to be said, if anything.
    fn understood(&self, message: &Message, id: Option<&str>) -> Result<Option<Say>, Undelivered> {
        let (to, name) = match &*message.channel {
            RECORDS => match room(&message.body) {
                Ok(Some(room)) => (vec![room], "records"),
                // As before: nobody hears it, and nobody is told.
                Ok(None) => {
                    self.metrics.refuse("records_without_room");
                    return Ok(None);
                }
                Err(why) => return Err(self.refused(RECORDS, why)),
            },
            SYSTEM_NOTICE => match notice(&message.body) {
                Ok(()) => (Vec::new(), "notice"),
                Err(why) => return Err(self.refused(SYSTEM_NOTICE, why)),
            },
            other => {
                self.bots.heard(other, &message.body, id);
                return Ok(None);
            }
        };
        Ok(Some(Say {
            to,
            except: Vec::new(),
            name: name.into(),
            body: message.body.clone(),
            attachments: Vec::new(),
            keep: true,
            id: id.map(str::to_owned),
        }))
    }
}

fn unsaid(metrics: &Metrics, error: &SpaceError) -> Undelivered {
    metrics.refuse("publication_not_said");
    tracing::error!(%error, "a publication was not said");
    let why = error.to_string();
    if error.is_final() { Undelivered::Refused(why) } else { Undelivered::Failed(why) }
}

#[derive(Deserialize)]
struct Records {
    #[serde(default)]
    room: Option<Value>,
}

/// The room that a publication is for. Everything around it is read past, so that what goes on is JSON.
fn room(body: &[u8]) -> Result<Option<Room>, &'static str> {
    let text = std::str::from_utf8(body).map_err(|_| "not UTF-8")?;
    if !text.trim_start_matches([' ', '\t', '\r', '\n']).starts_with('{') {
        return Err("not a JSON object");
    }
    let records: Records = serde_json::from_str(text).map_err(|_| "not a JSON object")?;
    match records.room {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(room)) => Room::new(&room).map(Some).map_err(|_| "not the name of a room"),
        Some(_) => Err("not the name of a room"),
    }
}

fn notice(body: &[u8]) -> Result<(), &'static str> {
    let text = std::str::from_utf8(body).map_err(|_| "not UTF-8")?;
    serde_json::from_str::<IgnoredAny>(text).map_err(|_| "not JSON")?;
    if text.trim() == "null" { Err("nothing") } else { Ok(()) }
}

/// A feed as the bus takes it.
pub(super) fn consumer(space: Space, bots: Bots, metrics: Metrics) -> Arc<dyn Consumer> {
    Arc::new(Feed { space, bots, metrics })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_object_with_a_room_goes_on() {
        for (body, wanted) in [
            (&br#"{"room":"group-10","records":{"a":[1]}}"#[..], Ok(Some("group-10"))),
            (br#" {"records":{"room":"x"} , "room" : "user-1" } "#, Ok(Some("user-1"))),
            (br#"{"room":null}"#, Ok(None)),
            (br#"{}"#, Ok(None)),
        ] {
            let found = room(body).map(|room| room.map(|room| room.as_str().to_owned()));
            assert_eq!(found, wanted.map(|room: Option<&str>| room.map(str::to_owned)));
        }
        let deep = "{\"room\":\"a\",\"x\":".to_owned() + &"[".repeat(100_000);
        for bad in [
            &b""[..],
            b"not json",
            b"null",
            b"[]",
            b"[\"group-1\"]",
            b"\"group-1\"",
            b"7",
            br#"{"room":7}"#,
            br#"{"room":["group-1"]}"#,
            br#"{"room":""}"#,
            br#"{"room":"a"} x"#,
            br#"{"room":"a"},{"x":1}"#,
            br#"{"room":"a","x":01}"#,
            b"{\"room\":\"a\",\"x\":\"\xff\"}",
            deep.as_bytes(),
        ] {
            assert!(room(bad).is_err(), "{}", String::from_utf8_lossy(&bad[..bad.len().min(40)]));
        }
    }

    #[test]
    fn a_notice_is_any_json_but_nothing() {
        for good in [&br#"{"version":"3","notice":null,"reload":false}"#[..], b"\"text\"", b" 7 "] {
            assert!(notice(good).is_ok());
        }
        for bad in [&b""[..], b"null", b" null\n", b"{", b"a", b"1 2", b"\xff"] {
            assert!(notice(bad).is_err());
        }
    }
}
