//! Who stands behind a channel token: which rooms it opens now.
//!
//! Owns reading what a back end wrote under the token (Loomio's channel server), and never trusting it. Does not know
//! sockets.

use serde_json::Value;

use super::LoomioFace;
use super::boot::CURRENT_USERS;
use crate::auth::{ChannelHolder, Grant};
use crate::bus::LookedUp;
use crate::config::limits::{BUS_KEY_MAX_BYTES, LOOMIO_MEMBER_GROUPS_MAX};
use crate::rooms::space::Room;

/// The room of everybody.
pub(super) const NOTICE: &str = "notice";

/// Whether Loomio has rooms of this name (Loomio's channel server).
#[must_use]
pub fn is_room(name: &str) -> bool {
    name == NOTICE || name.starts_with("user-") || name.starts_with("group-")
}

/// What a token is worth now.
#[derive(Debug, Clone)]
pub(super) enum Standing {
    /// It opens these rooms, besides the one of everybody; and until when that is known, in milliseconds since 1970.
    Known(Vec<Room>, Option<u64>),
    /// It opens these rooms as long as this grant holds: one of this office's own people.
    Ours(Vec<Room>, Grant),
    /// Nobody knows it, or no more: it may never have been, have been taken away, or have had its time.
    Missing,
    /// It was one of this office's own people, and is so no longer.
    Ended,
    /// It cannot be looked up now.
    Unsure,
}

impl Standing {
    /// The rooms to be in.
    pub(super) fn rooms(&self) -> Vec<Room> {
        let theirs: &[Room] = match self {
            Self::Known(rooms, _) | Self::Ours(rooms, _) => rooms,
            Self::Missing | Self::Ended | Self::Unsure => &[],
        };
        Room::new(NOTICE).into_iter().chain(theirs.iter().cloned()).collect()
    }
}

impl LoomioFace {
    /// Looks a token up.
    pub(super) async fn standing(&self, token: &str, here: bool) -> Standing {
        let key = format!("{CURRENT_USERS}{token}");
        if token.is_empty() || key.len() > BUS_KEY_MAX_BYTES || token.chars().any(char::is_control) {
            return Standing::Missing;
        }
        match self.auth.channel_holder(token, here) {
            ChannelHolder::Nobody => {}
            ChannelHolder::Ended => {
                if let Err(error) = self.forget(&key).await {
                    tracing::warn!(%error, "the key of an ended channel token was not removed");
                }
                return Standing::Ended;
            }
            ChannelHolder::Person(grant, number) => {
                let groups = self.options.groups.iter().map(u64::to_string);
                return Standing::Ours(rooms(Some(&number.to_string()), groups), grant);
            }
        }
        match self.key(&key).await {
            Ok(LookedUp::There(found)) => {
                let rooms = read(&found.value).unwrap_or_else(|| {
                    tracing::warn!(
                        "what a back end wrote about a user is not understood; the user hears notices only"
                    );
                    self.metrics.refuse("current_user");
                    Vec::new()
                });
                Standing::Known(rooms, found.until_ms)
            }
            Ok(LookedUp::Missing) => Standing::Missing,
            Ok(LookedUp::Unknown) => Standing::Unsure,
            Err(error) => {
                tracing::warn!(%error, "a channel token could not be looked up");
                Standing::Unsure
            }
        }
    }
}

/// The rooms of `{"id", "name", "group_ids"}`. An id that is missing is a visitor's.
fn read(value: &[u8]) -> Option<Vec<Room>> {
    let user: Value = serde_json::from_slice(value).ok()?;
    let user = user.as_object()?;
    let groups = user.get("group_ids").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    Some(rooms(user.get("id").and_then(id).as_deref(), groups.iter().filter_map(id)))
}

/// An id as a room's name has it: a number, or plain text.
fn id(value: &Value) -> Option<String> {
    match value {
        Value::Number(number) => Some(number.to_string()),
        Value::String(text) if text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_') => {
            Some(text.clone()).filter(|text| !text.is_empty())
        }
        _ => None,
    }
}

fn rooms(user: Option<&str>, groups: impl Iterator<Item = String>) -> Vec<Room> {
    let groups = groups.take(LOOMIO_MEMBER_GROUPS_MAX).map(|group| format!("group-{group}"));
    let names = user.map(|user| format!("user-{user}")).into_iter().chain(groups);
    let mut rooms: Vec<Room> = names.filter_map(|name| Room::new(&name).ok()).collect();
    rooms.sort_unstable();
    rooms.dedup();
    rooms
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_back_end_wrote_opens_rooms_and_never_more() {
        let names = |value: &str| {
            let rooms = read(value.as_bytes())?;
            Some(rooms.iter().map(Room::as_str).collect::<Vec<_>>().join(" "))
        };
        for (value, wanted) in [
            (r#"{"name":"Ann","group_ids":[10,11,10],"id":1}"#, Some("group-10 group-11 user-1")),
            (r#"{"name":null,"group_ids":[],"id":null}"#, Some("")),
            (r#"{"id":1}"#, Some("user-1")),
            (r#"{"id":1,"group_ids":"all"}"#, Some("user-1")),
            (r#"{"id":"u-1","group_ids":["a b","7",null,{}]}"#, Some("group-7 user-u-1")),
            ("null", None),
            ("[1]", None),
            ("not json", None),
            ("", None),
        ] {
            assert_eq!(names(value).as_deref(), wanted, "{value}");
        }
    }
}
