//! The messages of y-websocket 1 to 3 (`y-protocols`), and the sync messages that Hocuspocus shares with them.
//!
//! Owns framing. Does not know rooms, nor what update bytes mean. A message has no address: the room is in the
//! URL. What follows a complete message is ignored, as `lib0` readers do, so that fields may be added.

use bytes::Bytes;

use super::varint::{Reader, WireError, shared, write_buf, write_str, write_uint};

const SYNC: u64 = 0;
const AWARENESS: u64 = 1;
const AUTH: u64 = 2;
const QUERY_AWARENESS: u64 = 3;

const STEP_1: u64 = 0;
const STEP_2: u64 = 1;
const UPDATE: u64 = 2;

/// A sync message (`y-protocols/sync.js`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SyncMessage {
    /// "This is what I have" (a state vector): the other side answers with step 2.
    Step1(Bytes),
    /// "This is what you lack" (an update).
    Step2(Bytes),
    /// An edit (an update).
    Update(Bytes),
}

impl SyncMessage {
    /// Reads a sync message out of `frame`, sharing its bytes.
    ///
    /// # Errors
    /// See [`WireError`].
    pub fn read(reader: &mut Reader<'_>, frame: &Bytes) -> Result<Self, WireError> {
        let kind = reader.uint()?;
        let body = shared(frame, reader.buf()?);
        match kind {
            STEP_1 => Ok(Self::Step1(body)),
            STEP_2 => Ok(Self::Step2(body)),
            UPDATE => Ok(Self::Update(body)),
            other => Err(WireError::Kind(other)),
        }
    }

    /// Writes it behind what `out` holds.
    pub fn write(&self, out: &mut Vec<u8>) {
        let (kind, body) = match self {
            Self::Step1(body) => (STEP_1, body),
            Self::Step2(body) => (STEP_2, body),
            Self::Update(body) => (UPDATE, body),
        };
        write_uint(out, kind);
        write_buf(out, body);
    }

    /// How many bytes the message carries.
    #[must_use]
    pub fn body_len(&self) -> usize {
        match self {
            Self::Step1(body) | Self::Step2(body) | Self::Update(body) => body.len(),
        }
    }
}

/// A y-websocket message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// Type 0.
    Sync(SyncMessage),
    /// Type 1: the payload is read by [`super::awareness`].
    Awareness(Bytes),
    /// Type 2, from the server only: the reason of a refusal. Clients log it and stay, so close the socket too.
    Denied(String),
    /// Type 3: "tell me everybody's presence".
    QueryAwareness,
}

/// Reads one message, sharing the bytes of `frame`.
///
/// # Errors
/// See [`WireError`].
pub fn decode(frame: &Bytes) -> Result<Message, WireError> {
    let mut reader = Reader::new(frame);
    match reader.uint()? {
        SYNC => Ok(Message::Sync(SyncMessage::read(&mut reader, frame)?)),
        AWARENESS => Ok(Message::Awareness(shared(frame, reader.buf()?))),
        AUTH => match reader.uint()? {
            0 => Ok(Message::Denied(reader.str()?.to_owned())),
            other => Err(WireError::Kind(other)),
        },
        QUERY_AWARENESS => Ok(Message::QueryAwareness),
        other => Err(WireError::Kind(other)),
    }
}

/// Writes one message.
#[must_use]
pub fn encode(message: &Message) -> Bytes {
    let mut out = Vec::new();
    match message {
        Message::Sync(sync) => {
            out.reserve(sync.body_len() + 12);
            write_uint(&mut out, SYNC);
            sync.write(&mut out);
        }
        Message::Awareness(update) => {
            out.reserve(update.len() + 12);
            write_uint(&mut out, AWARENESS);
            write_buf(&mut out, update);
        }
        Message::Denied(reason) => {
            write_uint(&mut out, AUTH);
            write_uint(&mut out, 0);
            write_str(&mut out, reason);
        }
        Message::QueryAwareness => write_uint(&mut out, QUERY_AWARENESS),
    }
    out.into()
}

/// What comes before `update` in a message of sync step 2.
#[must_use]
pub fn encode_head(update: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(12);
    write_uint(&mut out, SYNC);
    write_step_2_head(&mut out, update.len());
    out.into()
}

/// What comes before the bytes of a sync step 2, so many of them.
pub(super) fn write_step_2_head(out: &mut Vec<u8>, len: usize) {
    write_uint(out, STEP_2);
    write_uint(out, len as u64);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_look_as_y_protocols_writes_them() {
        let cases: [(Message, &[u8]); 6] = [
            (Message::Sync(SyncMessage::Step1(Bytes::from_static(&[0]))), &[0, 0, 1, 0]),
            (Message::Sync(SyncMessage::Step2(Bytes::from_static(&[0, 0]))), &[0, 1, 2, 0, 0]),
            (Message::Sync(SyncMessage::Update(Bytes::from_static(&[0, 0]))), &[0, 2, 2, 0, 0]),
            (Message::Awareness(Bytes::from_static(&[0])), &[1, 1, 0]),
            (Message::Denied("no".into()), &[2, 0, 2, b'n', b'o']),
            (Message::QueryAwareness, &[3]),
        ];
        for (message, bytes) in cases {
            assert_eq!(encode(&message), bytes);
            assert_eq!(decode(&Bytes::copy_from_slice(bytes)), Ok(message));
        }
    }

    #[test]
    fn an_answer_may_be_written_in_two_parts() {
        for len in [2, 200, 20_000] {
            let update = Bytes::from(vec![7; len]);
            let whole = encode(&Message::Sync(SyncMessage::Step2(update.clone())));
            assert_eq!([&encode_head(&update)[..], &update].concat(), whole);
        }
    }

    #[test]
    fn broken_messages_are_errors() {
        for bytes in [&[][..], &[0], &[0, 3, 0], &[0, 0, 9], &[1, 0xff, 0xff, 0xff, 0x7f], &[2, 1, 0], &[9]] {
            assert!(decode(&Bytes::copy_from_slice(bytes)).is_err(), "{bytes:?}");
        }
    }
}
