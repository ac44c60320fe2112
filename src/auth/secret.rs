//! Secrets: how they are made, and what is kept of them.
//!
//! A token is 256 random bits as 64 hex digits; what is stored anywhere is only its SHA-256.

use std::fmt;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::config::limits::CREDENTIAL_MAX_BYTES;

/// Bytes of randomness in a token.
const TOKEN_BYTES: usize = 32;

/// The computer gave no randomness.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the computer gave no randomness")]
pub struct NoRandomness;

/// A secret in the clear, on its way to the one person it is for. Its `Debug` form says nothing.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// Makes a new token.
    pub(super) fn token() -> Result<Self, NoRandomness> {
        Ok(Self(hex(&random::<TOKEN_BYTES>()?)))
    }

    /// Takes what was read from the office's own file.
    pub(super) fn known(text: String) -> Self {
        Self(text)
    }

    /// The secret itself: for a response body, a cookie or a file, never for a log.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// What may be kept of it.
    pub(super) fn mark(&self) -> Mark {
        Mark(Sha256::digest(self.0.as_bytes()).into())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// What is kept of a secret: its SHA-256.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Mark([u8; 32]);

impl Mark {
    /// The mark of a credential that somebody brought; `None` for what cannot be one.
    pub(super) fn of(credential: &str) -> Option<Self> {
        if credential.is_empty() || credential.len() > CREDENTIAL_MAX_BYTES {
            return None;
        }
        Some(Self(Sha256::digest(credential.as_bytes()).into()))
    }

    /// A mark as a row's key carries it.
    pub(super) fn from_key(key: &[u8]) -> Option<Self> {
        key.try_into().ok().map(Self)
    }

    /// The key of its row.
    pub(super) fn key(&self) -> &[u8; 32] {
        &self.0
    }

    /// All of it as hex.
    pub(super) fn hex(&self) -> String {
        hex(&self.0)
    }

    /// Its beginning as hex: names the row without naming the secret.
    pub(super) fn id(&self) -> String {
        hex(&self.0[..ID_BYTES])
    }

    /// Compares without telling by time where the first difference is.
    pub(super) fn same(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

/// Bytes of a mark that make an id.
pub(super) const ID_BYTES: usize = 8;

/// Random bytes.
pub(super) fn random<const N: usize>() -> Result<[u8; N], NoRandomness> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|_| NoRandomness)?;
    Ok(bytes)
}

/// Bytes as hex digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes
        .iter()
        .flat_map(|byte| [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]])
        .map(char::from)
        .collect()
}

/// Hex digits as bytes.
pub(super) fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |b: u8| char::from(b).to_digit(16).and_then(|d| u8::try_from(d).ok());
    if !text.len().is_multiple_of(2) {
        return None;
    }
    text.as_bytes().chunks(2).map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_carry_256_bits_and_do_not_show_themselves() {
        let (one, two) = (Secret::token().unwrap(), Secret::token().unwrap());
        assert_eq!(one.reveal().len(), 64);
        assert_ne!(one.reveal(), two.reveal());
        assert!(!format!("{one:?}").contains(one.reveal()));
        assert!(!one.mark().hex().contains(one.reveal()));
    }

    #[test]
    fn hex_goes_there_and_back() {
        let bytes = random::<9>().unwrap();
        assert_eq!(unhex(&hex(&bytes)).unwrap(), bytes);
        assert!(unhex("zz").is_none() && unhex("abc").is_none());
    }
}
