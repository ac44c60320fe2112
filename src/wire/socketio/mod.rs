//! Socket.IO 5: packets inside Engine.IO messages.
//!
//! Owns the codec of the public protocol document, revision 5. Arguments stay the JSON text they came as; what is
//! let through is JSON that every client's parser takes. Does not know sessions, rooms or who may say what.

mod assembly;
mod json;

pub use assembly::{Assembly, Heard};

use super::gate::json::is_json;
use crate::config::limits::{
    SOCKETIO_ATTACHMENTS_MAX, SOCKETIO_NAME_MAX_BYTES, SOCKETIO_NAMESPACE_MAX_BYTES, SOCKETIO_NESTING_MAX,
};

/// The namespace that every server has.
pub const ROOT: &str = "/";

/// Largest acknowledgement id: JavaScript's largest exact integer.
const ID_MAX: u64 = (1 << 53) - 1;

/// Names of events that the two ends raise themselves (Socket.IO 5, "EVENT"): nobody may send them.
pub(super) const RESERVED: [&str; 6] =
    ["connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"];

/// One packet: who it is for, and what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet<'a> {
    /// Begins with `/`.
    pub namespace: &'a str,
    /// What it says.
    pub body: Body<'a>,
}

/// What a packet says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body<'a> {
    /// `0`: enters a namespace, or answers that; the object is JSON text.
    Connect(Option<&'a str>),
    /// `1`: leaves it.
    Disconnect,
    /// `2` and `5`.
    Event(Event<'a>),
    /// `3` and `6`.
    Ack {
        /// Of the event that is acknowledged.
        id: u64,
        /// JSON texts with commas between them.
        arguments: &'a str,
        /// How many binary messages follow.
        attachments: usize,
    },
    /// `4`: a namespace is not to be entered; JSON text.
    ConnectError(&'a str),
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event<'a> {
    /// Its name.
    pub name: String,
    /// JSON texts with commas between them.
    pub arguments: &'a str,
    /// Under which number it wants an acknowledgement, if it does.
    pub id: Option<u64>,
    /// How many binary messages follow.
    pub attachments: usize,
}

impl Body<'_> {
    /// How many binary messages follow.
    #[must_use]
    pub fn attachments(&self) -> usize {
        match self {
            Self::Event(event) => event.attachments,
            Self::Ack { attachments, .. } => *attachments,
            Self::Connect(_) | Self::Disconnect | Self::ConnectError(_) => 0,
        }
    }
}

/// Why text is no packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PacketError {
    /// The first character is no packet type.
    #[error("an unknown packet type")]
    Kind,
    /// The number of attachments is none, or too large.
    #[error("an impossible number of attachments")]
    Attachments,
    /// The namespace's name is too long, or holds control characters.
    #[error("an impossible namespace")]
    Namespace,
    /// The number of the acknowledgement is missing or impossible.
    #[error("an impossible acknowledgement number")]
    Id,
    /// The data is not what this type of packet carries.
    #[error("data that is not what this packet carries")]
    Data,
    /// The event's name is missing, reserved or too long.
    #[error("an impossible event name")]
    Name,
}

/// Reads one packet.
///
/// # Errors
/// See [`PacketError`].
pub fn decode(text: &str) -> Result<Packet<'_>, PacketError> {
    let kind = text.bytes().next().filter(|kind| (b'0'..=b'6').contains(kind)).ok_or(PacketError::Kind)?;
    let rest = text.get(1..).unwrap_or_default();
    let binary = matches!(kind, b'5' | b'6');
    let (attachments, rest) = if binary { attachments(rest)? } else { (0, rest) };
    let (namespace, rest) = namespace(rest)?;
    let (id, data) = id(rest)?;
    if id.is_some() && matches!(kind, b'0' | b'1' | b'4') {
        return Err(PacketError::Id);
    }
    let body = match kind {
        b'0' if data.is_empty() => Body::Connect(None),
        b'0' => Body::Connect(Some(object(data)?)),
        b'1' if data.is_empty() => Body::Disconnect,
        b'4' => Body::ConnectError(if data.starts_with('"') { json(data)? } else { object(data)? }),
        b'2' | b'5' => Body::Event(event(data, id, attachments)?),
        b'3' | b'6' => {
            let inner = array(data, attachments)?.trim();
            let arguments = inner.get(1..inner.len() - 1).unwrap_or_default();
            Body::Ack { id: id.ok_or(PacketError::Id)?, arguments, attachments }
        }
        _ => return Err(PacketError::Data),
    };
    Ok(Packet { namespace, body })
}

fn digits(text: &str) -> (&str, &str) {
    text.split_at(text.bytes().take_while(u8::is_ascii_digit).count())
}

fn attachments(text: &str) -> Result<(usize, &str), PacketError> {
    let (digits, rest) = digits(text);
    let rest = rest.strip_prefix('-').ok_or(PacketError::Attachments)?;
    let count = digits.parse().ok().filter(|count| *count <= SOCKETIO_ATTACHMENTS_MAX);
    Ok((count.ok_or(PacketError::Attachments)?, rest))
}

fn namespace(text: &str) -> Result<(&str, &str), PacketError> {
    if !text.starts_with('/') {
        return Ok((ROOT, text));
    }
    let (name, rest) = text.split_once(',').unwrap_or((text, ""));
    if name.len() > SOCKETIO_NAMESPACE_MAX_BYTES || name.chars().any(char::is_control) {
        return Err(PacketError::Namespace);
    }
    Ok((name, rest))
}

