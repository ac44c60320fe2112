//! The one task that owns a space.
//!
//! It takes everything that is ready, changes state without awaiting, then hands over one commit; what a
//! finished commit carried is handed out, in order.

use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use super::answering::Passing;
use super::crowd::{Crowd, Member};
use super::event::{MemberId, Room, Say, SpaceEvent};
use super::ids::Ids;
use super::load::{Start, load};
use super::missed::Gap;
use super::offset::offset;
use super::outgoing::{Beside, Outgoing, SaidReply, put_session};
use super::ring::{Piece, Ring};
use super::session::{Place, Sessions};
use super::{Closed, Fullest, Join, Joined, Remembered, SpaceError, SpaceOptions, row};
use crate::clock::Clock;
use crate::config::limits::{
    COMMIT_ROWS_MAX, SAVE_RETRY_DISK, SPACE_BATCH_MAX, SPACE_CONFIRMED, SPACE_CONFIRMED_EVERY,
    SPACE_FAREWELL_MAX, SPACE_LEFT_MAX, SPACE_TICK_MIN, SPACE_TICKS,
};
use crate::store::{Store, Table, Write};
use crate::telemetry::Metrics;

/// What is asked of a space.
pub(super) enum Command {
    Join {
        join: Box<Join>,
        reply: oneshot::Sender<Result<Joined, SpaceError>>,
        /// Told when the session is on disk, or that there is none.
        kept: oneshot::Sender<bool>,
    },
    Forget {
        member: MemberId,
    },
    Remembered {
        pid: String,
        reply: oneshot::Sender<Option<Remembered>>,
    },
    Enter {
        member: MemberId,
        rooms: Vec<Room>,
        reply: oneshot::Sender<bool>,
    },
    Exit {
        member: MemberId,
        rooms: Vec<Room>,
        reply: oneshot::Sender<bool>,
    },
    Leave {
        member: MemberId,
        recoverable: bool,
    },
    Say {
        say: Box<Say>,
        reply: SaidReply,
    },
    /// What is to be repeated next; `None`: something of it is not there any more.
    Repeat {
        gap: Arc<Gap>,
        heard: u64,
        reply: oneshot::Sender<Option<(Piece, Option<Store>)>>,
    },
    /// These were read from disk.
    Share {
        events: Vec<Arc<SpaceEvent>>,
    },
    /// This one cannot be read.
    Lose {
        seq: u64,
    },
    Members {
        room: Room,
        reply: oneshot::Sender<Vec<Member>>,
    },
    Rooms {
        reply: oneshot::Sender<Vec<(Room, usize)>>,
    },
    Fullest {
        most: usize,
        reply: oneshot::Sender<Fullest>,
    },
    #[cfg(test)]
    Fail,
}

/// What a space is made with.
pub(super) struct Parts {
    pub(super) name: &'static str,
    pub(super) store: Option<Store>,
    pub(super) clock: Clock,
    pub(super) metrics: Metrics,
    pub(super) options: SpaceOptions,
}

impl Parts {
    /// Reads what the disk has.
    pub(super) async fn load(&self) -> Result<Start, SpaceError> {
        let (name, options, metrics) = (self.name, self.options, self.metrics.clone());
        let Some(store) = self.store.clone() else { return Ok(Start::empty(name, &options, &metrics)) };
        let now_ms = self.clock.now_ms();
        let loaded =
            tokio::task::spawn_blocking(move || load(&store, name, now_ms, &options, &metrics)).await;
        loaded.unwrap_or_else(|error| Err(SpaceError::Unreadable(error.to_string())))
    }
}

/// Lives until every handle is gone, or the space is stopped. After a fault it starts again from disk: members'
/// outboxes are closed, and they take up their sessions.
pub(super) async fn run(
    parts: Parts,
    start: Start,
    mut commands: mpsc::Receiver<Command>,
    stop: CancellationToken,
) {
    let parts = Arc::new(parts);
    let mut start = start;
    loop {
        let space = Actor::new(parts.clone(), start);
        let lived = AssertUnwindSafe(space.live(&mut commands, &stop)).catch_unwind().await;
        if matches!(lived, Ok(true)) {
            return;
        }
        parts.metrics.refuse("space_fault");
        tracing::error!(space = parts.name, "a space failed; it starts again from disk");
        start = loop {
            match parts.load().await {
                Ok(start) => break start,
                Err(error) => tracing::error!(space = parts.name, %error, "a space cannot start again yet"),
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(SAVE_RETRY_DISK) => {}
            }
        };
    }
}

