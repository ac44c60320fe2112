//! One Engine.IO session: what waits for its client, which transport carries it, and when it is over.
//!
//! Owns the order in which a client hears things: answers, then what was missed, then what is said now. Does not know
//! HTTP, and of Socket.IO only how an event is framed.

mod finish;
mod members;
mod repeat;

use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use super::Reason;
use super::dialect::Arrival;
use super::floor::Floor;
use super::pace::Pace;
use super::queue::{Queue, message};
use super::talk::Talk;
use crate::config::limits::{ENGINE_ROOM_PAUSE, OUTBOX_MAX_BYTES, TIMER_LATE};
use crate::faces::line::{binary_frame, text_frame};
use crate::lock::held;
use crate::rooms::space::{Closed, SpaceOutbox};
use crate::wire::engineio::{Packet, PacketError, encode};

/// One Engine.IO session.
pub(super) struct Session {
    /// Its secret id.
    pub(super) sid: Box<str>,
    /// What came with its first request.
    pub(super) arrival: Arrival,
    /// What it stands on.
    pub(super) floor: Arc<Floor>,
    /// What is said in it; locked while one packet of it is looked after.
    pub(super) talk: tokio::sync::Mutex<Talk>,
    /// Where spaces put what they say.
    pub(super) outbox: SpaceOutbox,
    pace: Option<Pace>,
    out: Mutex<Queue>,
    /// More of what was missed is wanted.
    hungry: Notify,
    pong: Notify,
    end: CancellationToken,
}

/// What carries a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transport {
    /// Requests.
    Polling,
    /// Requests, while a WebSocket shows that it works.
    Probing,
    /// A WebSocket, for ever.
    WebSocket,
}

/// One of a session's two kinds of request is open; it is over when this is dropped.
pub(super) struct Request<'a> {
    session: &'a Session,
    poll: bool,
    done: bool,
}

impl Session {
    pub(super) fn new(sid: Box<str>, arrival: Arrival, floor: Arc<Floor>, transport: Transport) -> Arc<Self> {
        let outbox = SpaceOutbox::new(&floor.metrics);
        let pace = floor.options.paced.then(Pace::new);
        let out = Queue::new(transport, floor.options.echo);
        Arc::new(Self {
            sid,
            arrival,
            floor,
            talk: tokio::sync::Mutex::default(),
            outbox,
            pace,
            out: Mutex::new(out),
            hungry: Notify::new(),
            pong: Notify::new(),
            end: CancellationToken::new(),
        })
    }

