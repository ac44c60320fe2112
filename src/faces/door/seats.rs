//! Seats: how many connections there are, whose they are, and who gives way.
//!
//! Owns the counting before anybody is known. When all seats are taken, a connection that has been silent for a
//! moment gives way to a newer one, so a crowd of silent sockets costs a good client nothing; and so does, after a
//! while, one that was let in as nobody in particular. Requests of strangers are answered a bounded number at a time
//! for each address.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use crate::clock::Stopwatch;
use crate::config::limits::{
    CONNECTIONS_HERE_RESERVED, CONNECTIONS_MAX, CONNECTIONS_PER_ADDRESS_UNAUTHENTICATED_MAX,
    CONNECTIONS_WAITING_MAX, NOBODY_MIN, SEAT_DEADLINE, SEATS_LOOK_AGAIN, SILENCE_MIN,
};
use crate::lock::held;
use crate::telemetry::Metrics;

/// All seats; cheap to clone.
#[derive(Clone)]
pub(super) struct Seats(Arc<Room>);

struct Room {
    book: Mutex<Book>,
    freed: Notify,
    per_address_max: usize,
    metrics: Metrics,
}

#[derive(Default)]
struct Book {
    next: u64,
    taken: usize,
    waiting: usize,
    by_address: HashMap<IpAddr, Address>,
    /// Connections that give way, in the order in which they do.
    giving_way: BTreeMap<(Standing, u64), GivesWay>,
}

/// What makes a connection give way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Standing {
    /// There is no first request yet.
    Silent,
    /// It was let in as nobody in particular.
    Nobody,
}

struct Address {
    taken: usize,
    giving_way: BTreeSet<(Standing, u64)>,
    /// Requests of strangers that may be worked on at once.
    strangers: Arc<Semaphore>,
}

struct GivesWay {
    address: IpAddr,
    since: Stopwatch,
    /// It does not give way before: in a rush, honest ones are silent for a moment too.
    least: Duration,
    end: CancellationToken,
}

/// One connection's place. It is free again when the last clone of its handle is gone.
pub struct Seat {
    room: Arc<Room>,
    number: u64,
    address: IpAddr,
    strangers: Arc<Semaphore>,
    known: AtomicBool,
    let_in: AtomicBool,
    silent: AtomicBool,
    permit: Mutex<Option<OwnedSemaphorePermit>>,
    holds_answer: AtomicBool,
    pub(super) end: CancellationToken,
}

impl std::fmt::Debug for Seat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Seat").field("number", &self.number).finish_non_exhaustive()
    }
}

impl Seats {
    pub(super) fn new(per_address_max: usize, metrics: Metrics) -> Self {
        let book = Mutex::default();
        Self(Arc::new(Room { book, freed: Notify::new(), per_address_max, metrics }))
    }

    /// Takes a seat, or waits a bounded time for one. `local`: on this computer, which always has some for itself.
    /// `end` is cancelled when the connection has to give way.
    pub(super) async fn take(
        &self,
        address: IpAddr,
        local: bool,
        end: CancellationToken,
    ) -> Option<Arc<Seat>> {
        let mut waiting = None;
        let wait = async {
            loop {
                if let Some(seat) = self.0.try_take(address, local, &end) {
                    return Some(seat);
                }
                if waiting.is_none() {
                    waiting = Some(Waiting::begin(&self.0)?);
                }
                tokio::select! {
                    () = self.0.freed.notified() => {}
                    () = tokio::time::sleep(SEATS_LOOK_AGAIN) => {}
                }
            }
        };
        tokio::time::timeout(SEAT_DEADLINE, wait).await.ok().flatten()
    }
}

impl Seats {
    /// Waits until nobody is there any more.
    pub(super) async fn emptied(&self) {
        while self.0.book().taken > 0 {
            tokio::select! {
                () = self.0.freed.notified() => {}
                () = tokio::time::sleep(SEATS_LOOK_AGAIN) => {}
            }
        }
    }
}

impl Room {
    fn book(&self) -> MutexGuard<'_, Book> {
        held(&self.book)
    }

    /// A seat. When all are taken, the oldest connection that may be is asked to give way.
    fn try_take(
        self: &Arc<Self>,
        address: IpAddr,
        local: bool,
        end: &CancellationToken,
    ) -> Option<Arc<Seat>> {
        let mut book = self.book();
        let here = book.by_address.get(&address).map_or(0, |place| place.taken);
        if here >= self.per_address_max {
            book.make_way(Some(address));
            return None;
        }
        let most = if local { CONNECTIONS_MAX } else { CONNECTIONS_MAX - CONNECTIONS_HERE_RESERVED };
        if book.taken >= most {
            book.make_way(None);
            return None;
        }
        let number = book.next;
        let place = book.by_address.entry(address).or_insert_with(Address::new);
        place.taken += 1;
        let strangers = place.strangers.clone();
        book.next += 1;
        book.taken += 1;
        book.gives_way((Standing::Silent, number), address, end);
        drop(book);
        self.metrics.connections.inc();
        Some(Arc::new(Seat {
            room: self.clone(),
            number,
            address,
            strangers,
            known: AtomicBool::new(false),
            let_in: AtomicBool::new(false),
            silent: AtomicBool::new(true),
            permit: Mutex::new(None),
            holds_answer: AtomicBool::new(false),
            end: end.clone(),
        }))
    }
}

