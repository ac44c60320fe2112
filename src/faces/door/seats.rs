//! Seats: how many connections there are, whose they are, and who gives way.
//!
//! Owns the counting before anybody is known. A stranger who is slow in asking gives way to a newer one, so a
//! crowd of silent sockets costs a good client nothing.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::config::limits::{
    CONNECTIONS_MAX, CONNECTIONS_PER_ADDRESS_UNAUTHENTICATED_MAX, CONNECTIONS_WAITING_MAX, SEAT_DEADLINE,
};
use crate::telemetry::Metrics;

/// How long one look at the seats is trusted, in case the seat that became free was another address'.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

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
    /// Connections without a first request yet, oldest first.
    silent: BTreeMap<u64, IpAddr>,
}

#[derive(Default)]
struct Address {
    taken: usize,
    strangers: usize,
    silent: BTreeMap<u64, CancellationToken>,
    freed: Arc<Notify>,
}

/// One connection's place. It is free again when the last clone of its handle is gone.
pub struct Seat {
    room: Arc<Room>,
    number: u64,
    address: IpAddr,
    stranger: AtomicBool,
    silent: AtomicBool,
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

    /// Takes a seat, or waits a bounded time for one. `end` is cancelled when the connection has to give way.
    pub(super) async fn take(&self, address: IpAddr, end: CancellationToken) -> Option<Arc<Seat>> {
        let mut waiting = None;
        let wait = async {
            loop {
                let freed = match self.0.try_take(address, &end) {
                    Ok(seat) => return Some(seat),
                    Err(freed) => freed,
                };
                if waiting.is_none() {
                    waiting = Some(Waiting::begin(&self.0)?);
                }
                tokio::select! {
                    () = freed.notified() => {}
                    () = self.0.freed.notified() => {}
                    () = tokio::time::sleep(LOOK_AGAIN) => {}
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
                () = tokio::time::sleep(LOOK_AGAIN) => {}
            }
        }
    }
}

impl Room {
    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A seat, or what to wait for. When all are taken, the oldest silent stranger is asked to give way.
    fn try_take(
        self: &Arc<Self>,
        address: IpAddr,
        end: &CancellationToken,
    ) -> Result<Arc<Seat>, Arc<Notify>> {
        let mut book = self.book();
        let full = book.taken >= CONNECTIONS_MAX;
        let number = book.next;
        let place = book.by_address.entry(address).or_default();
        let crowded = place.strangers >= CONNECTIONS_PER_ADDRESS_UNAUTHENTICATED_MAX;
        if full || crowded || place.taken >= self.per_address_max {
            let freed = place.freed.clone();
            if crowded {
                book.silence_gives_way(Some(address));
            } else if full {
                book.silence_gives_way(None);
            }
            return Err(freed);
        }
        place.taken += 1;
        place.strangers += 1;
        place.silent.insert(number, end.clone());
        book.silent.insert(number, address);
        book.next += 1;
        book.taken += 1;
        drop(book);
        self.metrics.connections.inc();
        Ok(Arc::new(Seat {
            room: self.clone(),
            number,
            address,
            stranger: AtomicBool::new(true),
            silent: AtomicBool::new(true),
            end: end.clone(),
        }))
    }
}

impl Book {
    fn silence_gives_way(&mut self, of: Option<IpAddr>) {
        let Some(address) = of.or_else(|| self.silent.first_key_value().map(|(_, address)| *address)) else {
            return;
        };
        if let Some(place) = self.by_address.get_mut(&address)
            && let Some((number, end)) = place.silent.pop_first()
        {
            self.silent.remove(&number);
            end.cancel();
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
    /// The first request's head is complete: this one does not give way any more.
    pub(super) fn asked(&self) {
        if self.silent.swap(false, Ordering::Relaxed) {
            let mut book = self.room.book();
            book.silent.remove(&self.number);
            if let Some(place) = book.by_address.get_mut(&self.address) {
                place.silent.remove(&self.number);
            }
        }
    }

    /// The person is known: this one is no stranger any more.
    pub fn authenticated(&self) {
        if self.stranger.swap(false, Ordering::Relaxed) {
            let mut book = self.room.book();
            if let Some(place) = book.by_address.get_mut(&self.address) {
                place.strangers -= 1;
                place.freed.notify_one();
            }
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.asked();
        let mut book = self.room.book();
        book.taken -= 1;
        if let Some(place) = book.by_address.get_mut(&self.address) {
            place.taken -= 1;
            if *self.stranger.get_mut() {
                place.strangers -= 1;
            }
            place.freed.notify_one();
            // Whoever waits for this address holds its bell and makes the entry anew.
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

    #[tokio::test(start_paused = true)]
    async fn a_silent_stranger_gives_way_to_a_newer_one() {
        let seats = Seats::new(1_024, Metrics::new());
        let mut held = Vec::new();
        for _ in 0..CONNECTIONS_PER_ADDRESS_UNAUTHENTICATED_MAX {
            held.push(seats.take(A, CancellationToken::new()).await.unwrap());
        }
        held[0].asked();
        let (second, newer) = (held[1].end.clone(), seats.clone());
        let newer = tokio::spawn(async move { newer.take(A, CancellationToken::new()).await });
        second.cancelled().await;
        assert!(!held[0].end.is_cancelled() && !held[2].end.is_cancelled());
        drop(held.remove(1));
        assert!(newer.await.unwrap().is_some());
        assert!(seats.take(B, CancellationToken::new()).await.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn those_who_are_known_do_not_count_as_strangers() {
        let seats = Seats::new(1_024, Metrics::new());
        let mut held = Vec::new();
        for _ in 0..200 {
            let seat = seats.take(A, CancellationToken::new()).await.unwrap();
            seat.asked();
            seat.authenticated();
            held.push(seat);
        }
        assert_eq!(seats.0.book().taken, 200);
        held.clear();
        assert_eq!(seats.0.book().taken, 0);
        assert!(seats.0.book().by_address.is_empty() && seats.0.book().silent.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn strangers_beyond_the_bound_wait_and_then_leave() {
        let seats = Seats::new(1_024, Metrics::new());
        let mut held = Vec::new();
        for _ in 0..CONNECTIONS_PER_ADDRESS_UNAUTHENTICATED_MAX {
            let seat = seats.take(A, CancellationToken::new()).await.unwrap();
            seat.asked();
            held.push(seat);
        }
        assert!(seats.take(A, CancellationToken::new()).await.is_none());
        assert_eq!(seats.0.book().waiting, 0);
    }
}
