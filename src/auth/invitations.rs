//! Invitations: short codes for people at a keyboard, and one-time links for this computer's window.
//!
//! Owns their making, their life and their comparison. In memory only: a restart closes them all.

use std::net::IpAddr;
use std::time::Duration;

use subtle::ConstantTimeEq;

use super::Role;
use super::guesses::Guesses;
use super::secret::{Mark, NoRandomness, Secret, hex, random};
use crate::config::limits::{INVITATIONS_MAX, ONCE_LIFE, ONCE_MAX};

/// 32 letters and digits of which no two look alike: no 0 and O, no 1 and I.
const ALPHABET: &[u8; 32] = b"23456789ABCDEFGHJKLMNPQRSTUVWXYZ";
/// Letters of a code: 40 bits.
const CODE_LETTERS: usize = 8;

/// An open invitation.
#[derive(Clone)]
pub struct Invitation {
    /// Names it; opens nothing.
    pub id: String,
    /// The code, shown in two groups.
    pub code: String,
    /// What those who join may do.
    pub role: Role,
    /// When it closes, in milliseconds since 1970.
    pub expires_at_ms: u64,
    letters: [u8; CODE_LETTERS],
}

/// Why an invitation was not made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InviteError {
    /// Too many are open.
    #[error("too many invitations are open")]
    TooMany,
    /// No randomness.
    #[error(transparent)]
    Random(#[from] NoRandomness),
}

/// Why a code opened nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Closed {
    /// Wrong, expired or never made: one answer.
    NotValid,
    /// Too many wrong guesses; this one was not looked at.
    TooMany(Duration),
}

/// All that is open.
#[derive(Default)]
pub(super) struct Invitations {
    open: Vec<Invitation>,
    once: Vec<(Mark, u64)>,
    guesses: Guesses,
}

impl Invitations {
    pub(super) fn invite(
        &mut self,
        role: Role,
        life: Duration,
        now_ms: u64,
    ) -> Result<Invitation, InviteError> {
        self.forget_closed(now_ms);
        if self.open.len() >= INVITATIONS_MAX {
            return Err(InviteError::TooMany);
        }
        let letters = random::<CODE_LETTERS>()?.map(|byte| ALPHABET[usize::from(byte % 32)]);
        let shown: String = letters.iter().copied().map(char::from).collect();
        let invitation = Invitation {
            id: hex(&random::<8>()?),
            code: format!("{}-{}", &shown[..CODE_LETTERS / 2], &shown[CODE_LETTERS / 2..]),
            role,
            expires_at_ms: now_ms + life.as_millis() as u64,
            letters,
        };
        self.open.push(invitation.clone());
        Ok(invitation)
    }

    pub(super) fn list(&mut self, now_ms: u64) -> Vec<Invitation> {
        self.forget_closed(now_ms);
        self.open.clone()
    }

    pub(super) fn close(&mut self, id: &str) -> bool {
        let before = self.open.len();
        self.open.retain(|invitation| invitation.id != id);
        self.open.len() < before
    }

    /// The invitation behind a typed code. Every code that is compared at all is compared with every open one,
    /// in full: wrong, expired and unknown take the same steps.
    pub(super) fn open(&mut self, typed: &str, from: IpAddr, now_ms: u64) -> Result<Invitation, Closed> {
        self.guesses.allow(from, now_ms).map_err(Closed::TooMany)?;
        let letters = normal(typed);
        let mut found = None;
        for invitation in &self.open {
            let same: bool = invitation.letters.ct_eq(&letters).into();
            if same & (invitation.expires_at_ms > now_ms) {
                found = Some(invitation.clone());
            }
        }
        found.ok_or_else(|| {
            self.guesses.wrong(from, now_ms);
            Closed::NotValid
        })
    }

    /// Makes a one-time link's secret; the oldest gives way.
    pub(super) fn make_once(&mut self, now_ms: u64) -> Result<Secret, NoRandomness> {
        let secret = Secret::token()?;
        self.once.retain(|(_, until)| *until > now_ms);
        if self.once.len() >= ONCE_MAX {
            self.once.remove(0);
        }
        self.once.push((secret.mark(), now_ms + ONCE_LIFE.as_millis() as u64));
        Ok(secret)
    }

