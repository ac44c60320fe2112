//! The frames of Hocuspocus, as its providers 2, 3 and 4 speak it.
//!
//! Owns framing. Does not know rooms, rights, nor what update bytes mean. A frame carries the address of its
//! document, so one socket serves many; since version 4 an address may end in `NUL session` ("session awareness").
//! Type 2 differs from y-websocket's: here 0 is a token, 1 a refusal, 2 an admission. What follows a complete
//! frame is ignored, since versions append fields (the token message did).

use std::fmt;

use bytes::Bytes;

use super::varint::{Reader, WireError, shared, write_buf, write_str, write_uint};
use super::ysync::{self, SyncMessage};

const SYNC: u64 = 0;
const AWARENESS: u64 = 1;
const AUTH: u64 = 2;
const QUERY_AWARENESS: u64 = 3;
const SYNC_REPLY: u64 = 4;
const STATELESS: u64 = 5;
const BROADCAST_STATELESS: u64 = 6;
const CLOSE: u64 = 7;
const SYNC_STATUS: u64 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

const AUTH_TOKEN: u64 = 0;
const AUTH_DENIED: u64 = 1;
const AUTH_DONE: u64 = 2;

/// What arrives on a Hocuspocus socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Packet {
    /// The single byte 9: provider 4 answers it, providers 2 and 3 break on it.
    Ping,
    /// The single byte 10.
    Pong,
    /// A frame with an address.
    Frame(Frame),
}

/// A message for one document on the socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Whose it is.
    pub address: Address,
    /// What it says.
    pub body: Body,
}

/// The address of a document connection, kept exactly as the client wrote it: every answer must carry the same.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Address(Bytes);

impl Address {
    /// An address made on this side.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(Bytes::copy_from_slice(text.as_bytes()))
    }

    /// The whole address as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default() // checked when it was made
    }

    /// The document's name: what stands before the first NUL.
    #[must_use]
    pub fn document(&self) -> &str {
        self.as_str().split('\0').next().unwrap_or_default()
    }

    /// The session behind the NUL, if the client uses session awareness.
    #[must_use]
    pub fn session(&self) -> Option<&str> {
        self.as_str().split_once('\0').map(|(_, session)| session)
    }
}

/// A token as a client sent it; its text never reaches a log.
#[derive(Clone, PartialEq, Eq)]
pub struct SentToken(String);

impl SentToken {
    /// Wraps a token.
    #[must_use]
    pub fn new(token: String) -> Self {
        Self(token)
    }

    /// The token itself.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SentToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "SentToken(empty)" } else { "SentToken(…)" })
    }
}

/// What a frame says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// Type 0.
    Sync(SyncMessage),
    /// Type 4: as [`Body::Sync`], "do not answer with another step 1". Between servers only.
    SyncReply(SyncMessage),
    /// Type 1: the payload is read by [`super::awareness`].
    Awareness(Bytes),
    /// Type 2, 0 from a client: its token (empty when it has none), since provider 4 also its version.
    Token {
        /// The token.
        token: SentToken,
        /// The provider's version.
        version: Option<String>,
    },
    /// Type 2, 0 from the server, without more: "send your token again".
    AskToken,
    /// Type 2, 1: refused, and why.
    Denied(String),
    /// Type 2, 2: let in.
    Authenticated {
        /// Whether edits will be refused.
        read_only: bool,
    },
    /// Type 3: "tell me everybody's presence".
    QueryAwareness,
    /// Type 5: text of the application.
    Stateless(Bytes),
    /// Type 6: between servers only; from a client it is an attack.
    BroadcastStateless(Bytes),
    /// Type 7: the client leaves the document, or the server's answer with a reason.
    Close(Option<String>),
    /// Type 8: whether one update was saved.
    SyncStatus(bool),
}