impl Address {
    fn new() -> Self {
        let strangers = Arc::new(Semaphore::new(CONNECTIONS_PER_ADDRESS_UNAUTHENTICATED_MAX));
        Self { taken: 0, giving_way: BTreeSet::new(), strangers }
    }
}

impl Book {
    /// From here on this connection gives way.
    fn gives_way(&mut self, key: (Standing, u64), address: IpAddr, end: &CancellationToken) {
        let Some(place) = self.by_address.get_mut(&address) else { return };
        place.giving_way.insert(key);
        let least = match key.0 {
            Standing::Silent => SILENCE_MIN,
            Standing::Nobody => NOBODY_MIN,
        };
        let one = GivesWay { address, since: Stopwatch::start(), least, end: end.clone() };
        self.giving_way.insert(key, one);
    }

    /// It does not give way any more, or has done so.
    fn stays(&mut self, key: (Standing, u64)) -> Option<GivesWay> {
        let one = self.giving_way.remove(&key)?;
        if let Some(place) = self.by_address.get_mut(&one.address) {
            place.giving_way.remove(&key);
        }
        Some(one)
    }

    /// Ends the oldest connection that gives way, of this address or of any: if there is a silent one, that.
    fn make_way(&mut self, of: Option<IpAddr>) {
        for standing in [Standing::Silent, Standing::Nobody] {
            let all = (standing, 0)..=(standing, u64::MAX);
            let oldest = match of {
                None => self.giving_way.range(all).next().map(|(key, _)| *key),
                Some(address) => {
                    let place = self.by_address.get(&address);
                    place.and_then(|place| place.giving_way.range(all).next().copied())
                }
            };
            let is_due = |key: &(Standing, u64)| {
                self.giving_way.get(key).is_some_and(|one| one.since.elapsed() >= one.least)
            };
            if let Some(one) = oldest.filter(is_due).and_then(|key| self.stays(key)) {
                return one.end.cancel();
            }
        }
    }
}

/// One connection that waits for a seat, counted as long as it does.
struct Waiting(Arc<Room>);

impl Waiting {
    fn begin(room: &Arc<Room>) -> Option<Self> {
        let mut book = room.book();
        if book.waiting >= CONNECTIONS_WAITING_MAX {
            return None;
        }
        book.waiting += 1;
        Some(Self(room.clone()))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut book = self.0.book();
        book.waiting -= 1;
    }
}

impl Seat {
    /// A request's head is complete: this connection does not give way any more. A stranger waits here while too many
    /// requests of strangers from the same address are being answered; `false`: for too long.
    pub(super) async fn asked(&self) -> bool {
        self.speaks();
        let is_in = self.known.load(Ordering::Relaxed) || self.let_in.load(Ordering::Relaxed);
        if is_in || self.permit().is_some() {
            return true;
        }
        let permit = tokio::time::timeout(SEAT_DEADLINE, self.strangers.clone().acquire_owned()).await;
        match permit {
            Ok(Ok(permit)) => {
                *self.permit() = Some(permit);
                true
            }
            Ok(Err(_)) | Err(_) => false,
        }
    }

    /// The request is answered, and did not become a socket.
    pub(super) fn answered(&self) {
        self.permit().take();
    }

    /// The person is known: this one is no stranger any more.
    pub fn authenticated(&self) {
        self.known.store(true, Ordering::Relaxed);
        self.permit().take();
        self.is_somebody();
    }

    /// See [`crate::faces::Caller::let_in`].
    pub(in crate::faces) fn let_in(&self) {
        self.permit().take();
        if !self.known.load(Ordering::Relaxed) && !self.let_in.swap(true, Ordering::Relaxed) {
            self.room.book().gives_way((Standing::Nobody, self.number), self.address, &self.end);
        }
    }

    /// See [`crate::faces::Caller::hold_answer`].
    pub(in crate::faces) fn hold_answer(&self) {
        self.holds_answer.store(true, Ordering::Relaxed);
    }

    pub(super) fn holds_answer(&self) -> bool {
        self.holds_answer.load(Ordering::Relaxed)
    }

    /// Whether it is taken away.
    pub(in crate::faces) fn is_taken_away(&self) -> bool {
        self.end.is_cancelled()
    }