    /// Uses up a one-time secret.
    pub(super) fn take_once(&mut self, secret: &str, now_ms: u64) -> bool {
        let Some(mark) = Mark::of(secret) else { return false };
        self.once.retain(|(_, until)| *until > now_ms);
        let before = self.once.len();
        self.once.retain(|(known, _)| !known.same(&mark));
        self.once.len() < before
    }

    fn forget_closed(&mut self, now_ms: u64) {
        self.open.retain(|invitation| invitation.expires_at_ms > now_ms);
    }
}

/// A code as it was typed, in the form it was made in: any case, with or without dash and blanks. What cannot be a
/// code becomes one that is never made, so that it is compared all the same.
fn normal(typed: &str) -> [u8; CODE_LETTERS] {
    let mut letters = [b'-'; CODE_LETTERS];
    let mut count = 0;
    for byte in typed.bytes().filter(|b| !matches!(b, b'-' | b' ')).take(CODE_LETTERS + 1) {
        if let Some(place) = letters.get_mut(count) {
            *place = byte.to_ascii_uppercase();
        }
        count += 1;
    }
    if count == CODE_LETTERS { letters } else { [b'-'; CODE_LETTERS] }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ME: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));
    const LIFE: Duration = Duration::from_secs(600);

    #[test]
    fn codes_are_typed_in_any_case_with_or_without_dash() {
        let mut invitations = Invitations::default();
        let made = invitations.invite(Role::Editor, LIFE, 0).unwrap();
        assert_eq!(made.code.len(), 9);
        for typed in [
            made.code.clone(),
            made.code.replace('-', ""),
            made.code.to_lowercase(),
            format!(" {} ", made.code.replace('-', " ")),
        ] {
            assert_eq!(invitations.open(&typed, ME, 1).map(|i| i.id), Ok(made.id.clone()), "{typed}");
        }
        for typed in [String::new(), made.code[..8].to_owned(), format!("{}A", made.code), "--------".into()]
        {
            assert!(invitations.open(&typed, ME, 1).is_err(), "{typed}");
        }
    }

    #[test]
    fn expired_closed_and_unknown_codes_get_the_same_answer() {
        let mut invitations = Invitations::default();
        let expired = invitations.invite(Role::Editor, LIFE, 0).unwrap();
        let closed = invitations.invite(Role::Editor, LIFE, 0).unwrap();
        assert!(invitations.close(&closed.id));
        for code in [expired.code.as_str(), closed.code.as_str(), "AAAA-AAAA"] {
            assert_eq!(invitations.open(code, ME, 600_001).map(|i| i.id), Err(Closed::NotValid));
        }
    }

    #[test]
    fn a_right_code_is_not_looked_at_after_too_many_wrong_ones() {
        let mut invitations = Invitations::default();
        let made = invitations.invite(Role::Editor, LIFE, 0).unwrap();
        for _ in 0..5 {
            assert_eq!(invitations.open("AAAA-AAAA", ME, 1).map(|i| i.id), Err(Closed::NotValid));
        }
        assert!(matches!(invitations.open(&made.code, ME, 1), Err(Closed::TooMany(_))));
        assert!(invitations.open(&made.code, ME, 60_002).is_ok());
    }

    #[test]
    fn a_one_time_link_works_once_and_not_for_ever() {
        let mut invitations = Invitations::default();
        let (one, two) = (invitations.make_once(0).unwrap(), invitations.make_once(0).unwrap());
        assert!(invitations.take_once(one.reveal(), 1));
        assert!(!invitations.take_once(one.reveal(), 1));
        let late = ONCE_LIFE.as_millis() as u64 + 1;
        assert!(!invitations.take_once("wrong", late));
        assert!(!invitations.take_once(two.reveal(), late));
    }

    #[test]
    fn every_letter_of_the_alphabet_is_itself() {
        let distinct: std::collections::HashSet<_> = ALPHABET.iter().collect();
        assert_eq!(distinct.len(), 32);
        assert!(b"01OI".iter().all(|b| !ALPHABET.contains(b)));
    }
}
