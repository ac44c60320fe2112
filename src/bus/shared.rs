//! Keys that other servers read and write too: at the central server while it is there, and here.
//!
//! Owns the copies in this office. Does not know what the keys mean.
//!
//! While the central server is up, what it says holds, also that a key is not there. What it said is kept here for a
//! while, and what this office put is kept here for its whole life: with the server away, or none configured, the
//! copies answer. After each connecting, and after a put that failed, the office's own keys are put again, so a server
//! that came back empty has them.

use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::StreamExt;

use super::central::Sender;
use super::collections::fields;
use super::{Bus, BusError};
use crate::clock::Clock;
use crate::config::limits::{BUS_COPY_LIFE, BUS_KEYS_MAX};

/// What begins a copy's key among the office's keys.
const PREFIX: &str = "shared/";
/// Keys put again at once.
const PUTS_AT_ONCE: usize = 128;
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

/// A copy whose life differs by less is the same.
const COPY_SLACK_MS: u64 = 5_000;

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
pub(super) struct Copy {
    pub(super) kind: u8,
    pub(super) until_ms: u64,
    pub(super) value: Bytes,
}

impl Copy {
    fn read(stored: &Bytes) -> Option<Self> {
        let (kind, rest) = stored.split_first()?;
        let (until, value) = rest.split_first_chunk::<8>()?;
        Some(Self { kind: *kind, until_ms: u64::from_be_bytes(*until), value: stored.slice_ref(value) })
    }

    fn found(self) -> Found {
        Found { value: self.value, until_ms: (self.until_ms != 0).then_some(self.until_ms) }
    }

    fn written(&self) -> Bytes {
        let mut bytes = BytesMut::with_capacity(9 + self.value.len());
        bytes.put_u8(self.kind);
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
        self.keep(key, &Copy { kind: OWN, until_ms, value: Bytes::copy_from_slice(value) }, life)?;
        let central = &self.0.central;
        if central.is_configured() && central.set(key, value, life).await.is_none() {
            central.owing.store(true, Ordering::Release);
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
                Some(copy) if copy.kind == OWN && self.is_owed().await => Ok(LookedUp::There(copy.found())),
                Some(_) => self.0.local.delete(&local(key)).map(|_| LookedUp::Missing),
                None => Ok(LookedUp::Missing),
            };
        };
        let until_ms = life.map_or(0, |life| until(&self.0.clock, life));
        if copy.is_none_or(|copy| copy.value != value || copy.until_ms.abs_diff(until_ms) > COPY_SLACK_MS) {
            let life = life.map_or(BUS_COPY_LIFE, |life| life.min(BUS_COPY_LIFE));
            let seen = Copy { kind: SEEN, until_ms, value: value.clone() };
            if let Err(error) = self.keep(key, &seen, Some(life)) {
                tracing::debug!(%error, "a key was not copied");
            }
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
        self.keep(key, &Copy { kind: GONE, until_ms: 0, value: Bytes::new() }, Some(BUS_COPY_LIFE))?;
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
        self.set(&local(key), &copy.written(), life)
    }

    /// Tells a server that was just found what this office put and removed. False: it did not take all of it.
    pub(super) async fn put_again(&self, sender: Sender) -> bool {
        let bus = self.clone();
        let rows = tokio::task::spawn_blocking(move || bus.0.local.scan(PREFIX, BUS_KEYS_MAX)).await;
        let Ok(Ok(rows)) = rows else {
            tracing::warn!("the office's own keys could not be read");
            return false;
        };
        let now_ms = self.0.clock.now_ms();
        let own = rows.into_iter().filter_map(|(name, stored)| Some((name, Copy::read(&stored)?)));
        let puts = own.map(|(name, copy)| {
            let mut sender = sender.clone();
            async move {
                let key = name.strip_prefix(PREFIX)?;
                let left_ms = copy.until_ms.saturating_sub(now_ms).max(1);
                let life = (copy.until_ms != 0).then(|| Duration::from_millis(left_ms));
                match copy.kind {
                    OWN => sender.set(key, &copy.value, life).await.ok(),
                    OWN_FIELDS => sender.put_fields(key, &fields(&copy.value)?, life).await.ok(),
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
            .buffer_unordered(PUTS_AT_ONCE)
            .all(|put| std::future::ready(put.is_some()))
            .await
    }
}

pub(super) fn local(key: &str) -> String {
    format!("{PREFIX}{key}")
}

pub(super) fn until(clock: &Clock, life: Duration) -> u64 {
    clock.now_ms().saturating_add(u64::try_from(life.as_millis()).unwrap_or(u64::MAX))
}