fn id(text: &str) -> Result<(Option<u64>, &str), PacketError> {
    match digits(text) {
        ("", rest) => Ok((None, rest)),
        (digits, rest) => {
            let id = digits.parse().ok().filter(|id| *id <= ID_MAX);
            Ok((Some(id.ok_or(PacketError::Id)?), rest))
        }
    }
}

fn json(text: &str) -> Result<&str, PacketError> {
    if is_json(text.as_bytes(), SOCKETIO_NESTING_MAX) { Ok(text) } else { Err(PacketError::Data) }
}

fn object(text: &str) -> Result<&str, PacketError> {
    if text.starts_with('{') { json(text) } else { Err(PacketError::Data) }
}

fn array(text: &str, attachments: usize) -> Result<&str, PacketError> {
    if !text.starts_with('[') {
        return Err(PacketError::Data);
    }
    let text = json(text)?;
    if attachments > 0 && !json::placeholders_fit(text, attachments) {
        return Err(PacketError::Attachments);
    }
    Ok(text)
}

fn event(data: &str, id: Option<u64>, attachments: usize) -> Result<Event<'_>, PacketError> {
    let (name, arguments) = json::split_first(array(data, attachments)?).ok_or(PacketError::Name)?;
    if name.len() > SOCKETIO_NAME_MAX_BYTES {
        return Err(PacketError::Name);
    }
    let name = match name.bytes().next() {
        Some(b'"') => serde_json::from_str(name).map_err(|_| PacketError::Name)?,
        Some(b'-' | b'0'..=b'9') => name.to_owned(),
        _ => return Err(PacketError::Name),
    };
    if RESERVED.contains(&name.as_str()) {
        return Err(PacketError::Name);
    }
    Ok(Event { name, arguments, id, attachments })
}

// --- writing ---------------------------------------------------------------------------------------------

fn head(out: &mut Vec<u8>, kind: u8, attachments: usize, namespace: &str, id: Option<u64>) {
    out.push(kind);
    if attachments > 0 {
        out.extend_from_slice(format!("{attachments}-").as_bytes());
    }
    if namespace != ROOT {
        out.extend_from_slice(namespace.as_bytes());
        out.push(b',');
    }
    if let Some(id) = id {
        out.extend_from_slice(id.to_string().as_bytes());
    }
}

/// Writes text as a JSON string.
fn string(out: &mut Vec<u8>, text: &str) {
    // A growing vector takes everything, so this does not fail.
    drop(serde_json::to_writer(out, text));
}

/// Writes "you are in": the public id, and the secret for recovery where there is one.
pub fn encode_connected(out: &mut Vec<u8>, namespace: &str, sid: &str, pid: Option<&str>) {
    head(out, b'0', 0, namespace, None);
    out.extend_from_slice(b"{\"sid\":");
    string(out, sid);
    if let Some(pid) = pid {
        out.extend_from_slice(b",\"pid\":");
        string(out, pid);
    }
    out.push(b'}');
}

/// Writes "you are not let in"; `data` is JSON text.
pub fn encode_refused(out: &mut Vec<u8>, namespace: &str, message: &str, data: Option<&str>) {
    head(out, b'4', 0, namespace, None);
    out.extend_from_slice(b"{\"message\":");
    string(out, message);
    if let Some(data) = data {
        out.extend_from_slice(b",\"data\":");
        out.extend_from_slice(data.as_bytes());
    }
    out.push(b'}');
}

/// Writes "you are out".
pub fn encode_disconnect(out: &mut Vec<u8>, namespace: &str) {
    head(out, b'1', 0, namespace, None);
}

/// What an event says, on its way out.
#[derive(Debug, Clone, Copy)]
pub struct Telling<'a> {
    /// Begins with `/`.
    pub namespace: &'a str,
    /// The event's name.
    pub name: &'a str,
    /// JSON texts with commas between them: written as they are.
    pub arguments: &'a [u8],
    /// The place in the sequence, which a client gives back when it asks what it missed: one argument more.
    pub offset: Option<&'a str>,
    /// How many binary messages follow.
    pub attachments: usize,
    /// Under which number it wants an acknowledgement, if it does.
    pub id: Option<u64>,
}

/// Writes an event.
pub fn encode_event(out: &mut Vec<u8>, telling: &Telling<'_>) {
    let kind = if telling.attachments > 0 { b'5' } else { b'2' };
    out.reserve(telling.arguments.len() + telling.name.len() + telling.namespace.len() + 48);
    head(out, kind, telling.attachments, telling.namespace, telling.id);
    out.push(b'[');
    string(out, telling.name);
    if !telling.arguments.is_empty() {
        out.push(b',');
        out.extend_from_slice(telling.arguments);
    }
    if let Some(offset) = telling.offset {
        out.push(b',');
        string(out, offset);
    }
    out.push(b']');
}

/// Writes an acknowledgement; `arguments` are JSON texts with commas between them.
pub fn encode_ack(out: &mut Vec<u8>, namespace: &str, id: u64, arguments: &[u8], attachments: usize) {
    head(out, if attachments > 0 { b'6' } else { b'3' }, attachments, namespace, Some(id));
    out.push(b'[');
    out.extend_from_slice(arguments);
    out.push(b']');
}

#[cfg(test)]
mod tests;