    pub(super) fn out(&self) -> MutexGuard<'_, Queue> {
        held(&self.out)
    }

    // --- what waits --------------------------------------------------------------------------------------

    /// Queues an Engine.IO packet that is no message.
    pub(super) fn signal(&self, packet: &Packet<'_>) {
        let mut text = Vec::with_capacity(8);
        encode(&mut text, packet);
        self.push(text_frame(&text).into());
    }

    /// Queues a message: text that `write` makes, and the binary messages that belong to it.
    pub(super) fn say(&self, attachments: &[Bytes], write: impl FnOnce(&mut Vec<u8>)) {
        self.push(message(attachments, write));
    }

    /// Queues a binary message.
    pub(super) fn say_binary(&self, bytes: &[u8]) {
        self.push(binary_frame(bytes));
    }

    fn push(&self, frame: Bytes) {
        let fits = self.change(|out| out.is_ending() || out.put(frame));
        if !fits {
            self.close(Reason::Slow);
        }
    }

    /// Changes something that whoever waits should look at.
    fn change<T>(&self, change: impl FnOnce(&mut Queue) -> T) -> T {
        let mut out = self.out();
        let changed = change(&mut out);
        let waiting = out.waiting.take();
        drop(out);
        if let Some(waiting) = waiting {
            waiting.wake();
        }
        changed
    }

    /// Takes some of what waits, in order; empty when there is nothing.
    ///
    /// # Errors
    /// When the session is over and everything was taken.
    pub(super) fn take_now(&self) -> Result<Vec<Bytes>, Reason> {
        let (taken, over) = {
            let mut out = self.out();
            let taken = out.take(&self.outbox);
            if out.wants_missed() {
                self.hungry.notify_one();
            }
            (taken, out.closed.or(out.finish))
        };
        match (taken, over) {
            (Ok(taken), Some(reason)) if taken.is_empty() => {
                self.close(reason);
                Err(reason)
            }
            (Ok(taken), _) => {
                self.floor.metrics.messages_out.inc_by(taken.len() as u64);
                Ok(taken)
            }
            (Err(closed), over) => {
                let reason = over.unwrap_or(closed.into());
                self.close(reason);
                Err(reason)
            }
        }
    }

    /// Waits until there may be something to take, or what carries the session is not this any more.
    pub(super) async fn wait(&self, transport: Transport) {
        poll_fn(|cx| self.poll_ready(cx, transport)).await;
    }

    /// As [`Session::wait`]. Of each transport one task waits at a time.
    pub(super) fn poll_ready(&self, cx: &mut Context<'_>, transport: Transport) -> Poll<()> {
        let mut out = self.out();
        if out.has_some() || out.transport != transport {
            return Poll::Ready(());
        }
        if !out.waiting.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            out.waiting = Some(cx.waker().clone());
        }
        if out.repeats() { Poll::Pending } else { self.outbox.poll_ready(cx) }
    }

    /// Whether so much waits that no more should be asked for.
    pub(super) fn is_full(&self) -> bool {
        self.out().bytes > OUTBOX_MAX_BYTES
    }

    /// Waits, a bounded time, until the client has taken something of too much.
    pub(super) async fn room(&self, patience: Duration) {
        let emptied = async {
            while self.is_full() && !self.is_over() {
                tokio::time::sleep(ENGINE_ROOM_PAUSE).await;
            }
        };
        let _ = timeout(patience, emptied).await;
    }

    // --- transports --------------------------------------------------------------------------------------

    pub(super) fn transport(&self) -> Transport {
        self.out().transport
    }

    /// A request begins to wait, or to bring something; at most one of each at a time.
    pub(super) fn begin(&self, poll: bool) -> Option<Request<'_>> {
        let mut out = self.out();
        let busy = if poll { &mut out.polling } else { &mut out.posting };
        if std::mem::replace(busy, true) {
            return None;
        }
        Some(Request { session: self, poll, done: false })
    }

    /// Whether a request waits for something to say.
    pub(super) fn is_asked(&self) -> bool {
        self.out().polling
    }

    /// A WebSocket shows that it works: requests are let go. `false`: there is one already.
    pub(super) fn begin_probe(&self) -> bool {
        self.move_to(Transport::Polling, Transport::Probing)
    }

    /// The WebSocket did not take over.
    pub(super) fn end_probe(&self) {
        self.move_to(Transport::Probing, Transport::Polling);
    }

    /// The WebSocket takes over.
    pub(super) fn upgrade(&self) -> bool {
        self.move_to(Transport::Probing, Transport::WebSocket)
    }

    fn move_to(&self, from: Transport, to: Transport) -> bool {
        self.change(|out| {
            let moves = out.transport == from && out.closed.is_none();
            if moves {
                out.transport = to;
            }
            moves
        })
    }

    // --- life --------------------------------------------------------------------------------------------

    /// Takes one Engine.IO packet.
    ///
    /// # Errors
    /// When the session has to end.
    pub(super) async fn hear(
        self: &Arc<Self>,
        packet: Result<Packet<'_>, PacketError>,
    ) -> Result<(), Reason> {
        self.floor.metrics.messages_in.inc();
        if let Some(pace) = &self.pace {
            pace.pass().await?;
        }
        match packet {
            Ok(Packet::Text(text)) => Talk::text(self, text).await,
            Ok(Packet::Binary(bytes)) => Talk::binary(self, bytes).await,
            Ok(Packet::Pong(_)) => {
                self.pong.notify_one();
                Ok(())
            }
            Ok(Packet::Noop) => Ok(()),
            Ok(Packet::Close) => Err(Reason::Closed),
            Ok(Packet::Open(_) | Packet::Ping(_) | Packet::Upgrade) | Err(_) => Err(Reason::Malformed),
        }
    }

    /// How long it has to come in, how often it is asked for a sign of life, and how long it has to give it: a little
    /// less, since timers ring late, and a client that counts for itself should find its session over.
    fn times(&self) -> (Duration, Duration, Duration) {
        let options = &self.floor.options;
        (options.connect_deadline, options.ping_interval, options.ping_timeout.saturating_sub(TIMER_LATE))
    }

    /// Asks for signs of life, and ends the session when none comes, or when nobody came in in time. Time is reckoned
    /// from this call: a client counts from the answer that follows.
    pub(super) fn watch(self: &Arc<Self>) -> impl Future<Output = ()> + Send + use<> {
        let (session, end) = (Arc::downgrade(self), self.end.clone());
        let (deadline, interval, patience) = self.times();
        let (mut late, mut silent) = (Some(moment_in(deadline)), moment_in(interval));
        async move {
            loop {
                let next = late.map_or(silent, |late| late.min(silent));
                let Err(_) = timeout_at(next, end.cancelled()).await else { return };
                let Some(session) = session.upgrade() else { return };
                if late.take_if(|late| *late <= next).is_some() && !session.is_trusted() {
                    return session.close(Reason::Late);
                }
                if silent <= next {
                    if Talk::is_stuck(&session) {
                        return session.close(Reason::Unfinished);
                    }
                    session.signal(&Packet::Ping(""));
                    // A computer that slept asks much too late: the client has half of its time all the same.
                    let answer_by = (silent + patience).max(moment_in(patience / 2));
                    tokio::select! {
                        answered = timeout_at(answer_by, session.pong.notified()) => {
                            if answered.is_err() {
                                return session.close(Reason::PingTimeout);
                            }
                        }
                        () = end.cancelled() => return,
                    }
                    silent = moment_in(interval);
                }
            }
        }
    }

    /// Ends the session now. What waits is dropped: a client that may come back hears it then.
    pub(super) fn close(&self, reason: Reason) {
        let before = self.change(|out| {
            let before = out.closed;
            if before.is_none() {
                out.close(reason);
            }
            before
        });
        if before.is_some() {
            return;
        }
        match reason {
            // Counted where it ran over.
            Reason::Slow if self.outbox.closed() == Some(Closed::Overflow) => {}
            Reason::Left | Reason::Closed | Reason::SentOut | Reason::Stopping | Reason::Reconnect => {}
            other => self.floor.metrics.refuse(other.word()),
        }
        tracing::debug!(reason = reason.word(), "a channel session ended");
        self.end.cancel();
        self.outbox.close(Closed::Left);
        if let Some(session) = self.floor.remove(&self.sid)
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn(async move { Talk::over(&session, reason).await });
        }
    }

    /// Why it is over, if it is.
    pub(super) fn over(&self) -> Option<Reason> {
        self.out().closed
    }

    pub(super) fn is_over(&self) -> bool {
        self.end.is_cancelled()
    }

    /// Waits until it is over.
    pub(super) async fn ended(&self) {
        self.end.cancelled().await;
    }
}

/// The moment that is so far away, as timers count it.
fn moment_in(pause: Duration) -> Instant {
    sleep(pause).deadline()
}

impl Request<'_> {
    /// It was answered as it should be.
    pub(super) fn done(mut self) {
        self.done = true;
    }
}

impl Drop for Request<'_> {
    fn drop(&mut self) {
        let mut out = self.session.out();
        let busy = if self.poll { &mut out.polling } else { &mut out.posting };
        *busy = false;
        drop(out);
        if !self.done {
            // The client gave the request up: the session is over, as in the reference server.
            self.session.close(Reason::Closed);
        }
    }
}
