//! What Node's Socket.IO servers and its Redis emitter publish: an event for rooms, as MessagePack.
//!
//! Owns the form: on the channel `socket.io#<namespace>#`, or `socket.io#<namespace>#<room>#` for exactly one room,
//! an array of the sender's id, the packet and `{rooms, except, flags}` (socket.io-redis-emitter; MessagePack by its
//! public specification). Everything is bounded; what is not understood is an error, never a guess. Does not know who
//! is in which room.

mod msgpack;

use bytes::Bytes;

use self::msgpack::{Kind, Reader};
use super::socketio::RESERVED;
use crate::config::limits::{EMITTER_ROOMS_MAX, SOCKETIO_NAME_MAX_BYTES, SOCKETIO_NAMESPACE_MAX_BYTES};

/// What all channels begin with whose messages are read here.
pub const PREFIX: &str = "socket.io#";

/// Socket.IO 5: an event, and an event with binary parts.
const EVENT: u64 = 2;
const BINARY_EVENT: u64 = 5;

/// An event for rooms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Emitted {
    /// Begins with `/`.
    pub namespace: String,
    /// For whoever is in any of them; none: for everybody.
    pub rooms: Vec<String>,
    /// Not for whoever is in any of these.
    pub except: Vec<String>,
    /// May be lost on the way to who is away.
    pub volatile: bool,
    /// The event's name.
    pub name: String,
    /// Its arguments as JSON texts with commas between them; binary parts as numbered placeholders.
    pub arguments: String,
    /// The binary parts.
    pub attachments: Vec<Bytes>,
}

/// Why a message was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EmitterError {
    /// The channel is another one.
    #[error("not a channel of events")]
    Channel,
    /// Bytes are missing, left over, or not MessagePack.
    #[error("not well-formed")]
    Malformed,
    /// Well-formed, but nothing that an emitter says.
    #[error("not an event for rooms")]
    Unknown,
    /// Too deep, too long, or too many.
    #[error("over a bound")]
    TooLarge,
    /// A name that nobody may send.
    #[error("a reserved name")]
    Reserved,
}

impl EmitterError {
    /// A fixed word to count by.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::Channel => "emitter_channel",
            Self::Malformed => "emitter_malformed",
            Self::Unknown => "emitter_unknown",
            Self::TooLarge => "emitter_too_large",
            Self::Reserved => "emitter_reserved",
        }
    }
}

/// Reads one message.
///
/// # Errors
/// See [`EmitterError`].
pub fn decode(channel: &str, body: &Bytes) -> Result<Emitted, EmitterError> {
    let (said_namespace, said_room) = of_channel(channel).ok_or(EmitterError::Channel)?;
    let mut reader = Reader::new(body);
    if reader.array()? != 3 {
        return Err(EmitterError::Unknown);
    }
    reader.skip()?; // who sent it: an emitter, or a server
    let mut emitted = packet(&mut reader)?;
    options(&mut reader, &mut emitted)?;
    reader.end()?;
    if emitted.namespace != said_namespace {
        return Err(EmitterError::Channel);
    }
    // A channel for one room says so twice; a server that listened for that room only would go by the channel.
    if said_room.is_some_and(|room| emitted.rooms != [room]) {
        return Err(EmitterError::Channel);
    }
    Ok(emitted)
}

/// The namespace and the room that a channel names.
fn of_channel(channel: &str) -> Option<(&str, Option<&str>)> {
    let rest = channel.strip_prefix(PREFIX)?.strip_suffix('#')?;
    let (namespace, room) = rest.split_once('#').map_or((rest, None), |(name, room)| (name, Some(room)));
    namespace.starts_with('/').then_some((namespace, room))
}

/// `{type, data: [name, ...arguments], nsp}`, in any order.
fn packet(reader: &mut Reader<'_>) -> Result<Emitted, EmitterError> {
    let (mut event, mut said, mut namespace) = (false, None, "/".to_owned());
    for _ in 0..reader.map()? {
        match reader.text()? {
            "type" => {
                let kind = reader.unsigned()?;
                event = matches!(kind, EVENT | BINARY_EVENT);
            }
            "data" => said = Some(data(reader)?),
            "nsp" => namespace = reader.text()?.to_owned(),
            _ => reader.skip()?,
        }
    }
    let (true, Some((name, arguments, attachments))) = (event, said) else {
        return Err(EmitterError::Unknown);
    };
    if namespace.len() > SOCKETIO_NAMESPACE_MAX_BYTES {
        return Err(EmitterError::TooLarge);
    }
    let (rooms, except, volatile) = (Vec::new(), Vec::new(), false);
    Ok(Emitted { namespace, rooms, except, volatile, name, arguments, attachments })
}

type Data = (String, String, Vec<Bytes>);

fn data(reader: &mut Reader<'_>) -> Result<Data, EmitterError> {
    let count = reader.array()?;
    if count == 0 || reader.peek()? != Kind::Text {
        return Err(EmitterError::Unknown);
    }
    let name = reader.text()?;
    if name.len() > SOCKETIO_NAME_MAX_BYTES {
        return Err(EmitterError::TooLarge);
    }
    if RESERVED.contains(&name) {
        return Err(EmitterError::Reserved);
    }
    let (mut arguments, mut attachments) = (String::new(), Vec::new());
    for index in 1..count {
        if index > 1 {
            arguments.push(',');
        }
        reader.json(&mut arguments, &mut attachments)?;
    }
    Ok((name.to_owned(), arguments, attachments))
}

/// `{rooms, except, flags}`, in any order.
fn options(reader: &mut Reader<'_>, emitted: &mut Emitted) -> Result<(), EmitterError> {
    for _ in 0..reader.map()? {
        match reader.text()? {
            "rooms" => emitted.rooms = names(reader)?,
            "except" => emitted.except = names(reader)?,
            "flags" if reader.peek()? == Kind::Map => {
                for _ in 0..reader.map()? {
                    match reader.text()? {
                        "volatile" => emitted.volatile = reader.truth()?,
                        _ => reader.skip()?,
                    }
                }
            }
            _ => reader.skip()?,
        }
    }
    Ok(())
}

fn names(reader: &mut Reader<'_>) -> Result<Vec<String>, EmitterError> {
    if reader.peek()? == Kind::Nil {
        reader.skip()?;
        return Ok(Vec::new());
    }
    let count = reader.array()?;
    if count > EMITTER_ROOMS_MAX {
        return Err(EmitterError::TooLarge);
    }
    let mut names = Vec::new();
    for _ in 0..count {
        let name = reader.text()?;
        if name.len() > SOCKETIO_NAME_MAX_BYTES {
            return Err(EmitterError::TooLarge);
        }
        names.push(name.to_owned());
    }
    Ok(names)
}

#[cfg(test)]
mod tests;
