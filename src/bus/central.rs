//! The central Redis: connected, listened to, lost and found again, all behind everybody's back.
//!
//! Owns when to connect, what is listened to there, and what is known about its state. Nobody waits for it longer than
//! [`limits::CENTRAL_ANSWER_MAX`](crate::config::limits::CENTRAL_ANSWER_MAX), and nobody waits at all while it is known
//! to be away. Does not know what bytes mean.

mod asking;
mod echo;
mod line;
mod sender;
mod why;

use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use self::echo::Echoes;
use self::line::{Ear, Line, News};
pub(super) use self::sender::Sender;
pub(super) use self::why::code;
use self::why::{CLOSED, SILENT, Why};
use super::exchange::Exchange;
use super::message::Pattern;
use super::{BusKind, BusState};
use crate::clock::{Clock, Stopwatch};
use crate::config::CentralUrl;
use crate::config::limits::{CENTRAL_AGAIN_MAX, CENTRAL_AGAIN_MIN, CENTRAL_BUSY_MAX, CENTRAL_PING_INTERVAL};
use crate::lock::held;
use crate::telemetry::Metrics;

/// Begins the key by which it is seen that the server still has its data.
const MARK: &str = "townhall/";

/// The way to the central server, whether there is one or not.
pub(super) struct Central {
    url: watch::Sender<Option<CentralUrl>>,
    state: watch::Sender<BusState>,
    exchange: Arc<Exchange>,
    echoes: Mutex<Echoes>,
    /// There while the server is up.
    sender: Mutex<Option<Sender>>,
    /// Somebody got no answer: it is looked into at once.
    suspect: Notify,
    /// Lies at the server as long as the server keeps its data; there, when `marked`.
    mark: String,
    marked: AtomicBool,
    /// When it was last seen that the server had lost its data; 0: never.
    lost_data_ms: AtomicU64,
    /// Keys were not put: they have to be put again.
    pub(super) owing: AtomicBool,
    /// Held while a copy is changed by what is known of another one.
    copies: Mutex<()>,
    /// Messages that the server told us of, our own included.
    heard: AtomicU64,
    clock: Clock,
    metrics: Metrics,
}

/// What the server is known to know of what this office put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    /// Nothing is known: it may be another server, or an older state of it.
    Nothing,
    /// It has what it confirmed, unless others removed it.
    Confirmed,
}

/// How a connection ended.
enum End {
    /// Asked to.
    Stop,
    /// Another server is the central one now.
    Elsewhere,
    /// It was lost.
    Lost(Why),
}

impl Central {
    pub(super) fn new(
        url: Option<CentralUrl>,
        office: &str,
        exchange: Arc<Exchange>,
        clock: Clock,
        metrics: Metrics,
    ) -> Arc<Self> {
        let state = state_of(url.as_ref(), clock.now_ms());
        let central = Self {
            url: watch::Sender::new(url),
            state: watch::Sender::new(state),
            exchange,
            echoes: Mutex::default(),
            sender: Mutex::default(),
            suspect: Notify::new(),
            mark: format!("{MARK}{office}"),
            marked: AtomicBool::new(false),
            lost_data_ms: AtomicU64::new(0),
            owing: AtomicBool::new(true),
            copies: Mutex::default(),
            heard: AtomicU64::new(0),
            clock,
            metrics,
        };
        central.tell(|_| {});
        Arc::new(central)
    }

    pub(super) fn state(&self) -> watch::Receiver<BusState> {
        self.state.subscribe()
    }

    pub(super) fn url(&self) -> Option<CentralUrl> {
        self.url.borrow().clone()
    }

    pub(super) fn is_configured(&self) -> bool {
        self.url.borrow().is_some()
    }