/// A space's state.
pub(super) struct Actor {
    pub(super) parts: Arc<Parts>,
    pub(super) crowd: Crowd,
    pub(super) ring: Ring,
    pub(super) sessions: Sessions,
    pub(super) ids: Ids,
    pub(super) outgoing: Outgoing,
    pub(super) passing: VecDeque<Passing>,
    /// The last number given.
    pub(super) seq: u64,
    /// The last number handed out, before which all are.
    pub(super) handed: u64,
    /// The last number of them that is on disk.
    pub(super) durable: u64,
    /// The offset of `handed`.
    pub(super) mark: Arc<str>,
    /// How often it was looked after what is done now and then.
    pub(super) sweeps: u64,
    /// What had been handed out at the last of those times, since members may not have received it yet.
    handed_at: VecDeque<u64>,
    /// Who waits for a session's row that is not handed over yet.
    pub(super) waiting: Vec<oneshot::Sender<bool>>,
    /// Members whose outbox was found closed.
    pub(super) cut_off: Vec<MemberId>,
    /// When the disk was last told that members are here.
    pub(super) alive_ms: u64,
    /// It is time to bring the disk up to date with what left.
    pub(super) tidy: bool,
    /// Members heard what may not be kept: the space starts again from what the disk has.
    pub(super) is_broken: bool,
}

impl Actor {
    fn new(parts: Arc<Parts>, start: Start) -> Self {
        let mut ids = Ids::default();
        start.ids.into_iter().for_each(|(at_ms, id, seq)| ids.add(at_ms, id, Some(seq)));
        Self {
            crowd: Crowd::default(),
            ring: start.ring,
            sessions: start.sessions,
            ids,
            outgoing: Outgoing::new(parts.name, start.numbers),
            passing: VecDeque::new(),
            seq: start.seq,
            handed: start.seq,
            durable: start.seq,
            mark: offset(parts.name, start.seq),
            sweeps: 0,
            handed_at: VecDeque::new(),
            waiting: Vec::new(),
            cut_off: Vec::new(),
            alive_ms: 0,
            tidy: true,
            is_broken: false,
            parts,
        }
    }

