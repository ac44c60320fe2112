//! The life of one socket, whatever its dialect: one task that listens, speaks, and knows when to end.
//!
//! Owns the turn-taking: inbound frames, the outbox, signs of life, the end of a grant. Does not know what frames say.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Interval, MissedTickBehavior, Sleep, interval, sleep};

use super::closing::Closing;
use super::say::Say;
use crate::auth::Grant;
use crate::clock::Stopwatch;
use crate::config::limits::{
    AUTHENTICATION_DEADLINE, IDLE_DEAD, OUTBOX_LAG_MAX, PING_INTERVAL, QUIET_MAX, SOCKET_COUNTED_MESSAGES,
    SOCKET_TICK,
};
use crate::faces::line::{Fault, Heard, Line, PING};
use crate::id::PeerId;
use crate::rooms::{Event, Outbox};
use crate::telemetry::Metrics;

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
pub(super) fn talk<D: Dialect>(
    line: Line,
    dialect: D,
    outbox: Outbox,
    metrics: Metrics,
) -> impl Future<Output = ()> + Send {
    // In one place: what a future is given and what it makes of it are two.
    let mut session = Box::new(Session::new(line, dialect, outbox, metrics));
    async move {
        let closing = D::closing(session.run().await);
        session.count();
        drop(session.dialect);
        drop(session.outbox);
        if let Closing::Code(code, reason) = closing {
            tracing::debug!(code, reason, "closing a socket");
        }
        session.line.close(closing.words()).await;
    }
}

struct Session<D> {
    line: Line,
    dialect: D,
    outbox: Outbox,
    metrics: Metrics,
    tick: Interval,
    /// When something was last heard, and said.
    heard: Stopwatch,
    said: Stopwatch,
    pinged: Stopwatch,
    /// Messages that went out and are in no figure yet.
    uncounted: u64,
    /// The last turn was the other side's: now it is somebody else's, if anybody wants it.
    listened: bool,
    /// Gone once somebody is logged in. Traffic does not move it.
    deadline: Option<Pin<Box<Sleep>>>,
}

/// What a turn begins with.
enum Turn {
    Heard(Result<Heard, Fault>),
    Told,
    Tick,
    TooLate,
}

/// The end of a peer's grant.
struct Ending {
    peer: PeerId,
    grant: Grant,
    /// Wakes this task, once it was asked.
    ended: Pin<Box<dyn Future<Output = ()> + Send>>,
    watched: bool,
}

impl Ending {
    fn of(peer: PeerId, grant: Grant) -> Self {
        let ended = grant.clone();
        Self { peer, grant, ended: Box::pin(async move { ended.ended().await }), watched: false }
    }

    fn has_come(&mut self, cx: &mut Context<'_>) -> bool {
        let new = !std::mem::replace(&mut self.watched, true);
        (new && self.ended.as_mut().poll(cx).is_ready()) || !self.grant.holds()
    }
}

