//! Shared keys that are more than a text: fields, members, counts. With a central server they are what Redis calls a
//! hash, a set and a counter; without one the office's own store keeps the same.
//!
//! Owns how they are written down here. Does not know what they mean.

use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};

use super::central::Sender;
use super::shared::{COUNT, Copy, GONE, OWN, OWN_FIELDS, OWN_MEMBERS, SEEN, SEEN_FIELDS, local, until};
use super::{Bus, BusError};
use crate::config::limits::BUS_COPY_LIFE;

/// What a shared key holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kept {
    /// A text.
    Text(Bytes),
    /// Fields: names and values, by name.
    Fields(Vec<(String, Bytes)>),
}

/// What is known of a shared key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Known {
    /// It holds this, or did when the central server could be asked the last time.
    There(Kept),
    /// It is not there.
    Missing,
    /// The central server cannot be asked, and nothing is known here.
    Unknown,
}

impl Known {
    /// What it holds, if it is known to be there.
    #[must_use]
    pub fn kept(self) -> Option<Kept> {
        match self {
            Self::There(kept) => Some(kept),
            Self::Missing | Self::Unknown => None,
        }
    }

    fn of(kept: Option<Kept>) -> Self {
        kept.map_or(Self::Missing, Self::There)
    }
}

/// Members of this office as they are written down: who is in, and who went out without the server knowing.
#[derive(Default)]
struct Ours {
    here: Vec<String>,
    gone: Vec<String>,
}

impl Bus {
    /// Reads a key that other servers may have put, as a text or as fields.
    ///
    /// # Errors
    /// When the disk refuses.
    pub async fn read_shared(&self, key: &str) -> Result<Known, BusError> {
        let central = &self.0.central;
        let said = if central.is_configured() { central.read(key).await } else { None };
        let copy = self.copy(key)?;
        let ours = |copy: &Copy| matches!(copy.kind, OWN | OWN_FIELDS);
        let owed = match (&said, &copy) {
            (Some(None), Some(copy)) if ours(copy) => copy.owed || self.is_owed().await,
            _ => false,
        };
        match (said, copy) {
            // Nobody to ask, or the server does not know it yet.
            (None, copy) => Ok(self.by_copy(copy)),
            (Some(None), Some(copy)) if owed => Ok(Known::of(kept(copy))),
            (Some(None), Some(_)) => self.0.local.delete(&local(key)).map(|_| Known::Missing),
            (Some(None), None) => Ok(Known::Missing),
            (Some(Some(said)), copy) => {
                let copy = copy.filter(|copy| self.lasts(copy));
                if copy.and_then(kept).as_ref() != Some(&said) {
                    let (kind, value) = match &said {
                        Kept::Text(text) => (SEEN, text.clone()),
                        Kept::Fields(fields) => (SEEN_FIELDS, written(pairs(fields))),
                    };
                    let until_ms = until(&self.0.clock, BUS_COPY_LIFE);
                    self.keep_seen(key, &Copy::new(kind, until_ms, value), BUS_COPY_LIFE);
                }
                Ok(Known::There(said))
            }
        }
    }

    /// Whether a copy is good for a while: one of what the server said is renewed when half of its life is over.
    fn lasts(&self, copy: &Copy) -> bool {
        let seen = matches!(copy.kind, SEEN | SEEN_FIELDS);
        !seen || copy.until_ms > until(&self.0.clock, BUS_COPY_LIFE / 2)
    }

    fn by_copy(&self, copy: Option<Copy>) -> Known {
        match copy {
            Some(copy) => Known::of(kept(copy)),
            None if self.0.central.is_configured() => Known::Unknown,
            None => Known::Missing,
        }
    }

