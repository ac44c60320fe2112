//! Keys that other servers read and write too: at the central server while it is there, and here.
//!
//! Owns the copies in this office. Does not know what the keys mean.
//!
//! While the central server is up, what it says holds, also that a key is not there. What it said is kept here for a
//! while, and what this office put is kept here for its whole life: with the server away, or none configured, the
//! copies answer. After each connecting, and after a put that failed, the office puts again what the server has not
//! confirmed; after a connecting also whatever else is not there: a server that came back empty has it, and what others
//! wrote meanwhile at one that did not stays.

use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::StreamExt;

use super::central::{Sender, Told};
use super::collections::fields;
use super::{Bus, BusError};
use crate::clock::Clock;
use crate::config::limits::{BUS_COPY_LIFE, BUS_COPY_SLACK_MS, BUS_KEYS_MAX, BUS_PUTS_AT_ONCE_MAX};

/// What begins a copy's key among the office's keys.
const PREFIX: &str = "shared/";
/// Put by this office.
pub(super) const OWN: u8 = 1;
/// Seen at the central server.
pub(super) const SEEN: u8 = 2;
/// Removed by this office; the server does not know yet.
pub(super) const GONE: u8 = 3;
/// Fields that this office put.
pub(super) const OWN_FIELDS: u8 = 4;
/// Fields seen at the central server.
pub(super) const SEEN_FIELDS: u8 = 5;
/// Members that this office put, and those it took out and the server does not know of.
pub(super) const OWN_MEMBERS: u8 = 6;
/// A count of this office alone.
pub(super) const COUNT: u8 = 7;

/// Set in a stored copy's kind while the server has not confirmed it. Copies of earlier releases do not say, and count
/// as confirmed: so one that was not is put only where nothing lies, while the other way round the office would put
/// what it knew long ago over what others wrote since.
const OWED: u8 = 0x80;

/// What is known of a shared key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LookedUp {
    /// It is there, or was when the central server could be asked the last time.
    There(Found),
    /// It is not there.
    Missing,
    /// The central server cannot be asked, and nothing is known here.
    Unknown,
}

/// A shared key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// What it holds.
    pub value: Bytes,
    /// When its life ends, in milliseconds since 1970; `None`: never.
    pub until_ms: Option<u64>,
}

/// A copy: what kind, until when (0: for ever), and the value.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Copy {
    pub(super) kind: u8,
    /// Put by this office, and not confirmed by the server.
    pub(super) owed: bool,
    pub(super) until_ms: u64,
    pub(super) value: Bytes,
}

impl Copy {
    pub(super) fn new(kind: u8, until_ms: u64, value: Bytes) -> Self {
        Self { kind, owed: false, until_ms, value }
    }

    /// One that the server does not know yet.
    pub(super) fn owed(kind: u8, until_ms: u64, value: Bytes) -> Self {
        Self { owed: true, ..Self::new(kind, until_ms, value) }
    }

    fn read(stored: &Bytes) -> Option<Self> {
        let (kind, rest) = stored.split_first()?;
        let (until, value) = rest.split_first_chunk::<8>()?;
        let copy = Self::new(kind & !OWED, u64::from_be_bytes(*until), stored.slice_ref(value));
        Some(Self { owed: kind & OWED != 0, ..copy })
    }

    fn found(self) -> Found {
        Found { value: self.value, until_ms: (self.until_ms != 0).then_some(self.until_ms) }
    }

    fn written(&self) -> Bytes {
        let mut bytes = BytesMut::with_capacity(9 + self.value.len());
        bytes.put_u8(if self.owed { self.kind | OWED } else { self.kind });
        bytes.put_u64(self.until_ms);
        bytes.put_slice(&self.value);
        bytes.freeze()
    }
}

impl Bus {
    /// Puts a key that other servers read too, for ever or for `life`. It is kept here whatever becomes of the central
    /// server.
    ///
    /// # Errors
    /// When it is too large, too many keys are there, or the disk refuses.
    pub async fn put_shared(&self, key: &str, value: &[u8], life: Option<Duration>) -> Result<(), BusError> {
        let until_ms = life.map_or(0, |life| until(&self.0.clock, life));
        let copy = Copy::owed(OWN, until_ms, Bytes::copy_from_slice(value));
        self.keep(key, &copy, life)?;
        let central = &self.0.central;
        if central.is_configured() {
            self.was_put(key, &copy, central.set(key, value, life).await.is_some());
        }
        Ok(())
    }

    /// Reads a key that other servers may have put.
    ///
    /// # Errors
    /// When the disk refuses.
    pub async fn get_shared(&self, key: &str) -> Result<Option<Bytes>, BusError> {
        Ok(match self.look_up(key).await? {
            LookedUp::There(found) => Some(found.value),
            LookedUp::Missing | LookedUp::Unknown => None,
        })
    }

