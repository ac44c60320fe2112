//! What a dialect of Socket.IO is: who may come in, and what is done with what clients say.
//!
//! Owns the seam between the transport and the faces that stand on it. A dialect decides and translates; who hears what
//! is the space's.

use std::any::Any;
use std::borrow::Cow;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use axum::http::{HeaderMap, Uri, header};
use bytes::Bytes;
use serde::de::DeserializeOwned;

use super::query;
use super::session::Session;
use super::talk;
use crate::auth::Grant;
use crate::faces::Caller;
use crate::rooms::space::{MemberId, OldRooms, Room, Since, Space};
use crate::wire::socketio::{Telling, encode_ack, encode_event};

/// What a dialect answers with, a little later.
pub type Later<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// One system's use of Socket.IO. While one of its functions is at work, nothing more of the same client is read, so
/// each has to end within seconds.
pub trait Dialect: Send + Sync + 'static {
    /// Somebody wants to enter a namespace. `None`: this dialect does not know such clients or such a namespace; the
    /// next one is asked.
    fn connect<'a>(&'a self, hello: Hello<'a>) -> Later<'a, Option<Result<Accepted, Refused>>>;

    /// Somebody came in, and has been told so. `rooms`: those it is in now, also those of a session that it took up
    /// again.
    fn joined<'a>(&'a self, peer: &'a Peer, recovered: bool, rooms: Vec<Room>) -> Later<'a, ()> {
        let _ = (peer, recovered, rooms);
        Box::pin(std::future::ready(()))
    }

    /// A client says something.
    fn event<'a>(&'a self, peer: &'a Peer, said: Said) -> Later<'a, ()>;

    /// Somebody is gone, and out of the space.
    fn gone<'a>(&'a self, peer: &'a Peer, reason: Reason) -> Later<'a, ()>;
}

/// Who wants to enter a namespace, and what they brought.
pub struct Hello<'a> {
    /// The namespace.
    pub namespace: &'a str,
    /// What came with the first request of the session.
    pub request: &'a Arrival,
    /// The auth object as JSON text; `{}` when there is none.
    pub auth: &'a str,
    /// The session that the client wants to take up again.
    pub since: Option<&'a Since>,
}

impl Hello<'_> {
    /// A text in the auth object.
    #[must_use]
    pub fn auth_text(&self, key: &str) -> Option<String> {
        let mut auth: serde_json::Map<String, serde_json::Value> = serde_json::from_str(self.auth).ok()?;
        match auth.remove(key)? {
            serde_json::Value::String(text) => Some(text),
            _ => None,
        }
    }
}

/// What came with the first request of an Engine.IO session. Holds secrets: never logged.
pub struct Arrival {
    /// The real address of the other end.
    pub address: IpAddr,
    /// Whether the other end is on this very computer.
    pub local: bool,
    /// The grant behind the request's cookie or bearer header, if it brought one of ours.
    pub grant: Option<Grant>,
    /// The credential of an `Authorization: Bearer` header.
    pub bearer: Option<Box<str>>,
    /// What the client calls itself.
    pub user_agent: Option<Box<str>>,
    query: Box<str>,
}

impl Arrival {
    pub(super) fn new(caller: &Caller, uri: &Uri, headers: &HeaderMap) -> Self {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let bearer = text(header::AUTHORIZATION).and_then(|value| {
            let (scheme, token) = value.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().into())
        });
        Self {
            address: caller.address,
            local: caller.local,
            grant: caller.grant.clone(),
            bearer,
            user_agent: text(header::USER_AGENT).map(Into::into),
            query: uri.query().unwrap_or_default().into(),
        }
    }

    /// The first value of this name in the request's query.
    #[must_use]
    pub fn query(&self, name: &str) -> Option<Cow<'_, str>> {
        query::value(&self.query, name)
    }
}

/// Somebody may come in.
pub struct Accepted {
    /// Where to.
    pub space: Space,
    /// The rooms that the credentials give now.
    pub rooms: Vec<Room>,
    /// Whose connection it is, if that is known.
    pub person: Option<Arc<str>>,
    /// Whether the credentials say who it is. Who is nobody in particular gives way when there are too many.
    pub known: bool,
    /// Whether the session may be taken up again after the connection was lost.
    pub recover: bool,
    /// Which other rooms of an old session stay.
    pub old_rooms: OldRooms,
    /// What the dialect wants to find again in [`Peer::state`].
    pub state: Arc<dyn Any + Send + Sync>,
}

/// Somebody may not come in; the client does not try again by itself.
#[derive(Debug, Clone)]
pub struct Refused {
    /// What `connect_error` says.
    pub message: String,
    /// Its `data`, as JSON text.
    pub data: Option<String>,
}

impl Refused {
    /// A refusal with nothing but words.
    #[must_use]
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), data: None }
    }
}

/// An event that a client sent.
pub struct Said {
    /// Its name.
    pub name: String,
    /// What came with it.
    pub arguments: Arguments,
    /// How to acknowledge it, if the client wants that.
    pub ack: Option<Ack>,
}

/// Arguments: JSON texts with commas between them, and the binary parts that they refer to.
#[derive(Debug, Clone, Default)]
pub struct Arguments {
    /// The text.
    pub text: Bytes,
    /// The binary parts.
    pub attachments: Vec<Bytes>,
}

impl Arguments {
    /// One value as the only argument.
    #[must_use]
    pub fn of(value: &serde_json::Value) -> Self {
        Self { text: value.to_string().into(), attachments: Vec::new() }
    }