/// Reads one packet, sharing the bytes of `frame`.
///
/// # Errors
/// See [`WireError`].
pub fn decode(frame: &Bytes) -> Result<Packet, WireError> {
    match frame[..] {
        [PING] => return Ok(Packet::Ping),
        [PONG] => return Ok(Packet::Pong),
        _ => {}
    }
    let mut reader = Reader::new(frame);
    let address = Address(shared(frame, reader.str()?.as_bytes()));
    let body = read_body(&mut reader, frame)?;
    Ok(Packet::Frame(Frame { address, body }))
}

fn read_body(reader: &mut Reader<'_>, frame: &Bytes) -> Result<Body, WireError> {
    match reader.uint()? {
        SYNC => Ok(Body::Sync(SyncMessage::read(reader, frame)?)),
        SYNC_REPLY => Ok(Body::SyncReply(SyncMessage::read(reader, frame)?)),
        AWARENESS => Ok(Body::Awareness(shared(frame, reader.buf()?))),
        AUTH => read_auth(reader),
        QUERY_AWARENESS => Ok(Body::QueryAwareness),
        STATELESS => Ok(Body::Stateless(shared(frame, reader.str()?.as_bytes()))),
        BROADCAST_STATELESS => Ok(Body::BroadcastStateless(shared(frame, reader.str()?.as_bytes()))),
        CLOSE => Ok(Body::Close(match reader.left() {
            0 => None,
            _ => Some(reader.str()?.to_owned()),
        })),
        SYNC_STATUS => Ok(Body::SyncStatus(reader.uint()? == 1)),
        other => Err(WireError::Kind(other)),
    }
}

fn read_auth(reader: &mut Reader<'_>) -> Result<Body, WireError> {
    match reader.uint()? {
        AUTH_TOKEN if reader.left() == 0 => Ok(Body::AskToken),
        AUTH_TOKEN => {
            let token = SentToken::new(reader.str()?.to_owned());
            let version = if reader.left() == 0 { None } else { Some(reader.str()?.to_owned()) };
            Ok(Body::Token { token, version })
        }
        AUTH_DENIED => Ok(Body::Denied(reader.str()?.to_owned())),
        AUTH_DONE => match reader.str()? {
            "readonly" => Ok(Body::Authenticated { read_only: true }),
            _ => Ok(Body::Authenticated { read_only: false }),
        },
        other => Err(WireError::Kind(other)),
    }
}

impl Body {
    fn size_hint(&self) -> usize {
        16 + match self {
            Self::Sync(sync) | Self::SyncReply(sync) => sync.body_len(),
            Self::Awareness(bytes) | Self::Stateless(bytes) | Self::BroadcastStateless(bytes) => bytes.len(),
            Self::Denied(reason) => reason.len(),
            _ => 0,
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Sync(sync) => {
                write_uint(out, SYNC);
                sync.write(out);
            }
            Self::SyncReply(sync) => {
                write_uint(out, SYNC_REPLY);
                sync.write(out);
            }
            Self::Awareness(update) => write_tagged(out, AWARENESS, update),
            Self::Token { token, version } => {
                write_pair(out, AUTH, AUTH_TOKEN);
                write_str(out, token.reveal());
                if let Some(version) = version {
                    write_str(out, version);
                }
            }
            Self::AskToken => write_pair(out, AUTH, AUTH_TOKEN),
            Self::Denied(reason) => {
                write_pair(out, AUTH, AUTH_DENIED);
                write_str(out, reason);
            }
            Self::Authenticated { read_only } => {
                write_pair(out, AUTH, AUTH_DONE);
                write_str(out, if *read_only { "readonly" } else { "read-write" });
            }
            Self::QueryAwareness => write_uint(out, QUERY_AWARENESS),
            Self::Stateless(text) => write_tagged(out, STATELESS, text),
            Self::BroadcastStateless(text) => write_tagged(out, BROADCAST_STATELESS, text),
            Self::Close(reason) => {
                write_uint(out, CLOSE);
                if let Some(reason) = reason {
                    write_str(out, reason);
                }
            }
            Self::SyncStatus(saved) => write_pair(out, SYNC_STATUS, u64::from(*saved)),
        }
    }
}

