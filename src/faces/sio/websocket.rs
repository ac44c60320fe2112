//! A session on a WebSocket: what is written, what is read, and moving over from polling.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::time::timeout;

use super::Reason;
use super::session::{Session, Transport};
use crate::config::limits::ENGINE_UPGRADE_DEADLINE;
use crate::faces::Caller;
use crate::faces::line::{Fault, Heard, Line, Voice, text_frame};
use crate::rooms::space::{MemberId, Mouth, SpaceEvent};
use crate::wire::engineio::{Packet, decode};

/// What a message of the client leads to, while it goes on.
type Handling = Pin<Box<dyn Future<Output = Result<(), Reason>> + Send>>;

impl From<Fault> for Reason {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Closed => Self::Closed,
            Fault::TooLarge | Fault::Exhausted => Self::TooLarge,
            Fault::Garbled | Fault::Malformed => Self::Malformed,
            Fault::Stuck => Self::Slow,
        }
    }
}

impl Reason {
    /// What is said to the other side.
    pub(super) fn words(self) -> Option<(u16, &'static str)> {
        Some((self.close_code(), self.word()))
    }
}

/// Carries a session from its beginning.
pub(super) fn open(session: Arc<Session>, line: Line, caller: Caller) -> impl Future<Output = ()> + Send {
    // In one place: what a future is given and what it makes of it are two.
    let mut carrier =
        Box::new(Carrier { session, line, caller, known: false, handling: None, listened: false });
    async move {
        carrier.session.speak_through(carrier.line.voice());
        // What waits goes first: the handshake's answer goes with it.
        let reason = match carrier.pass_on().await {
            Ok(()) => carrier.carry().await,
            Err(reason) => reason,
        };
        carrier.handling = None;
        carrier.session.close(reason);
        let reason = carrier.session.over().unwrap_or(reason);
        carrier.line.close(reason.words()).await;
    }
}

/// Shows that the WebSocket works, and takes a polling session over.
pub(super) async fn upgrade(session: Arc<Session>, mut line: Line, caller: Caller) {
    if session.transport() == Transport::WebSocket {
        // There is one already, and there is no more than one.
        return line.close(Reason::Closed.words()).await;
    }
    let mut began = false;
    let probed = timeout(ENGINE_UPGRADE_DEADLINE, probe(&session, &mut line, &mut began)).await;
    if matches!(probed, Ok(Ok(()))) && session.upgrade() {
        return open(session, line, caller).await;
    }
    // Another WebSocket's probe goes on.
    if began {
        session.end_probe();
    }
    line.close(Reason::Closed.words()).await;
}

async fn probe(session: &Session, line: &mut Line, began: &mut bool) -> Result<(), Reason> {
    listen(session, line, &Packet::Ping("probe")).await?;
    *began = session.begin_probe();
    if !*began {
        return Err(Reason::Closed);
    }
    line.write(&[Bytes::from(text_frame(b"3probe"))]).await?;
    listen(session, line, &Packet::Upgrade).await
}

/// Waits for one packet, and takes no other.
async fn listen(session: &Session, line: &mut Line, wanted: &Packet<'static>) -> Result<(), Reason> {
    loop {
        let heard = tokio::select! {
            heard = line.next() => heard?,
            () = session.ended() => return Err(Reason::Closed),
        };
        return match heard {
            Heard::Text(text) if decode(text.as_str()).as_ref() == Ok(wanted) => Ok(()),
            Heard::Text(_) | Heard::Binary(_) => Err(Reason::Malformed),
            Heard::Sign => continue,
        };
    }
}

/// A session and what carries it.
struct Carrier {
    session: Arc<Session>,
    line: Line,
    caller: Caller,
    /// The door was told that somebody came in.
    known: bool,
    handling: Option<Handling>,
    /// The last turn was the client's: now it is the session's, if that has something to say.
    listened: bool,
}

/// Who has something to say.
enum Turn {
    /// The client.
    Heard(Heard),
    /// What it said before was looked after.
    Handled,
    /// The session.
    Told,
}

impl Carrier {
    /// Carries the session until it is over; why.
    async fn carry(&mut self) -> Reason {
        loop {
            if !self.known && self.session.introduce(&self.caller) {
                self.known = true;
                self.line.trust();
            }
            let turned = match poll_fn(|cx| self.poll_turn(cx)).await {
                Ok(Turn::Heard(heard)) => {
                    self.handling = Some(handle(&self.session, heard));
                    Ok(())
                }
                Ok(Turn::Handled) => Ok(()),
                Ok(Turn::Told) => self.pass_on().await,
                Err(reason) => Err(reason),
            };
            if let Err(reason) = turned {
                return reason;
            }
        }
    }

    /// Whose turn it is. Whoever talks without end does not keep the other from its turn.
    fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<Result<Turn, Reason>> {
        self.line.go_on(cx);
        let listened = std::mem::take(&mut self.listened);
        if !listened && let Poll::Ready(turn) = self.poll_client(cx) {
            return Poll::Ready(turn);
        }
        if self.session.poll_ready(cx, Transport::WebSocket).is_ready() {
            return Poll::Ready(Ok(Turn::Told));
        }
        if listened { self.poll_client(cx) } else { Poll::Pending }
    }

    /// The client is heard when what it said before was looked after, and when it takes what is said to it.
    fn poll_client(&mut self, cx: &mut Context<'_>) -> Poll<Result<Turn, Reason>> {
        let turn = if let Some(handling) = &mut self.handling {
            std::task::ready!(handling.as_mut().poll(cx))?;
            self.handling = None;
            Turn::Handled
        } else if self.session.is_full() {
            return Poll::Pending; // what is full has something to say, and that is looked at again afterwards
        } else {
            Turn::Heard(std::task::ready!(self.line.poll_next(cx))?)
        };
        self.listened = true;
        Poll::Ready(Ok(turn))
    }

    /// Says what waits, with one call to the system in most cases. Nobody overtakes it.
    async fn pass_on(&mut self) -> Result<(), Reason> {
        self.line.hold(true);
        let frames = self.session.take_now()?;
        if !frames.is_empty() {
            tokio::select! {
                biased;
                written = self.line.write(&frames) => written?,
                () = self.session.ended() => return Err(Reason::Closed),
            };
        }
        self.line.hold(false);
        Ok(())
    }
}

fn handle(session: &Arc<Session>, heard: Heard) -> Handling {
    let session = session.clone();
    match heard {
        Heard::Text(text) => Box::pin(async move { session.hear(decode(text.as_str())).await }),
        Heard::Binary(bytes) => Box::pin(async move { session.hear(Ok(Packet::Binary(bytes))).await }),
        // It says nothing, and counts like everything that is said.
        Heard::Sign => Box::pin(async move { session.hear(Ok(Packet::Noop)).await }),
    }
}

impl Session {
    /// A WebSocket carries the session: what spaces say goes there at once, when nothing else waits.
    pub(super) fn speak_through(self: &Arc<Self>, voice: Voice) {
        self.out().voice = Some(voice);
        let session: Weak<Self> = Arc::downgrade(self);
        self.outbox.speak_through(session);
    }
}

impl Mouth for Session {
    fn say(&self, member: MemberId, event: &SpaceEvent) -> bool {
        let said = self.out().say_now(member, event);
        if said {
            self.floor.metrics.messages_out.inc();
        }
        said
    }
}
