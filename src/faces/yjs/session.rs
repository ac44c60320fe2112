//! The life of one socket, whatever its dialect: one task that listens, speaks, and knows when to end.
//!
//! Owns the turn-taking: inbound frames, the outbox, signs of life, the end of a grant. Does not know what frames say.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Interval, MissedTickBehavior, Sleep, interval, sleep};

use super::socket::{Closing, Heard, Socket};
use crate::auth::Grant;
use crate::clock::Stopwatch;
use crate::config::limits::{
    AUTHENTICATION_DEADLINE, IDLE_DEAD, OUTBOX_LAG_MAX, PING_INTERVAL, QUIET_MAX, SOCKET_TICK,
};
use crate::id::PeerId;
use crate::rooms::{Event, Outbox};

/// Frames to be said now, in order.
pub(super) type Say = Vec<Bytes>;

/// The part of a socket that knows its dialect.
pub(super) trait Dialect: Send {
    /// Whether somebody is logged in on this socket.
    fn admitted(&self) -> bool;

    /// A binary message came in; waits while a room's mailbox is full, and nobody reads the socket meanwhile.
    fn heard(&mut self, frame: Bytes, say: &mut Say) -> impl Future<Output = Result<(), Closing>> + Send;

    /// Whether a sign of life should be asked for now: what the client said together with its last message comes
    /// before the sign.
    fn asks_for_sign(&mut self) -> bool {
        false
    }

    /// A sign of life came in.
    fn heard_sign(&mut self) -> impl Future<Output = ()> + Send {
        std::future::ready(())
    }

    /// A text message came in.
    fn heard_text(&mut self) -> Result<(), Closing>;

    /// A room said something to one of this socket's peers.
    fn told(&mut self, peer: PeerId, event: Event, say: &mut Say) -> Result<(), Closing>;

    /// Everything said so far is on the wire.
    fn drained(&mut self) -> impl Future<Output = ()> + Send;

    /// The smallest frame that a client takes as a sign of life, if it would understand one now.
    fn sign_of_life(&self) -> Option<Bytes>;

    /// The grants of peers that came since the last call.
    fn newcomers(&mut self) -> Vec<(PeerId, Grant)>;

    /// Whether a peer is still here.
    fn has(&self, peer: PeerId) -> bool;

    /// How this dialect says a closing, where its clients take a code differently.
    fn closing(closing: Closing) -> Closing {
        closing
    }
}

/// Talks until one side closes. The peers leave their rooms before the goodbyes, so that nobody sees a ghost.
pub(super) async fn talk<D: Dialect>(socket: Socket, dialect: D, outbox: Outbox) {
    let mut session = Session::new(socket, dialect, outbox);
    let closing = D::closing(session.run().await);
    let Session { socket, dialect, outbox, .. } = session;
    drop(dialect);
    drop(outbox);
    if let Closing::Code(code, reason) = closing {
        tracing::debug!(code, reason, "closing a socket");
    }
    socket.close(closing).await;
}

struct Session<D> {
    socket: Socket,
    dialect: D,
    outbox: Outbox,
    tick: Interval,
    pinged: Stopwatch,
    /// Gone once somebody is logged in. Traffic does not move it.
    deadline: Option<Pin<Box<Sleep>>>,
}

/// What a turn begins with.
enum Turn {
    Heard(Result<Heard, Closing>),
    Told(Vec<(PeerId, Event)>),
    Tick,
    TooLate,
}

type Ending = (PeerId, Pin<Box<dyn Future<Output = ()> + Send>>);

impl<D: Dialect> Session<D> {
    fn new(socket: Socket, dialect: D, outbox: Outbox) -> Self {
        let mut tick = interval(SOCKET_TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let deadline = Some(Box::pin(sleep(AUTHENTICATION_DEADLINE)));
        Self { socket, dialect, outbox, tick, pinged: Stopwatch::start(), deadline }
    }

    /// Turn after turn, as long as every grant holds. The end of a grant interrupts whatever the socket waits for.
    async fn run(&mut self) -> Closing {
        let mut endings: Vec<Ending> = Vec::new();
        loop {
            self.watch(&mut endings);
            let revoked =
                poll_fn(|cx| match endings.iter_mut().any(|(_, ended)| ended.as_mut().poll(cx).is_ready()) {
                    true => Poll::Ready(()),
                    false => Poll::Pending,
                });
            let turned = tokio::select! {
                biased;
                () = revoked => Err(Closing::UNAUTHORIZED),
                turned = self.turn() => turned,
            };
            if let Err(closing) = turned {
                return closing;
            }
        }
    }

    /// Keeps `endings` to the grants of the peers that are here.
    fn watch(&mut self, endings: &mut Vec<Ending>) {
        endings.retain(|(peer, _)| self.dialect.has(*peer));
        for (peer, grant) in self.dialect.newcomers() {
            endings.push((peer, Box::pin(async move { grant.ended().await })));
        }
        if self.deadline.is_some() && self.dialect.admitted() {
            self.deadline = None;
            self.socket.trust();
        }
    }

    async fn turn(&mut self) -> Result<(), Closing> {
        let mut say = Say::new();
        match self.wait().await {
            Turn::Heard(heard) => {
                match heard? {
                    Heard::Frame(frame) => self.dialect.heard(frame, &mut say).await?,
                    Heard::Text => self.dialect.heard_text()?,
                    Heard::Sign => self.dialect.heard_sign().await,
                }
                self.say(&mut say).await?;
                if self.dialect.asks_for_sign() {
                    self.socket.ping().await?;
                }
            }
            Turn::Told(events) => {
                for (peer, event) in events {
                    self.dialect.told(peer, event, &mut say)?;
                    self.say(&mut say).await?;
                }
            }
            Turn::Tick => self.look_after().await?,
            Turn::TooLate => return Err(Closing::TIMEOUT),
        }
        self.socket.flush().await?;
        self.dialect.drained().await;
        Ok(())
    }

    async fn wait(&mut self) -> Turn {
        let deadline = self.deadline.as_mut();
        let too_late = async move {
            match deadline {
                Some(deadline) => deadline.as_mut().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            heard = self.socket.next() => Turn::Heard(heard),
            events = self.outbox.take() => Turn::Told(events),
            _ = self.tick.tick() => Turn::Tick,
            () = too_late => Turn::TooLate,
        }
    }

    async fn say(&mut self, say: &mut Say) -> Result<(), Closing> {
        for frame in say.drain(..) {
            self.socket.feed(frame).await?;
            if self.outbox.lagging_for().is_some_and(|behind| behind > OUTBOX_LAG_MAX) {
                return Err(Closing::TIMEOUT);
            }
        }
        Ok(())
    }

    async fn look_after(&mut self) -> Result<(), Closing> {
        if self.socket.silent_for() >= IDLE_DEAD {
            return Err(Closing::TIMEOUT);
        }
        if due(self.pinged.elapsed(), PING_INTERVAL) {
            self.pinged = Stopwatch::start();
            self.socket.ping().await?;
        }
        if due(self.socket.quiet_for(), QUIET_MAX)
            && let Some(frame) = self.dialect.sign_of_life()
        {
            self.socket.feed(frame).await?;
        }
        Ok(())
    }
}

/// Whether something that is done every `interval` is done at this tick rather than at the next.
fn due(since: Duration, interval: Duration) -> bool {
    since + SOCKET_TICK / 2 >= interval
}
