//! Channel tokens: what a page brings to a channel's socket, and to a shared text of Loomio's kind.
//!
//! Owns how such a token belongs to a session: it is made from the session's mark and the office's own secret, so it is
//! the same for as long as the session is, and ends with it. Strangers get one of their own that opens nothing but a
//! draft that bears its name. What may be found in logs, keys and rows are marks only.

use sha2::{Digest, Sha256};

use super::secret::{Mark, NoRandomness, Secret, hex, random, unhex};
use super::{Auth, Grant};
use crate::bus::BusError;
use crate::config::limits::SESSION_LIFE;

/// What begins the key that leads from a channel token's mark to its session's.
const KEY: &str = "channel/";
/// Hex digits of each half of a stranger's token: what it is, and the proof that this office made it.
const HALF: usize = 32;

/// Why there is no channel token.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ChannelError {
    /// The grant is none that a token was given for, or has ended.
    #[error("nobody's grant")]
    Nobody,
    /// It could not be kept.
    #[error(transparent)]
    Bus(#[from] BusError),
}

/// Somebody as channels know them.
#[derive(Debug, Clone)]
pub struct Channel {
    /// The token.
    pub token: Secret,
    /// The person's number.
    pub number: u64,
}

/// Whose a channel token is.
#[derive(Debug, Clone)]
pub enum ChannelHolder {
    /// None of this office's own people: somebody else may know it.
    Nobody,
    /// A person, with the person's number.
    Person(Grant, u64),
    /// A person who no longer has access.
    Ended,
}

/// The number of a person, for clients that take nothing else: always the same, and exact in every language.
#[must_use]
pub(super) fn number(person: &str) -> u64 {
    let hash: [u8; 32] = Sha256::digest(person.as_bytes()).into();
    let bits = hash.first_chunk::<8>().map_or(0, |first| u64::from_be_bytes(*first));
    (bits >> 11).max(1)
}

impl Auth {
    /// The channel token of a grant; from now on it leads to it.
    ///
    /// # Errors
    /// See [`ChannelError`].
    pub fn channel(&self, grant: &Grant) -> Result<Channel, ChannelError> {
        let mark = self.mark_of(grant).ok_or(ChannelError::Nobody)?;
        let token = Secret::known(hex(&self.derived(b"channel", mark.key())));
        self.0.bus.set(&key(&token.mark()), mark.hex().as_bytes(), Some(SESSION_LIFE))?;
        Ok(Channel { token, number: number(grant.person()) })
    }

    /// A stranger's token.
    ///
    /// # Errors
    /// When the computer gives no randomness.
    pub fn visitor_token(&self) -> Result<Secret, NoRandomness> {
        let body = hex(&random::<{ HALF / 2 }>()?);
        let proof = self.visitor_proof(&body);
        Ok(Secret::known(body + &proof))
    }

    /// Whose a channel token is. The office's own counts `here` only.
    #[must_use]
    pub fn channel_holder(&self, token: &str, here: bool) -> ChannelHolder {
        let Some(mark) = self.linked(token) else { return ChannelHolder::Nobody };
        let (admin, grant) = &self.0.admin;
        let grant = match admin.same(&mark) {
            true => Some(grant.clone()).filter(|_| here),
            false => self.grant_of(mark).ok(),
        };
        grant.map_or(ChannelHolder::Ended, |grant| {
            let number = number(grant.person());
            ChannelHolder::Person(grant, number)
        })
    }

    /// The mark of the session that a channel token leads to.
    fn linked(&self, token: &str) -> Option<Mark> {
        let found = self.0.bus.get(&key(&Mark::of(token)?)).unwrap_or_else(|error| {
            tracing::error!(%error, "a channel token could not be looked up");
            None
        })?;
        Mark::from_key(&unhex(std::str::from_utf8(&found).ok()?)?)
    }

    pub(super) fn is_visitor(&self, token: &str) -> bool {
        let Some((body, proof)) = token.split_at_checked(HALF) else { return false };
        let right = Secret::known(self.visitor_proof(body)).mark();
        Secret::known(proof.to_owned()).mark().same(&right)
    }

    fn visitor_proof(&self, body: &str) -> String {
        hex(&self.derived(b"visitor", body.as_bytes())[..HALF / 2])
    }

    fn mark_of(&self, grant: &Grant) -> Option<Mark> {
        let (admin, known) = &self.0.admin;
        if known.is(grant) {
            return Some(*admin);
        }
        let live = self.live();
        live.iter().find(|(_, live)| live.grant.is(grant)).map(|(mark, _)| *mark)
    }

    /// Something that only this office can say of something.
    fn derived(&self, what: &[u8; 7], of: &[u8]) -> [u8; 32] {
        let inner = Sha256::new().chain_update(self.0.admin.0.key()).chain_update(what).chain_update(of);
        Sha256::new().chain_update(self.0.admin.0.key()).chain_update(inner.finalize()).finalize().into()
    }
}

fn key(mark: &Mark) -> String {
    format!("{KEY}{}", mark.hex())
}