fn write_tagged(out: &mut Vec<u8>, kind: u64, body: &[u8]) {
    write_uint(out, kind);
    write_buf(out, body);
}

fn write_pair(out: &mut Vec<u8>, kind: u64, sub: u64) {
    write_uint(out, kind);
    write_uint(out, sub);
}

/// Writes a whole frame.
#[must_use]
pub fn encode(address: &Address, body: &Body) -> Bytes {
    let mut out = Vec::with_capacity(address.0.len() + 5 + body.size_hint());
    write_buf(&mut out, &address.0);
    body.write(&mut out);
    out.into()
}

/// What comes before `update` in the frame of a sync step 2.
#[must_use]
pub fn encode_head(address: &Address, update: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(address.0.len() + 16);
    write_buf(&mut out, &address.0);
    write_uint(&mut out, SYNC);
    ysync::write_step_2_head(&mut out, update.len());
    out.into()
}

/// The single byte that answers a [`Packet::Ping`].
#[must_use]
pub fn pong() -> Bytes {
    Bytes::from_static(&[PONG])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn back_and_forth(body: &Body) -> Body {
        match decode(&encode(&Address::new("record:a\0s1"), body)) {
            Ok(Packet::Frame(frame)) => {
                assert_eq!(frame.address.document(), "record:a");
                assert_eq!(frame.address.session(), Some("s1"));
                frame.body
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_body_comes_back_as_it_was() {
        let token = |version: Option<&str>| Body::Token {
            token: SentToken::new("secret".into()),
            version: version.map(str::to_owned),
        };
        for body in [
            Body::Sync(SyncMessage::Step1(Bytes::from_static(&[0]))),
            Body::SyncReply(SyncMessage::Step2(Bytes::from_static(&[0, 0]))),
            Body::Awareness(Bytes::from_static(&[0])),
            token(None),
            token(Some("4.8.0")),
            Body::AskToken,
            Body::Denied("permission-denied".into()),
            Body::Authenticated { read_only: true },
            Body::Authenticated { read_only: false },
            Body::QueryAwareness,
            Body::Stateless(Bytes::from_static(b"hello")),
            Body::BroadcastStateless(Bytes::from_static(b"hello")),
            Body::Close(None),
            Body::Close(Some("provider_initiated".into())),
            Body::SyncStatus(true),
            Body::SyncStatus(false),
        ] {
            assert_eq!(back_and_forth(&body), body);
        }
    }

    #[test]
    fn an_answer_may_be_written_in_two_parts() {
        for len in [2, 200, 20_000] {
            let (address, update) = (Address::new("record:a"), Bytes::from(vec![7; len]));
            let whole = encode(&address, &Body::Sync(SyncMessage::Step2(update.clone())));
            assert_eq!([&encode_head(&address, &update)[..], &update].concat(), whole);
        }
    }

    #[test]
    fn a_token_message_is_as_providers_write_it() {
        let frame = Bytes::from_static(&[1, b'd', 2, 0, 2, b'o', b'k']);
        let Ok(Packet::Frame(Frame { body: Body::Token { token, version: None }, .. })) = decode(&frame)
        else {
            panic!("not a token");
        };
        assert_eq!(token.reveal(), "ok");
        assert_eq!(format!("{token:?}"), "SentToken(…)", "a token never reaches a log");
    }

    #[test]
    fn broken_frames_are_errors() {
        assert_eq!(decode(&Bytes::from_static(&[9])), Ok(Packet::Ping));
        assert_eq!(decode(&Bytes::from_static(&[10])), Ok(Packet::Pong));
        for bytes in
            [&[][..], &[1], &[1, b'a'], &[1, 0xff, 0], &[1, b'a', 11], &[1, b'a', 2, 3], &[0xff, 0x7f, 0]]
        {
            assert!(decode(&Bytes::copy_from_slice(bytes)).is_err(), "{bytes:?}");
        }
    }
}