    /// What is known here of a key that other servers may have put, without asking anybody.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn known_here(&self, key: &str) -> Result<Known, BusError> {
        Ok(self.by_copy(self.copy(key)?))
    }

    /// Puts fields of a key that other servers read too, for ever.
    ///
    /// # Errors
    /// As [`Bus::put_shared`].
    pub async fn put_fields(&self, key: &str, fields: &[(String, Bytes)]) -> Result<(), BusError> {
        let mut sorted = fields.to_vec();
        sorted.sort_unstable();
        let copy = Copy::owed(OWN_FIELDS, 0, written(pairs(&sorted)));
        self.keep(key, &copy, None)?;
        let central = &self.0.central;
        if central.is_configured() {
            let put = central.with(|mut sender| async move { sender.put_fields(key, fields, None).await });
            self.was_put(key, &copy, put.await.is_some());
        }
        Ok(())
    }

    /// Who of this office is a member now, for `life`; members of other offices stay as they are.
    ///
    /// # Errors
    /// As [`Bus::put_shared`].
    pub async fn put_members(&self, key: &str, here: Vec<String>, life: Duration) -> Result<(), BusError> {
        let before = self.ours(key)?;
        let went = before.here.into_iter().chain(before.gone);
        let gone: Vec<String> = went.filter(|member| !here.contains(member)).collect();
        let central = &self.0.central;
        let mut done = !central.is_configured();
        if !done {
            let put = |mut sender: Sender| {
                let (gone, here) = (&gone, &here);
                async move { sender.put_members(key, gone, here, life).await }
            };
            done = central.with(put).await.is_some();
            if !done {
                central.owing.store(true, Ordering::Release);
            }
        }
        let gone = if done { Vec::new() } else { gone };
        self.keep_ours(key, &Ours { here, gone }, life)
    }

    /// The members of a key, of whatever office.
    ///
    /// # Errors
    /// When the disk refuses.
    pub async fn members(&self, key: &str) -> Result<Vec<String>, BusError> {
        let central = &self.0.central;
        let mut members = self.ours(key)?.here;
        if central.is_configured()
            && let Some(said) = central.members(key).await
        {
            members.extend(said);
        }
        members.sort_unstable();
        members.dedup();
        Ok(members)
    }

    /// Counts one more in a window that begins with the first: with every office there is, or with this one alone while
    /// the central server is away. How many that are.
    ///
    /// # Errors
    /// As [`Bus::put_shared`].
    pub async fn count_shared(&self, key: &str, window: Duration) -> Result<u64, BusError> {
        let central = &self.0.central;
        if central.is_configured()
            && let Some(count) = central.count(key, window).await
        {
            return Ok(count);
        }
        let now_ms = self.0.clock.now_ms();
        let before = self.copy(key)?.filter(|copy| copy.kind == COUNT && copy.until_ms > now_ms);
        let number = |copy: &Copy| std::str::from_utf8(&copy.value).ok()?.parse::<u64>().ok();
        let count = before.as_ref().and_then(number).unwrap_or(0).saturating_add(1);
        let until_ms = before.map_or_else(|| until(&self.0.clock, window), |copy| copy.until_ms);
        let value = Bytes::from(count.to_string());
        let left = Duration::from_millis(until_ms.saturating_sub(now_ms));
        self.keep(key, &Copy::new(COUNT, until_ms, value), Some(left))?;
        Ok(count)
    }

    /// Tells a server that was just found who is a member; what it was told need not be told again.
    pub(super) async fn put_members_again(&self, sender: &mut Sender, key: &str, copy: &Copy) -> Option<()> {
        let ours = ours(&copy.value)?;
        let life = Duration::from_millis(copy.until_ms.saturating_sub(self.0.clock.now_ms()).max(1));
        sender.put_members(key, &ours.gone, &ours.here, life).await.ok()?;
        self.keep_ours(key, &Ours { here: ours.here, gone: Vec::new() }, life).ok()
    }

    fn ours(&self, key: &str) -> Result<Ours, BusError> {
        let copy = self.copy(key)?.filter(|copy| copy.kind == OWN_MEMBERS);
        Ok(copy.and_then(|copy| ours(&copy.value)).unwrap_or_default())
    }

    fn keep_ours(&self, key: &str, ours: &Ours, life: Duration) -> Result<(), BusError> {
        if ours.here.is_empty() && ours.gone.is_empty() {
            return self.0.local.delete(&local(key)).map(drop);
        }
        let lists = [ours.here.as_slice(), &[String::new()], &ours.gone].concat();
        let value = written(lists.iter().map(String::as_bytes));
        self.keep(key, &Copy::new(OWN_MEMBERS, until(&self.0.clock, life), value), Some(life))
    }
}

fn kept(copy: Copy) -> Option<Kept> {
    match copy.kind {
        OWN_FIELDS | SEEN_FIELDS => fields(&copy.value).map(Kept::Fields),
        GONE | OWN_MEMBERS => None,
        _ => Some(Kept::Text(copy.value)),
    }
}

/// Members of this office; an empty text stands between those who are in and those who went out.
fn ours(value: &Bytes) -> Option<Ours> {
    let texts = parts(value)?.into_iter().map(|part| String::from_utf8(part.to_vec()).ok());
    let all = texts.collect::<Option<Vec<String>>>()?;
    let at = all.iter().position(String::is_empty)?;
    Some(Ours { here: all[..at].to_vec(), gone: all[at + 1..].to_vec() })
}

/// Fields as they were written down.
pub(super) fn fields(value: &Bytes) -> Option<Vec<(String, Bytes)>> {
    let pair = |pair: &[Bytes]| match pair {
        [name, value] => Some((String::from_utf8(name.to_vec()).ok()?, value.clone())),
        _ => None,
    };
    parts(value)?.chunks(2).map(pair).collect()
}

fn pairs(fields: &[(String, Bytes)]) -> impl Iterator<Item = &[u8]> {
    fields.iter().flat_map(|(name, value)| [name.as_bytes(), &value[..]])
}

/// Parts one after the other, each behind its length.
fn written<'a>(parts: impl Iterator<Item = &'a [u8]>) -> Bytes {
    let mut bytes = BytesMut::new();
    for part in parts {
        bytes.put_u32(part.len() as u32);
        bytes.put_slice(part);
    }
    bytes.freeze()
}

fn parts(bytes: &Bytes) -> Option<Vec<Bytes>> {
    let (mut parts, mut rest) = (Vec::new(), &bytes[..]);
    while let Some((length, more)) = rest.split_first_chunk::<4>() {
        let (part, left) = more.split_at_checked(u32::from_be_bytes(*length) as usize)?;
        parts.push(bytes.slice_ref(part));
        rest = left;
    }
    rest.is_empty().then_some(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_down_is_read_back_and_rubbish_is_nothing() {
        let some = vec![("a".to_owned(), Bytes::from_static(b"1")), ("é".to_owned(), Bytes::new())];
        assert_eq!(fields(&written(pairs(&some))), Some(some));
        assert_eq!(fields(&Bytes::new()), Some(Vec::new()));
        for rubbish in [&b"\0\0\0\x05ab"[..], b"\xff\xff\xff\xff", b"abc", b"\0\0\0\x01a"] {
            assert_eq!(fields(&Bytes::copy_from_slice(rubbish)), None, "{rubbish:?}");
            assert!(ours(&Bytes::copy_from_slice(rubbish)).is_none());
        }
        let lists = [b"ann".as_slice(), b"", b"bob"];
        let back = ours(&written(lists.into_iter())).unwrap();
        assert_eq!((back.here, back.gone), (vec!["ann".to_owned()], vec!["bob".to_owned()]));
    }
}
