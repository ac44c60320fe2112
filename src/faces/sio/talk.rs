//! The Socket.IO of one session: who came in where, and what its packets mean.
//!
//! Owns the order "in, then heard": nobody's events are looked at before it came in, and a member of a space has left
//! it before the dialect hears that somebody is gone.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;

use super::dialect::{Accepted, Ack, Arguments, Dialect, Hello, Peer, PeerParts, Reason, Refused, Said};
use super::session::Session;
use crate::config::limits::{SOCKETIO_NAMESPACES_MAX, UNAUTHENTICATED_MAX_BYTES};
use crate::rooms::space::{Join, Since, Space};
use crate::wire::socketio::{
    Assembly, Body, Event, Heard, decode, encode_connected, encode_disconnect, encode_refused,
};

/// What is said in one session.
#[derive(Default)]
pub(super) struct Talk {
    assembly: Assembly,
    /// A packet waited for its binary messages already when the client was last asked for a sign of life.
    waited: bool,
    members: Vec<Membership>,
    /// Namespaces that the server sent this client out of: what it says there may still be on its way.
    sent_out: Vec<Arc<str>>,
    /// What was heard before anybody came in, in bytes.
    stranger: usize,
}

struct Membership {
    peer: Peer,
    dialect: Arc<dyn Dialect>,
    space: Space,
}

impl Talk {
    /// Takes a text message.
    pub(super) async fn text(session: &Arc<Session>, text: &str) -> Result<(), Reason> {
        if session.floor.options.echo {
            session.say(&[], |out| out.extend_from_slice(text.as_bytes()));
            return Ok(());
        }
        let mut talk = session.talk.lock().await;
        if session.is_ending() {
            return Ok(());
        }
        talk.see_off(session).await;
        if talk.members.is_empty() {
            talk.stranger += text.len();
            if talk.stranger > UNAUTHENTICATED_MAX_BYTES {
                return Err(Reason::TooLarge);
            }
        }
        let packet = decode(text).map_err(|_| Reason::Malformed)?;
        let here = talk.members.iter().any(|member| member.peer.namespace() == packet.namespace);
        if !here && talk.sent_out.iter().any(|name| **name == *packet.namespace) {
            match packet.body {
                Body::Event(_) | Body::Ack { .. } | Body::Disconnect if packet.body.attachments() == 0 => {
                    return Ok(());
                }
                _ => {}
            }
        }
        match (&packet.body, here) {
            (Body::Connect(_), false) | (Body::Event(_) | Body::Ack { .. } | Body::Disconnect, true) => {}
            _ => return Err(Reason::Malformed),
        }
        match talk.assembly.text(text, &packet).map_err(|_| Reason::Malformed)? {
            Some(heard) => talk.packet(session, &heard).await,
            None => Ok(()),
        }
    }

    /// Takes a binary message.
    pub(super) async fn binary(session: &Arc<Session>, bytes: Bytes) -> Result<(), Reason> {
        if session.floor.options.echo {
            session.say_binary(&bytes);
            return Ok(());
        }
        let mut talk = session.talk.lock().await;
        if session.is_ending() {
            return Ok(());
        }
        talk.waited = false;
        match talk.assembly.binary(bytes).map_err(|_| Reason::Malformed)? {
            Some(heard) => talk.packet(session, &heard).await,
            None => Ok(()),
        }
    }

    /// Whether a packet waits for binary messages that do not come; asked with each sign of life.
    pub(super) fn is_stuck(session: &Session) -> bool {
        // While something is being looked after, something came.
        let Ok(mut talk) = session.talk.try_lock() else { return false };
        let waits = talk.assembly.waits();
        std::mem::replace(&mut talk.waited, waits) && waits
    }

    async fn packet(&mut self, session: &Arc<Session>, heard: &Heard) -> Result<(), Reason> {
        let packet = heard.packet().map_err(|_| Reason::Malformed)?;
        let namespace = packet.namespace;
        match packet.body {
            Body::Connect(auth) => self.connect(session, namespace, auth.unwrap_or("{}")).await,
            Body::Disconnect => {
                if let Some(at) = self.place(namespace) {
                    to_the_end(self.members.swap_remove(at).leave(session, Reason::Left)).await;
                }
                Ok(())
            }
            Body::Event(event) => {
                self.event(namespace, event, &heard.attachments).await;
                Ok(())
            }
            // We ask for no acknowledgements; a late one is nobody's.
            Body::Ack { .. } => Ok(()),
            Body::ConnectError(_) => Err(Reason::Malformed),
        }
    }