impl<D: Dialect> Session<D> {
    fn new(line: Line, dialect: D, outbox: Outbox, metrics: Metrics) -> Self {
        let mut tick = interval(SOCKET_TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let deadline = Some(Box::pin(sleep(AUTHENTICATION_DEADLINE)));
        let now = Stopwatch::start();
        let (heard, said, pinged) = (now, now, now);
        Self {
            line,
            dialect,
            outbox,
            metrics,
            tick,
            heard,
            said,
            pinged,
            uncounted: 0,
            listened: false,
            deadline,
        }
    }

    /// Turn after turn, as long as every grant holds. The end of a grant interrupts whatever the socket waits for.
    async fn run(&mut self) -> Closing {
        let mut endings: Vec<Ending> = Vec::new();
        loop {
            self.watch(&mut endings);
            let revoked = poll_fn(|cx| match endings.iter_mut().any(|ending| ending.has_come(cx)) {
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
        endings.retain(|ending| self.dialect.has(ending.peer));
        for (peer, grant) in self.dialect.newcomers() {
            endings.retain(|ending| ending.peer != peer); // of a grant before this one
            endings.push(Ending::of(peer, grant));
        }
        if self.deadline.is_some() && self.dialect.admitted() {
            self.deadline = None;
            self.line.trust();
        }
    }

    async fn turn(&mut self) -> Result<(), Closing> {
        match poll_fn(|cx| self.poll_turn(cx)).await {
            Turn::Heard(heard) => self.hear(heard?).await?,
            Turn::Told => self.pass_on().await?,
            Turn::Tick => self.look_after().await?,
            Turn::TooLate => return Err(Closing::TIMEOUT),
        }
        self.dialect.drained().await;
        Ok(())
    }

    /// Whose turn it is. Whoever talks without end does not keep the others from theirs.
    fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<Turn> {
        let too_late = |deadline: &mut Pin<Box<Sleep>>| deadline.as_mut().poll(cx).is_ready();
        if self.deadline.as_mut().is_some_and(too_late) {
            return Poll::Ready(Turn::TooLate);
        }
        let listened = std::mem::take(&mut self.listened);
        if !listened && let Poll::Ready(turn) = self.poll_heard(cx) {
            return Poll::Ready(turn);
        }
        if self.outbox.poll_ready(cx).is_ready() {
            return Poll::Ready(Turn::Told);
        }
        if self.tick.poll_tick(cx).is_ready() {
            return Poll::Ready(Turn::Tick);
        }
        if listened { self.poll_heard(cx) } else { Poll::Pending }
    }

    fn poll_heard(&mut self, cx: &mut Context<'_>) -> Poll<Turn> {
        let heard = std::task::ready!(self.line.poll_next(cx));
        self.listened = true;
        Poll::Ready(Turn::Heard(heard))
    }

    async fn hear(&mut self, heard: Heard) -> Result<(), Closing> {
        self.heard = Stopwatch::start();
        // Its answer comes before what the message leads others to say.
        self.line.hold(true);
        let mut say = Say::default();
        match heard {
            Heard::Binary(frame) => {
                self.metrics.messages_in.inc();
                self.dialect.heard(frame, &mut say).await?;
            }
            Heard::Text(_) => {
                self.metrics.messages_in.inc();
                self.dialect.heard_text()?;
            }
            Heard::Sign => self.dialect.heard_sign().await,
        }
        self.say(&mut say).await?;
        if self.dialect.asks_for_sign() {
            self.line.write(&[PING]).await?;
        }
        self.line.hold(false);
        Ok(())
    }

    /// Says what rooms said, all of it with one call to the system in most cases. Nobody overtakes it.
    async fn pass_on(&mut self) -> Result<(), Closing> {
        self.line.hold(true);
        let passed = self.pass_on_alone().await;
        self.line.hold(false);
        passed
    }

    async fn pass_on_alone(&mut self) -> Result<(), Closing> {
        let mut say = Say::default();
        for (peer, event) in self.outbox.take_now() {
            let told = self.dialect.told(peer, event, &mut say);
            if told.is_err() || say.is_large() {
                self.say(&mut say).await?;
                told?;
            }
        }
        self.say(&mut say).await
    }

    async fn say(&mut self, say: &mut Say) -> Result<(), Closing> {
        let messages = say.messages();
        if messages == 0 {
            return Ok(());
        }
        let waited = self.line.write(say.pieces()).await?;
        *say = Say::default();
        self.uncounted += messages;
        if self.uncounted >= SOCKET_COUNTED_MESSAGES {
            self.count();
        }
        self.said = Stopwatch::start();
        if waited > SOCKET_TICK {
            // A reader that made room after a while is alive, even if this side was too busy writing to hear it.
            self.heard = self.said;
        }
        // Whoever is behind makes this side wait.
        if !waited.is_zero() && self.outbox.lagging_for().is_some_and(|behind| behind > OUTBOX_LAG_MAX) {
            return Err(Closing::TIMEOUT);
        }
        Ok(())
    }

    /// All sockets count in one place: a busy one goes there now and then only.
    fn count(&mut self) {
        self.metrics.messages_out.inc_by(std::mem::take(&mut self.uncounted));
    }

    async fn look_after(&mut self) -> Result<(), Closing> {
        self.count();
        if self.heard.elapsed() >= IDLE_DEAD {
            return Err(Closing::TIMEOUT);
        }
        if due(self.pinged.elapsed(), PING_INTERVAL) {
            self.pinged = Stopwatch::start();
            self.line.write(&[PING]).await?;
        }
        if due(self.said.elapsed(), QUIET_MAX)
            && let Some(frame) = self.dialect.sign_of_life()
        {
            let mut say = Say::default();
            say.message(frame);
            self.say(&mut say).await?;
        }
        Ok(())
    }
}

/// Whether something that is done every `interval` is done at this tick rather than at the next.
fn due(since: Duration, interval: Duration) -> bool {
    since + SOCKET_TICK / 2 >= interval
}