    fn permit(&self) -> MutexGuard<'_, Option<OwnedSemaphorePermit>> {
        held(&self.permit)
    }

    fn speaks(&self) {
        if self.silent.swap(false, Ordering::Relaxed) {
            self.room.book().stays((Standing::Silent, self.number));
        }
    }

    fn is_somebody(&self) {
        if self.let_in.swap(false, Ordering::Relaxed) {
            self.room.book().stays((Standing::Nobody, self.number));
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.speaks();
        self.is_somebody();
        let mut book = self.room.book();
        book.taken -= 1;
        if let Some(place) = book.by_address.get_mut(&self.address) {
            place.taken -= 1;
            if place.taken == 0 {
                book.by_address.remove(&self.address);
            }
        }
        drop(book);
        self.room.freed.notify_one();
        self.room.metrics.connections.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));
    const B: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2));

    async fn seat(seats: &Seats, address: IpAddr) -> Arc<Seat> {
        seats.take(address, false, CancellationToken::new()).await.unwrap()
    }

    #[tokio::test]
    async fn a_silent_connection_gives_way_to_a_newer_one() {
        let seats = Seats::new(4, Metrics::new());
        let mut held = Vec::new();
        for _ in 0..4 {
            held.push(seat(&seats, A).await);
        }
        assert!(held[0].asked().await);
        let (second, waiting) = (held[1].end.clone(), seats.clone());
        let newer = tokio::spawn(async move { waiting.take(A, false, CancellationToken::new()).await });
        second.cancelled().await;
        assert!(!held[0].end.is_cancelled() && !held[2].end.is_cancelled());
        drop(held.remove(1));
        assert!(newer.await.unwrap().is_some());
        assert!(seats.take(B, false, CancellationToken::new()).await.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn strangers_are_answered_a_bounded_number_at_a_time() {
        let seats = Seats::new(1_024, Metrics::new());
        let mut held = Vec::new();
        for _ in 0..CONNECTIONS_PER_ADDRESS_UNAUTHENTICATED_MAX {
            held.push(seat(&seats, A).await);
            assert!(held[held.len() - 1].asked().await);
        }
        let one_more = seat(&seats, A).await;
        assert!(!one_more.asked().await, "it waited its time");
        held[0].answered();
        assert!(one_more.asked().await);
        held[1].authenticated();
        assert!(seat(&seats, A).await.asked().await);
        assert!(seat(&seats, B).await.asked().await, "another address has its own");
    }

    #[tokio::test]
    async fn those_who_are_known_do_not_count_as_strangers() {
        let seats = Seats::new(1_024, Metrics::new());
        let mut held = Vec::new();
        for _ in 0..200 {
            let seat = seat(&seats, A).await;
            assert!(seat.asked().await);
            seat.authenticated();
            held.push(seat);
        }
        assert_eq!(seats.0.book().taken, 200);
        held.clear();
        assert_eq!(seats.0.book().taken, 0);
        assert!(seats.0.book().by_address.is_empty() && seats.0.book().giving_way.is_empty());
    }

    #[tokio::test]
    async fn whoever_is_nobody_in_particular_gives_way_after_a_while_and_who_is_known_does_not() {
        let seats = Seats::new(3, Metrics::new());
        let held = [seat(&seats, A).await, seat(&seats, A).await, seat(&seats, A).await];
        for seat in &held {
            assert!(seat.asked().await);
            seat.let_in();
        }
        held[0].authenticated();
        seats.0.book().make_way(Some(A));
        assert!(held.iter().all(|seat| !seat.is_taken_away()), "they have their look");
        seats.0.book().giving_way.values_mut().for_each(|one| one.least = Duration::ZERO);
        let waiting = seats.clone();
        let newer = tokio::spawn(async move { waiting.take(A, false, CancellationToken::new()).await });
        held[1].end.cancelled().await;
        assert!(!held[0].is_taken_away() && !held[2].is_taken_away());
        drop(held);
        assert!(newer.await.unwrap().is_some());
        assert!(seats.0.book().by_address.is_empty() && seats.0.book().giving_way.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn however_many_come_from_the_network_this_computer_has_seats() {
        let seats = Seats::new(CONNECTIONS_MAX, Metrics::new());
        let mut held = Vec::new();
        for _ in 0..CONNECTIONS_MAX - CONNECTIONS_HERE_RESERVED {
            let seat = seat(&seats, A).await;
            seat.authenticated();
            assert!(seat.asked().await);
            held.push(seat);
        }
        assert!(seats.take(B, false, CancellationToken::new()).await.is_none(), "they are all taken");
        let here = std::net::Ipv4Addr::LOCALHOST.into();
        for _ in 0..CONNECTIONS_HERE_RESERVED {
            held.push(seats.take(here, true, CancellationToken::new()).await.unwrap());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_finds_no_seat_leaves_after_a_while() {
        let seats = Seats::new(2, Metrics::new());
        let held = [seat(&seats, A).await, seat(&seats, A).await];
        for seat in &held {
            assert!(seat.asked().await);
        }
        assert!(seats.take(A, false, CancellationToken::new()).await.is_none());
        assert_eq!(seats.0.book().waiting, 0);
    }
}