    /// Those who were sent out leave.
    async fn see_off(&mut self, session: &Session) {
        while let Some(at) = self.members.iter().position(|member| member.peer.is_out()) {
            let member = self.members.swap_remove(at);
            self.sent_out.push(member.peer.0.namespace.clone());
            to_the_end(member.leave(session, Reason::SentOut)).await;
        }
    }

    fn place(&self, namespace: &str) -> Option<usize> {
        self.members.iter().position(|member| member.peer.namespace() == namespace)
    }

    async fn event(&self, namespace: &str, event: Event<'_>, attachments: &[Bytes]) {
        let Some(member) = self.place(namespace).and_then(|at| self.members.get(at)) else { return };
        let ack = event.id.map(|id| Ack { peer: member.peer.clone(), id });
        let text = Bytes::copy_from_slice(event.arguments.as_bytes());
        let arguments = Arguments { text, attachments: attachments.to_vec() };
        member.dialect.event(&member.peer, Said { name: event.name, arguments, ack }).await;
    }

    async fn connect(&mut self, session: &Arc<Session>, namespace: &str, auth: &str) -> Result<(), Reason> {
        if self.members.len() >= SOCKETIO_NAMESPACES_MAX {
            refuse(session, namespace, &Refused::new("Too many namespaces"));
            return Ok(());
        }
        let since = since(auth);
        for dialect in &session.floor.dialects {
            let hello = Hello { namespace, request: &session.arrival, auth, since: since.as_ref() };
            match dialect.connect(hello).await {
                None => {}
                Some(Err(refused)) => {
                    session.floor.metrics.refuse("channel_connect");
                    refuse(session, namespace, &refused);
                    return Ok(());
                }
                Some(Ok(accepted)) => {
                    return self.join(session, namespace, dialect.clone(), accepted, since).await;
                }
            }
        }
        refuse(session, namespace, &Refused::new("Invalid namespace"));
        Ok(())
    }

    async fn join(
        &mut self,
        session: &Arc<Session>,
        namespace: &str,
        dialect: Arc<dyn Dialect>,
        accepted: Accepted,
        since: Option<Since>,
    ) -> Result<(), Reason> {
        let Accepted { space, rooms, person, known, recover, old_rooms, state } = accepted;
        session.joining(known);
        let outbox = session.outbox.clone();
        let joined = space.join(Join { outbox, person, rooms, since, recover, old_rooms }).await;
        let joined = match joined {
            Ok(joined) => joined,
            Err(error) => {
                session.not_joined();
                tracing::warn!(%error, "nobody can come into a space");
                // Not a refusal: after one a client does not come back by itself.
                return Err(Reason::Full);
            }
        };
        let namespace: Arc<str> = namespace.into();
        let peer = Peer(Arc::new(PeerParts {
            member: joined.member,
            sid: joined.sid,
            namespace: namespace.clone(),
            state,
            session: Arc::downgrade(session),
            out: AtomicBool::new(false),
        }));
        self.sent_out.retain(|name| *name != namespace);
        let told = |out: &mut Vec<u8>| encode_connected(out, &namespace, peer.sid(), joined.pid.as_deref());
        if !session.came_in(joined.member, namespace.clone(), joined.missed, told) {
            space.leave(joined.member, true).await;
            return Err(Reason::Slow);
        }
        self.members.push(Membership { peer: peer.clone(), dialect: dialect.clone(), space });
        dialect.joined(&peer, joined.recovered, joined.rooms).await;
        Ok(())
    }

    /// The session is over: everybody in it is gone.
    pub(super) async fn over(session: &Arc<Session>, reason: Reason) {
        let mut talk = session.talk.lock().await;
        talk.assembly = Assembly::default();
        for member in std::mem::take(&mut talk.members) {
            member.leave(session, reason).await;
        }
    }
}

impl Membership {
    fn leave(self, session: &Session, reason: Reason) -> impl Future<Output = ()> + Send + use<> {
        session.went_out(self.peer.member());
        async move {
            self.space.leave(self.peer.member(), reason.is_recoverable()).await;
            self.dialect.gone(&self.peer, reason).await;
        }
    }
}

/// Sees somebody off whatever becomes of whoever waits for it: what a client's words lead to is let go when its
/// connection ends, and then nobody else would say that a member is gone.
async fn to_the_end(leaving: impl Future<Output = ()> + Send + 'static) {
    if let Err(error) = tokio::spawn(leaving).await {
        tracing::error!(%error, "nobody may have been told that a member is gone");
    }
}