    /// The arguments as a tuple, a list or an array; `None` when they are something else.
    #[must_use]
    pub fn read<T: DeserializeOwned>(&self) -> Option<T> {
        serde_json::from_slice(&[b"[", &self.text[..], b"]"].concat()).ok()
    }

    /// The first argument, whatever follows it; `None` when it is not there or not of this kind.
    #[must_use]
    pub fn first<T: DeserializeOwned>(&self) -> Option<T> {
        serde_json::Deserializer::from_slice(&self.text).into_iter::<T>().next()?.ok()
    }
}

/// The way back for an acknowledgement; it is used once.
pub struct Ack {
    pub(super) peer: Peer,
    pub(super) id: u64,
}

impl Ack {
    /// Acknowledges.
    pub fn send(self, arguments: &Arguments) {
        let Some(session) = self.peer.session() else { return };
        session.say(&arguments.attachments, |out| {
            encode_ack(out, self.peer.namespace(), self.id, &arguments.text, arguments.attachments.len());
        });
    }
}

/// One client in one namespace; cheap to clone. It does not keep the connection.
#[derive(Clone)]
pub struct Peer(pub(super) Arc<PeerParts>);

pub(super) struct PeerParts {
    pub(super) member: MemberId,
    pub(super) sid: Arc<str>,
    pub(super) namespace: Arc<str>,
    pub(super) state: Arc<dyn Any + Send + Sync>,
    pub(super) session: Weak<Session>,
    /// It was sent out, and is told nothing more.
    pub(super) out: AtomicBool,
}

impl Peer {
    /// Who it is in the space.
    #[must_use]
    pub fn member(&self) -> MemberId {
        self.0.member
    }

    /// Its public id.
    #[must_use]
    pub fn sid(&self) -> &Arc<str> {
        &self.0.sid
    }

    /// Its namespace.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.0.namespace
    }

    /// What the dialect gave with [`Accepted`].
    #[must_use]
    pub fn state<T: Any + Send + Sync>(&self) -> Option<&T> {
        self.0.state.downcast_ref()
    }

    /// Says something to this client only. It passes: who is away does not hear it later. The last argument has to be
    /// there and be no text: a client that can take its session up again would take that text, or the name, for an
    /// offset.
    pub fn emit(&self, name: &str, arguments: &Arguments) {
        let Some(session) = self.session() else { return };
        session.say(&arguments.attachments, |out| {
            encode_event(
                out,
                &Telling {
                    namespace: self.namespace(),
                    name,
                    arguments: &arguments.text,
                    offset: None,
                    attachments: arguments.attachments.len(),
                    id: None,
                },
            );
        });
    }

    /// Sends the client out of the namespace. It does not come back by itself, and its session is forgotten.
    pub fn disconnect(&self) {
        if let Some(session) = self.session() {
            talk::send_out(session, self);
        }
    }

    /// Ends the connection below, with what was said before as its last word; nothing more is heard of the client. It
    /// comes back by itself, and takes its session up again.
    pub fn reconnect(&self) {
        if let Some(session) = self.session() {
            session.finish(Reason::Reconnect);
        }
    }

    pub(super) fn is_out(&self) -> bool {
        self.0.out.load(Ordering::Relaxed)
    }

    fn session(&self) -> Option<Arc<Session>> {
        if self.is_out() { None } else { self.0.session.upgrade() }
    }
}

/// Why somebody is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The client left the namespace.
    Left,
    /// The dialect sent it out.
    SentOut,
    /// The client closed the connection, or the line broke.
    Closed,
    /// The client gave no sign of life.
    PingTimeout,
    /// The client sent what the protocol forbids.
    Malformed,
    /// Two requests of one kind came at once: somebody else has the session's id, or a proxy repeats what it carries.
    Overlap,
    /// The client sent more than is taken at once.
    TooLarge,
    /// The client did not enter any namespace in time.
    Late,
    /// The client announced binary data that did not come.
    Unfinished,
    /// The client did not stop to say more than is heard.
    Flood,
    /// The client was too slow for its bound.
    Slow,
    /// The same session was taken up on another connection.
    TakenOver,
    /// The dialect wants it to come back.
    Reconnect,
    /// The server is stopping, or the space starts again.
    Stopping,
    /// There is no place for it.
    Full,
}

impl Reason {
    /// The word it is counted and logged by.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Left => "left",
            Self::SentOut => "sent_out",
            Self::Closed => "closed",
            Self::PingTimeout => "ping_timeout",
            Self::Malformed => "malformed_packet",
            Self::Overlap => "requests_overlap",
            Self::TooLarge => "message_too_large",
            Self::Late => "connect_timeout",
            Self::Unfinished => "attachments_missing",
            Self::Flood => "packet_flood",
            Self::Slow => "outbox_overflow",
            Self::TakenOver => "taken_over",
            Self::Reconnect => "reconnect",
            Self::Stopping => "stopping",
            Self::Full => "channels_full",
        }
    }

    /// Whether the session may be taken up again.
    #[must_use]
    pub fn is_recoverable(self) -> bool {
        !matches!(self, Self::Left | Self::SentOut | Self::Malformed)
    }

    /// The code of the WebSocket's close frame (RFC 6455, 7.4.1).
    pub(super) fn close_code(self) -> u16 {
        match self {
            Self::Left | Self::SentOut | Self::Closed => 1000,
            Self::Malformed => 1002,
            Self::TooLarge => 1009,
            Self::Overlap
            | Self::PingTimeout
            | Self::Late
            | Self::Unfinished
            | Self::Flood
            | Self::TakenOver => 1008,
            Self::Slow | Self::Full => 1013,
            Self::Reconnect | Self::Stopping => 1012,
        }
    }
}
