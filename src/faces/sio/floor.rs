//! All sessions of the channels: how many, whose, and how they end together.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tokio_util::sync::CancellationToken;

use super::dialect::{Arrival, Dialect};
use super::session::{Session, Transport};
use super::{Reason, SioOptions};
use crate::config::limits::{ENGINE_STOP_LINGER, SIO_SESSIONS_MAX, SIO_SESSIONS_PER_ADDRESS_MAX};
use crate::lock::held;
use crate::telemetry::Metrics;

/// Bytes of randomness in a session's id.
const SID_BYTES: usize = 18;

/// What all sessions stand on.
pub(super) struct Floor {
    pub(super) dialects: Vec<Arc<dyn Dialect>>,
    pub(super) options: SioOptions,
    pub(super) metrics: Metrics,
    book: Mutex<Book>,
    stopping: CancellationToken,
}

#[derive(Default)]
struct Book {
    next: u64,
    sessions: HashMap<Box<str>, Kept>,
    by_address: HashMap<IpAddr, usize>,
}

/// A session, and its place in the order of their coming.
struct Kept {
    number: u64,
    session: Arc<Session>,
}

impl Book {
    fn add(&mut self, session: Arc<Session>) {
        *self.by_address.entry(session.arrival.address).or_default() += 1;
        self.sessions.insert(session.sid.clone(), Kept { number: self.next, session });
        self.next += 1;
    }

    /// Who has to go so that there is place for the newest: the oldest who has not come in anywhere, or else as nobody
    /// in particular, of the same address when that has too many. In a rush, everybody has the same time to come in.
    fn gives_way(&self, newest: &Arc<Session>) -> Option<Arc<Session>> {
        let address = newest.arrival.address;
        let crowded = self.by_address.get(&address).is_some_and(|here| *here > SIO_SESSIONS_PER_ADDRESS_MAX);
        if !crowded && self.sessions.len() <= SIO_SESSIONS_MAX {
            return None;
        }
        let may_go = |kept: &&Kept| {
            let counts = !crowded || kept.session.arrival.address == address;
            counts && !kept.session.is_known() && !Arc::ptr_eq(&kept.session, newest)
        };
        let order = |kept: &&Kept| (kept.session.is_trusted(), kept.number);
        let oldest = self.sessions.values().filter(may_go).min_by_key(order);
        Some(oldest.map_or(newest, |kept| &kept.session).clone())
    }
}

impl Floor {
    pub(super) fn new(dialects: Vec<Arc<dyn Dialect>>, options: SioOptions, metrics: Metrics) -> Arc<Self> {
        let (book, stopping) = (Mutex::default(), CancellationToken::new());
        Arc::new(Self { dialects, options, metrics, book, stopping })
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        held(&self.book)
    }

    /// Begins a session; `None` when there is no place for it.
    pub(super) fn open(self: &Arc<Self>, arrival: Arrival, transport: Transport) -> Option<Arc<Session>> {
        if self.stopping.is_cancelled() {
            return None;
        }
        let session = Session::new(new_sid()?, arrival, self.clone(), transport);
        let gives_way = {
            let mut book = self.book();
            book.add(session.clone());
            book.gives_way(&session)
        };
        if let Some(gone) = gives_way {
            gone.close(Reason::Full);
            if session.is_over() {
                return None;
            }
        }
        tokio::spawn(session.watch());
        Some(session)
    }

    pub(super) fn session(&self, sid: &str) -> Option<Arc<Session>> {
        self.book().sessions.get(sid).map(|kept| kept.session.clone())
    }

    pub(super) fn remove(&self, sid: &str) -> Option<Arc<Session>> {
        let mut book = self.book();
        let session = book.sessions.remove(sid)?.session;
        if let Some(here) = book.by_address.get_mut(&session.arrival.address) {
            *here -= 1;
            if *here == 0 {
                book.by_address.remove(&session.arrival.address);
            }
        }
        Some(session)
    }

    pub(super) fn len(&self) -> usize {
        self.book().sessions.len()
    }

    /// Ends all sessions; their clients come back when the server does.
    pub(super) async fn stop(&self) {
        self.stopping.cancel();
        let all: Vec<_> = self.book().sessions.values().map(|kept| kept.session.clone()).collect();
        for session in all {
            session.close(Reason::Stopping);
        }
        // Closing frames go out.
        tokio::time::sleep(ENGINE_STOP_LINGER).await;
    }
}

/// A session's secret id, in letters that may stand in a URL.
fn new_sid() -> Option<Box<str>> {
    let mut bytes = [0; SID_BYTES];
    getrandom::fill(&mut bytes).ok()?;
    Some(URL_SAFE_NO_PAD.encode(bytes).into())
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::time::Duration;

    use axum::http::{HeaderMap, Uri};
    use tokio::time::{sleep, sleep_until};

    use super::*;
    use crate::faces::Caller;
    use crate::wire::engineio::Packet;

    const INTERVAL: Duration = Duration::from_millis(300);
    const TIMEOUT: Duration = Duration::from_millis(200);

    fn session() -> Arc<Session> {
        session_with(SioOptions { ping_interval: INTERVAL, ping_timeout: TIMEOUT, ..SioOptions::default() })
    }

    fn session_with(options: SioOptions) -> Arc<Session> {
        let caller = Caller::new(Ipv4Addr::LOCALHOST.into(), true, None);
        let arrival = Arrival::new(&caller, &Uri::from_static("/"), &HeaderMap::new());
        Floor::new(Vec::new(), options, Metrics::new()).open(arrival, Transport::Polling).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn who_could_not_be_asked_in_time_has_time_to_answer_all_the_same() {
        let session = session();
        tokio::task::yield_now().await;
        // The computer slept: both times are over when it wakes.
        tokio::time::advance(INTERVAL + 10 * TIMEOUT).await;
        sleep(TIMEOUT / 4).await;
        assert!(!session.is_over(), "the client was asked just now");
        session.hear(Ok(Packet::Pong(""))).await.unwrap();
        sleep(TIMEOUT).await;
        assert!(!session.is_over(), "and it answered");
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_counts_for_itself_finds_its_silent_session_over() {
        let opened = tokio::time::Instant::now();
        let session = session();
        sleep_until(opened + INTERVAL + TIMEOUT * 9 / 10).await;
        assert!(!session.is_over(), "it has its time");
        sleep_until(opened + INTERVAL + TIMEOUT - Duration::from_millis(1)).await;
        assert!(session.is_over(), "timers ring late, and the client asks when its time is up");
    }

    #[tokio::test(start_paused = true)]
    async fn a_session_that_ends_says_its_last_word_and_waits_a_while_for_who_takes_it() {
        let ending = |last: &'static str| async move {
            let session = session_with(SioOptions::default());
            session.say(&[], |out| out.extend_from_slice(last.as_bytes()));
            session.finish(Reason::Reconnect);
            session.say(&[], |out| out.extend_from_slice(b"too late"));
            session
        };
        let (taken, left) = (ending("one").await, ending("two").await);
        assert_eq!(taken.take_now().map(|frames| frames.len()), Ok(1));
        assert_eq!(taken.take_now(), Err(Reason::Reconnect));
        assert!(taken.is_over() && !left.is_over());
        left.ended().await;
        assert_eq!(left.take_now(), Err(Reason::Reconnect));
    }

    #[test]
    fn ids_are_long_and_different() {
        let ids: Vec<_> = (0..100).map(|_| new_sid().unwrap()).collect();
        assert!(ids.iter().all(|id| id.len() == 24
            && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))));
        assert_eq!(ids.iter().collect::<std::collections::HashSet<_>>().len(), 100);
    }
}