/// Sends a client out of its namespace, as soon as what it said last has been looked after.
pub(super) fn send_out(session: Arc<Session>, peer: &Peer) {
    if peer.0.out.swap(true, Ordering::Relaxed) {
        return;
    }
    session.went_out(peer.member());
    session.say(&[], |out| encode_disconnect(out, peer.namespace()));
    tokio::spawn(async move { session.talk.lock().await.see_off(&session).await });
}

fn refuse(session: &Session, namespace: &str, refused: &Refused) {
    let data = refused.data.as_deref();
    session.say(&[], |out| encode_refused(out, namespace, &refused.message, data));
}

/// The session that the auth object asks to take up again.
fn since(auth: &str) -> Option<Since> {
    let auth: serde_json::Value = serde_json::from_str(auth).ok()?;
    let text = |key: &str| auth.get(key).and_then(|value| value.as_str()).map(str::to_owned);
    Some(Since { pid: text("pid")?, offset: text("offset") })
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::time::Duration;

    use axum::http::{HeaderMap, Uri};
    use tokio::sync::{Notify, Semaphore};
    use tokio::time::timeout;

    use super::super::dialect::{Arrival, Later};
    use super::super::floor::Floor;
    use super::super::session::Transport;
    use super::super::{SioOptions, dialect};
    use super::*;
    use crate::clock::Clock;
    use crate::faces::Caller;
    use crate::rooms::space::{OldRooms, SpaceOptions};
    use crate::telemetry::Metrics;

    /// Takes its time until everybody knows that somebody is gone.
    struct Slow {
        space: Space,
        begins: Notify,
        may_end: Semaphore,
        ended: Notify,
    }

    struct Desk(Arc<Slow>);

    impl Dialect for Desk {
        fn connect<'a>(&'a self, _: Hello<'a>) -> Later<'a, Option<Result<Accepted, Refused>>> {
            let (space, old_rooms) = (self.0.space.clone(), OldRooms::Dropped);
            let state = Arc::new(());
            let accepted = Accepted {
                space,
                rooms: Vec::new(),
                person: None,
                known: true,
                recover: false,
                old_rooms,
                state,
            };
            Box::pin(std::future::ready(Some(Ok(accepted))))
        }

        fn event<'a>(&'a self, _: &'a Peer, _: dialect::Said) -> Later<'a, ()> {
            Box::pin(std::future::ready(()))
        }

        fn gone<'a>(&'a self, _: &'a Peer, _: Reason) -> Later<'a, ()> {
            Box::pin(async move {
                self.0.begins.notify_one();
                drop(self.0.may_end.acquire().await);
                self.0.ended.notify_one();
            })
        }
    }

    #[tokio::test]
    async fn who_leaves_is_gone_for_the_dialect_also_when_the_connection_ends_in_that_moment() {
        let metrics = Metrics::new();
        let open = Space::open("s", None, Clock::real(), metrics.clone(), SpaceOptions::default());
        let (begins, may_end, ended) = (Notify::new(), Semaphore::new(0), Notify::new());
        let slow = Arc::new(Slow { space: open.await.unwrap(), begins, may_end, ended });
        let caller = Caller::new(Ipv4Addr::LOCALHOST.into(), true, None);
        let arrival = Arrival::new(&caller, &Uri::from_static("/"), &HeaderMap::new());
        let floor = Floor::new(vec![Arc::new(Desk(slow.clone()))], SioOptions::default(), metrics);
        let session = floor.open(arrival, Transport::WebSocket).unwrap();
        Talk::text(&session, "0").await.unwrap();
        assert!(session.is_trusted());
        {
            let mut leaving = Box::pin(Talk::text(&session, "1"));
            tokio::select! {
                _ = &mut leaving => panic!("it takes its time"),
                () = slow.begins.notified() => {}
            }
        }
        session.close(Reason::Closed);
        slow.may_end.add_permits(1);
        timeout(Duration::from_secs(5), slow.ended.notified()).await.expect("it is told to the end");
    }

    #[test]
    fn the_old_session_is_in_the_auth_object() {
        let since = |auth| super::since(auth).map(|since| (since.pid, since.offset));
        assert_eq!(
            since("{\"pid\":\"p\",\"offset\":\"o\",\"token\":1}"),
            Some(("p".into(), Some("o".into())))
        );
        assert_eq!(since("{\"pid\":\"p\"}"), Some(("p".into(), None)));
        assert_eq!(since("{\"pid\":1}"), None);
        assert_eq!(since("{}"), None);
    }
}