    /// Reads a key that other servers may have put, with what is known of its life.
    ///
    /// # Errors
    /// When the disk refuses.
    pub async fn look_up(&self, key: &str) -> Result<LookedUp, BusError> {
        let central = &self.0.central;
        let asked = central.is_configured();
        let said = if asked { central.get(key).await } else { None };
        let copy = self.copy(key)?;
        let Some(said) = said else {
            return Ok(match copy {
                Some(copy) if copy.kind != GONE => LookedUp::There(copy.found()),
                None if asked => LookedUp::Unknown,
                _ => LookedUp::Missing,
            });
        };
        let Some((value, life)) = said else {
            return match copy {
                // The server does not know it yet.
                Some(copy) if copy.kind == OWN && (copy.owed || self.is_owed().await) => {
                    Ok(LookedUp::There(copy.found()))
                }
                Some(copy) if copy.owed => Ok(LookedUp::Missing),
                Some(_) => self.0.local.delete(&local(key)).map(|_| LookedUp::Missing),
                None => Ok(LookedUp::Missing),
            };
        };
        let until_ms = life.map_or(0, |life| until(&self.0.clock, life));
        if copy.is_none_or(|copy| copy.value != value || copy.until_ms.abs_diff(until_ms) > BUS_COPY_SLACK_MS)
        {
            let life = life.map_or(BUS_COPY_LIFE, |life| life.min(BUS_COPY_LIFE));
            self.keep_seen(key, &Copy::new(SEEN, until_ms, value.clone()), life);
        }
        Ok(LookedUp::There(Found { value, until_ms: (until_ms != 0).then_some(until_ms) }))
    }

    /// Removes a key that other servers read too.
    ///
    /// # Errors
    /// When the disk refuses.
    pub async fn delete_shared(&self, key: &str) -> Result<(), BusError> {
        let central = &self.0.central;
        if !central.is_configured() || central.delete(key).await.is_some() {
            return self.0.local.delete(&local(key)).map(drop);
        }
        self.keep(key, &Copy::new(GONE, 0, Bytes::new()), Some(BUS_COPY_LIFE))?;
        central.owing.store(true, Ordering::Release);
        Ok(())
    }

    /// Whether the central server may not know yet what this office put.
    pub(super) async fn is_owed(&self) -> bool {
        let central = &self.0.central;
        central.owing.load(Ordering::Acquire) || central.was_emptied().await
    }

    pub(super) fn copy(&self, key: &str) -> Result<Option<Copy>, BusError> {
        Ok(self.0.local.get(&local(key))?.as_ref().and_then(Copy::read))
    }

    pub(super) fn keep(&self, key: &str, copy: &Copy, life: Option<Duration>) -> Result<(), BusError> {
        let _changing = self.0.central.changing_copies();
        self.set(&local(key), &copy.written(), life)
    }

    /// Keeps what the server said for a while, but not in the place of what it is still to be told.
    pub(super) fn keep_seen(&self, key: &str, seen: &Copy, life: Duration) {
        let _changing = self.0.central.changing_copies();
        let kept = match self.copy(key) {
            Ok(Some(copy)) if copy.owed => return,
            Ok(_) => self.set(&local(key), &seen.written(), Some(life)),
            Err(error) => Err(error),
        };
        if let Err(error) = kept {
            tracing::debug!(%error, "a key was not copied");
        }
    }

    /// The server was to be told of this copy, and took it or did not.
    pub(super) fn was_put(&self, key: &str, copy: &Copy, taken: bool) {
        if !taken {
            return self.0.central.owing.store(true, Ordering::Release);
        }
        if let Err(error) = self.confirm(key, copy) {
            tracing::debug!(%error, "a key counts as not put");
        }
    }

    fn confirm(&self, key: &str, taken: &Copy) -> Result<(), BusError> {
        let central = &self.0.central;
        let _changing = central.changing_copies();
        let Some(copy) = self.copy(key)?.filter(|copy| matches!(copy.kind, OWN | OWN_FIELDS)) else {
            return Ok(());
        };
        // Where another one was put meanwhile, nobody knows which of both the server has: it is told once more.
        let is = |copy: &Copy| (copy.kind, copy.until_ms, copy.value.clone());
        let (same, life) = (is(&copy) == is(taken), self.left(&copy));
        self.set(&local(key), &Copy { owed: !same, ..copy }.written(), life)?;
        if !same {
            central.owing.store(true, Ordering::Release);
        }
        Ok(())
    }

    /// How long a copy still lives; `None`: for ever.
    fn left(&self, copy: &Copy) -> Option<Duration> {
        let left_ms = copy.until_ms.saturating_sub(self.0.clock.now_ms()).max(1);
        (copy.until_ms != 0).then(|| Duration::from_millis(left_ms))
    }