    /// Lives on until it is to end; `false`: it is to start again.
    async fn live(mut self, commands: &mut mpsc::Receiver<Command>, stop: &CancellationToken) -> bool {
        let mut tick = interval(self.tick());
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let mut first = None;
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                came = self.outgoing.next() => if let Some(came) = came {
                    self.came(came);
                },
                _ = tick.tick() => self.sweep(),
                command = commands.recv() => match command {
                    Some(command) => first = Some(command),
                    None => break,
                },
            }
            if self.is_broken {
                return false;
            }
            let now_ms = self.now_ms();
            self.ring.trim(now_ms);
            self.ids.trim(now_ms.saturating_sub(self.window_ms()));
            let more = std::iter::from_fn(|| commands.try_recv().ok()).take(SPACE_BATCH_MAX);
            let batch: Vec<Command> = first.into_iter().chain(more).collect();
            batch.into_iter().for_each(|command| self.command(command, now_ms));
            self.part_cut_off(now_ms);
            self.submit(now_ms);
            self.pass_until(self.outgoing.first_unheard());
        }
        commands.close();
        self.farewell().await;
        true
    }

    /// Ends: nobody hears anything more, what is on its way is finished.
    async fn farewell(mut self) {
        self.close_all();
        self.alive_ms = 0;
        self.submit(self.now_ms());
        let _ = timeout(SPACE_FAREWELL_MAX, async {
            while !self.outgoing.is_done() {
                if let Some(came) = self.outgoing.next().await {
                    self.came(came);
                }
                self.submit(self.now_ms());
            }
            let store = self.parts.store.as_ref().filter(|_| !self.is_broken);
            if let Some(released) = store.and_then(|store| self.outgoing.release(store, self.seq)) {
                let _ = released.await;
            }
        })
        .await;
    }

    fn close_all(&self) {
        self.crowd.seats().for_each(|seat| seat.way.close(Closed::Ended));
    }

    pub(super) fn now_ms(&self) -> u64 {
        self.parts.clock.now_ms()
    }

    pub(super) fn window_ms(&self) -> u64 {
        self.parts.options.window.as_millis() as u64
    }

    fn tick(&self) -> Duration {
        (self.parts.options.window / SPACE_TICKS).max(SPACE_TICK_MIN)
    }

    /// What is done now and then.
    fn sweep(&mut self) {
        let now_ms = self.now_ms();
        let closed = self.crowd.seats().filter(|seat| seat.way.closed().is_some());
        self.cut_off.extend(closed.map(|seat| seat.member.id));
        self.sessions.sweep(now_ms, self.window_ms());
        self.confirm();
        self.ring.forget(self.sessions.floor().unwrap_or(self.handed));
        self.tidy = true;
    }

    /// A member that is here for so long that its connection would have been found dead has received what was
    /// handed out before: what left the ring since then is no reason to doubt its session. That is counted in sweeps,
    /// and one of them may be all that there was of a computer's sleep, in which no connection is found dead.
    fn confirm(&mut self) {
        self.sweeps += 1;
        self.handed_at.push_back(self.handed);
        let last = SPACE_CONFIRMED.as_millis().div_ceil(self.tick().as_millis()) as u64 + 1;
        if self.handed_at.len() as u64 <= last {
            return;
        }
        let (at, Some(seq)) = (self.sweeps - last, self.handed_at.pop_front()) else { return };
        for attendee in self.crowd.attendees() {
            let Some(mark) = attendee.session else { continue };
            if attendee.repeating.strong_count() > 0 {
                attendee.came = self.sweeps;
                continue;
            }
            let Some(joined) = self.sessions.get(&mark).map(|session| session.joined) else { continue };
            let is_due = attendee.came < at && attendee.confirm_from <= self.sweeps;
            if !is_due || !self.ring.is_in_doubt(&attendee.rooms, joined) || attendee.seat.way.holds(seq) {
                continue;
            }
            attendee.confirm_from = self.sweeps + SPACE_CONFIRMED_EVERY;
            attendee.rooms.iter_mut().for_each(|(_, since)| *since = seq.max(*since));
            if let Some(session) = self.sessions.change(&mark) {
                session.joined = seq.max(joined);
            }
        }
    }

    /// Hands over what is to be written.
    fn submit(&mut self, now_ms: u64) {
        let Some(store) = self.parts.store.clone() else { return };
        loop {
            let beside = self.beside(now_ms);
            if beside.is_none() && !self.outgoing.wants() {
                return;
            }
            if let Some(back) = self.outgoing.submit(&store, self.seq, beside.unwrap_or_default()) {
                self.landed(back);
                return;
            }
        }
    }

    /// What is to be written beside messages, if that is possible now.
    fn beside(&mut self, now_ms: u64) -> Option<Beside> {
        if !self.outgoing.takes_beside() {
            if self.outgoing.is_sick() {
                self.waiting.drain(..).for_each(|waiting| _ = waiting.send(false));
            }
            return None;
        }
        let mut beside = Beside::default();
        let since_alive = now_ms.saturating_sub(self.alive_ms);
        if self.crowd.len() > 0 && since_alive >= self.tick().as_millis() as u64 {
            let (key, value) = (row::key_alive(self.parts.name), row::numbers(&[now_ms]));
            beside.writes.push(Write::Put { table: Table::Sessions, key, value });
            self.alive_ms = now_ms;
        }
        beside.marks = self.sessions.take_dirty(COMMIT_ROWS_MAX);
        for mark in &beside.marks {
            let value = self.sessions.get(mark).map(|session| match &session.place {
                Place::Away { since_ms, rooms, .. } => row::session(session, (*since_ms).max(1), rooms),
                Place::Here(member) => {
                    let rooms = self.crowd.get(*member).map_or(&[][..], |attendee| &attendee.rooms);
                    row::session(session, 0, rooms)
                }
            });
            beside.writes.push(put_session(self.parts.name, mark, value));
        }
        if !self.sessions.is_dirty() {
            beside.waiting = std::mem::take(&mut self.waiting);
        }
        if self.ring.left() >= SPACE_LEFT_MAX || (self.tidy && self.ring.is_behind()) {
            // Numbers that are given but not on disk yet may be lost with the commit that carries them; never this one.
            beside.left = Some(self.ring.leave_disk(self.durable, &mut beside.writes));
        }
        self.tidy = false;
        let is_empty = beside.writes.is_empty() && beside.waiting.is_empty();
        (!is_empty).then_some(beside)
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        self.close_all();
        self.parts.metrics.members.dec_by(self.crowd.len() as i64);
    }
}

impl Parts {
    /// Counts a message by its kind.
    pub(super) fn count_said(&self, reason: &'static str) {
        self.metrics.said.count(reason);
    }

    /// Counts the result of taking up a session.
    pub(super) fn count_recovery(&self, reason: &'static str) {
        self.metrics.recoveries.count(reason);
    }
}