    /// Nobody else changes copies of shared keys while this is held; not to be held for long.
    pub(super) fn changing_copies(&self) -> MutexGuard<'_, ()> {
        held(&self.copies)
    }

    /// Another server, or none.
    pub(super) fn choose(&self, url: Option<CentralUrl>) {
        self.marked.store(false, Ordering::Release);
        self.owing.store(true, Ordering::Release);
        let state = state_of(url.as_ref(), self.clock.now_ms());
        let changed = self.url.send_if_modified(|now| {
            let changed = *now != url;
            *now = url;
            changed
        });
        if changed {
            self.tell(|now| *now = state);
        }
    }

    /// Tries a server out, without anything else.
    pub(super) async fn try_out(url: &CentralUrl) -> Result<(), Why> {
        let deaf: Ear = Arc::new(|_| {});
        Line::open(url, &deaf).await?.ping().await
    }

    fn tell(&self, change: impl FnOnce(&mut BusState)) {
        self.state.send_modify(change);
        let state = self.state.borrow();
        self.metrics.bus_up.set(i64::from(state.up));
        self.metrics.bus_since_seconds.set((state.since_ms / 1000) as i64);
    }

    /// Keeps the connection until `stop`. `greet` is run after each connecting, before anybody else uses the
    /// server, and when something is owed to it.
    pub(super) async fn run<F: Future<Output = bool> + Send>(
        self: Arc<Self>,
        stop: CancellationToken,
        greet: impl Fn(Sender, Told) -> F + Send,
    ) {
        let mut url = self.url.subscribe();
        let mut last = url.borrow().clone();
        let mut pause = CENTRAL_AGAIN_MIN;
        loop {
            let now = url.borrow_and_update().clone();
            if now != last {
                tracing::info!(redis = now.as_ref().map(ToString::to_string), "another central Redis");
                // Once more, in case the last one was found or lost meanwhile.
                self.tell(|state| *state = state_of(now.as_ref(), self.clock.now_ms()));
                (last, pause) = (now.clone(), CENTRAL_AGAIN_MIN);
            }
            let Some(target) = now else {
                tokio::select! {
                    () = stop.cancelled() => return,
                    changed = url.changed() => if changed.is_err() { return },
                }
                continue;
            };
            let end = self.clone().connected(&target, &stop, &mut url, &greet).await;
            held(&self.sender).take();
            held(&self.echoes).hung_up();
            match end {
                End::Stop => return,
                End::Elsewhere => continue,
                End::Lost(why) => {
                    if self.state.borrow().up {
                        pause = CENTRAL_AGAIN_MIN;
                    }
                    self.lost(&target, why);
                }
            }
            tokio::select! {
                () = stop.cancelled() => return,
                _ = url.wait_for(|now| now.as_ref() != Some(&target)) => {}
                () = tokio::time::sleep(pause) => pause = (pause * 2).min(CENTRAL_AGAIN_MAX),
            }
        }
    }

    /// One connection, from its opening to its end.
    async fn connected<F: Future<Output = bool> + Send>(
        self: Arc<Self>,
        target: &CentralUrl,
        stop: &CancellationToken,
        url: &mut watch::Receiver<Option<CentralUrl>>,
        greet: &(impl Fn(Sender, Told) -> F + Send),
    ) -> End {
        let dead = Arc::new(Notify::new());
        let talk = async {
            let mut line = match Line::open(target, &self.ear(&dead)).await {
                Ok(line) => line,
                Err(why) => return why,
            };
            self.attend(&mut line, target, greet).await
        };
        tokio::select! {
            () = stop.cancelled() => End::Stop,
            _ = url.wait_for(|now| now.as_ref() != Some(target)) => End::Elsewhere,
            () = dead.notified() => End::Lost(CLOSED.into()),
            why = talk => End::Lost(why),
        }
    }

    /// What is heard goes straight to whoever listens, unless it is our own.
    fn ear(self: &Arc<Self>, dead: &Arc<Notify>) -> Ear {
        let (central, dead) = (Arc::downgrade(self), Arc::clone(dead));
        Arc::new(move |news| {
            let Some(central) = central.upgrade() else { return };
            match news {
                News::Lost => dead.notify_one(),
                News::Refused => central.metrics.refuse("publication_not_said"),
                News::Message(pattern, message) => {
                    central.heard.fetch_add(1, Ordering::AcqRel);
                    if held(&central.echoes).take(&pattern, &message) {
                        return;
                    }
                    central.metrics.bus_messages_in.inc();
                    central.exchange.arrived(&pattern, &message);
                }
            }
        })
    }

    /// Looks after an open connection until it does not answer.
    async fn attend<F: Future<Output = bool> + Send>(
        self: &Arc<Self>,
        line: &mut Line,
        target: &CentralUrl,
        greet: &(impl Fn(Sender, Told) -> F + Send),
    ) -> Why {
        let mut wanted = self.exchange.wanted();
        let first = wanted.borrow_and_update().clone();
        if let Err(why) = self.listen(line, &first).await {
            return why;
        }
        if self.marked.load(Ordering::Acquire) && line.sender().exists(&self.mark).await == Ok(false) {
            self.lost_data_ms.store(self.clock.now_ms(), Ordering::Release);
        }
        self.put_again(line, Told::Nothing, greet).await;
        *held(&self.sender) = Some(line.sender());
        self.found(target);
        let mut tick = tokio::time::interval(CENTRAL_PING_INTERVAL);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = tick.tick() => {}
                () = self.suspect.notified() => {}
                _ = wanted.changed() => {
                    let now = wanted.borrow_and_update().clone();
                    if let Err(why) = self.listen(line, &now).await {
                        return why;
                    }
                    continue;
                }
            }
            if let Err(why) = self.sign_of_life(line).await {
                return why;
            }
            if self.was_emptied().await {
                tracing::warn!(redis = %target, "the central Redis lost its data; the office's own keys are put again");
                self.put_again(line, Told::Nothing, greet).await;
            } else if self.owing.load(Ordering::Acquire) {
                self.put_again(line, Told::Confirmed, greet).await;
            }
        }
    }

    /// Asks for a sign of life. A server that has much to tell over a slow line is alive, though its answer is late.
    async fn sign_of_life(&self, line: &mut Line) -> Result<(), Why> {
        let asking = Stopwatch::start();
        loop {
            let heard = self.heard.load(Ordering::Acquire);
            match line.ping().await {
                Err(why) if why == SILENT && asking.elapsed() < CENTRAL_BUSY_MAX => {
                    if self.heard.load(Ordering::Acquire) == heard {
                        return Err(why);
                    }
                }
                answer => return answer,
            }
        }
    }

    async fn put_again<F: Future<Output = bool> + Send>(
        &self,
        line: &mut Line,
        told: Told,
        greet: &(impl Fn(Sender, Told) -> F + Send),
    ) {
        self.owing.store(false, Ordering::Release);
        if !greet(line.sender(), told).await {
            self.owing.store(true, Ordering::Release);
        }
        let marked = line.sender().set(&self.mark, b"here", None).await.is_ok();
        self.marked.store(marked, Ordering::Release);
    }

    /// Listens to these patterns and no others.
    async fn listen(&self, line: &mut Line, wanted: &[Pattern]) -> Result<(), Why> {
        let before = held(&self.echoes).listening.clone();
        for pattern in before.iter().filter(|pattern| !wanted.contains(pattern)) {
            line.unsubscribe(pattern).await?;
            held(&self.echoes).listening.retain(|one| one != pattern);
        }
        for pattern in wanted.iter().filter(|pattern| !before.contains(pattern)) {
            // First noted, then said: our own publication may come back before the answer does.
            held(&self.echoes).listening.push(pattern.clone());
            line.subscribe(pattern).await?;
        }
        Ok(())
    }

    fn found(&self, target: &CentralUrl) {
        let now_ms = self.clock.now_ms();
        let (away_since_ms, was_up) = {
            let state = self.state.borrow();
            (state.since_ms, state.up)
        };
        if !was_up && self.state.borrow().was_up_before {
            self.exchange.missed(away_since_ms, now_ms);
        }
        tracing::info!(redis = %target, "the central Redis is there");
        self.tell(|state| {
            let was_away = !state.up && state.last_error.is_some();
            state.away_since_ms = was_away.then_some(state.since_ms);
            (state.up, state.since_ms, state.was_up_before) = (true, now_ms, true);
        });
    }

    fn lost(&self, target: &CentralUrl, why: Why) {
        let news = {
            let state = self.state.borrow();
            state.up || state.last_error.as_deref() != Some(why.as_str())
        };
        if news {
            tracing::warn!(redis = %target, %why, "the central Redis is away; the office goes on by itself");
        }
        let now_ms = self.clock.now_ms();
        self.tell(|state| {
            if std::mem::replace(&mut state.up, false) {
                state.since_ms = now_ms;
            }
            state.last_error = Some(why);
        });
    }
}

fn state_of(url: Option<&CentralUrl>, now_ms: u64) -> BusState {
    let kind = if url.is_some() { BusKind::Central } else { BusKind::Embedded };
    BusState {
        kind,
        up: kind == BusKind::Embedded,
        since_ms: now_ms,
        last_error: None,
        away_since_ms: None,
        was_up_before: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_published_and_is_dropped_is_counted() {
        let metrics = Metrics::new();
        let central = Central::new(None, "office", Arc::default(), Clock::manual(1), metrics.clone());
        central.ear(&Arc::default())(News::Refused);
        let counted = "townhall_refused_total{reason=\"publication_not_said\"} 1";
        assert!(metrics.text().unwrap().contains(counted));
    }
}