    /// Tells a server what it does not know of what this office put and removed. False: it did not take all of it.
    pub(super) async fn put_again(&self, sender: Sender, told: Told) -> bool {
        let bus = self.clone();
        let rows = tokio::task::spawn_blocking(move || bus.0.local.scan(PREFIX, BUS_KEYS_MAX)).await;
        let Ok(Ok(rows)) = rows else {
            tracing::warn!("the office's own keys could not be read");
            return false;
        };
        let own = rows.into_iter().filter_map(|(name, stored)| Some((name, Copy::read(&stored)?)));
        let confirmed = |copy: &Copy| matches!(copy.kind, OWN | OWN_FIELDS) && !copy.owed;
        let own = own.filter(|(_, copy)| told == Told::Nothing || !confirmed(copy));
        let puts = own.map(|(name, copy)| {
            let mut sender = sender.clone();
            async move {
                let key = name.strip_prefix(PREFIX)?;
                match copy.kind {
                    OWN | OWN_FIELDS => self.put_own_again(&mut sender, key, &copy).await,
                    OWN_MEMBERS => self.put_members_again(&mut sender, key, &copy).await,
                    GONE => {
                        sender.delete(key).await.ok()?;
                        self.0.local.delete(&name).map(drop).ok()
                    }
                    _ => Some(()),
                }
            }
        });
        futures_util::stream::iter(puts)
            .buffer_unordered(BUS_PUTS_AT_ONCE_MAX)
            .all(|put| std::future::ready(put.is_some()))
            .await
    }

    /// What the server took before may have been changed or removed there by others since: it is put again only where
    /// nothing lies.
    async fn put_own_again(&self, sender: &mut Sender, key: &str, copy: &Copy) -> Option<()> {
        let life = self.left(copy);
        match (copy.kind, copy.owed) {
            (OWN, false) => return sender.set_new(key, &copy.value, life).await.ok(),
            (_, false) => return sender.put_new_fields(key, &fields(&copy.value)?, life).await.ok(),
            (OWN, true) => sender.set(key, &copy.value, life).await.ok()?,
            (_, true) => sender.put_fields(key, &fields(&copy.value)?, life).await.ok()?,
        }
        self.was_put(key, copy, true);
        Some(())
    }
}

pub(super) fn local(key: &str) -> String {
    format!("{PREFIX}{key}")
}

pub(super) fn until(clock: &Clock, life: Duration) -> u64 {
    clock.now_ms().saturating_add(u64::try_from(life.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_of_an_earlier_release_counts_as_confirmed() {
        let value = || Bytes::from_static(b"Ann");
        let before = Bytes::from_static(b"\x01\0\0\0\0\0\0\0\x07Ann");
        assert_eq!(Copy::read(&before), Some(Copy::new(OWN, 7, value())));
        for copy in [Copy::new(OWN_FIELDS, 0, value()), Copy::owed(OWN, 7, value())] {
            assert_eq!(Copy::read(&copy.written()), Some(copy));
        }
        assert_eq!(Copy::read(&Bytes::from_static(b"\x81\0")), None);
    }

    fn bus(folder: &tempfile::TempDir) -> Bus {
        Bus::open(&folder.path().join("bus"), &Clock::manual(1_000_000)).unwrap()
    }

    #[tokio::test]
    async fn what_the_server_did_not_confirm_is_owed_until_it_does() {
        let folder = tempfile::tempdir().unwrap();
        let bus = bus(&folder);
        let life = Some(Duration::from_secs(60));
        bus.put_shared("key", b"1", life).await.unwrap();
        let first = bus.copy("key").unwrap().unwrap();
        assert!(first.owed);
        bus.was_put("key", &first, false);
        assert!(bus.copy("key").unwrap().unwrap().owed);
        bus.was_put("key", &first, true);
        assert_eq!(bus.copy("key").unwrap(), Some(Copy { owed: false, ..first }));
        bus.put_fields("rule", &[("isPublic".into(), Bytes::from_static(b"true"))]).await.unwrap();
        let rule = bus.copy("rule").unwrap().unwrap();
        assert!(rule.owed);
        bus.was_put("rule", &rule, true);
        assert!(!bus.copy("rule").unwrap().unwrap().owed);
        bus.close();
    }

    #[tokio::test]
    async fn what_was_put_meanwhile_is_not_confirmed_by_what_was_put_before() {
        let folder = tempfile::tempdir().unwrap();
        let bus = bus(&folder);
        bus.put_shared("key", b"1", None).await.unwrap();
        let first = bus.copy("key").unwrap().unwrap();
        bus.put_shared("key", b"2", None).await.unwrap();
        let second = bus.copy("key").unwrap().unwrap();
        bus.was_put("key", &second, true);
        bus.0.central.owing.store(false, Ordering::Release);
        bus.was_put("key", &first, true);
        assert_eq!(bus.copy("key").unwrap(), Some(second));
        assert!(bus.0.central.owing.load(Ordering::Acquire), "the server may have the first one");
        // What the server says does not take the place of what it is still to be told.
        bus.keep_seen("key", &Copy::new(SEEN, 0, Bytes::from_static(b"0")), BUS_COPY_LIFE);
        assert_eq!(bus.get_shared("key").await.unwrap().unwrap(), "2");
        bus.close();
    }
}
