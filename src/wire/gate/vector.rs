//! State vectors: for each client, how many of its clocks somebody has.
//!
//! Owns the codec and the look-up. Does not know updates.

use bytes::Bytes;

use super::{CLOCK_END, GateError};
use crate::wire::varint::{Reader, write_uint};

/// The longest number of a client, and the longest clock, in bytes.
pub(super) const ENTRY_MAX_BYTES: usize = 10 + 5;

/// What somebody has, as `Y.encodeStateVector` writes it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StateVector(Vec<(u64, u32)>);

/// Reads a state vector. Its length bounds what is allocated.
///
/// # Errors
/// See [`GateError`].
pub fn state_vector(bytes: &[u8]) -> Result<StateVector, GateError> {
    let mut reader = Reader::new(bytes);
    let count = reader.uint()?;
    if count > (reader.left() / 2) as u64 {
        return Err(GateError::Count);
    }
    let mut clocks = Vec::with_capacity(count as usize);
    for _ in 0..count {
        let client = reader.uint()?;
        let clock = u32::try_from(reader.uint()?).map_err(|_| GateError::Clock)?;
        if clock > CLOCK_END {
            return Err(GateError::Clock);
        }
        clocks.push((client, clock));
    }
    reader.end()?;
    StateVector::from_clocks(clocks)
}

impl StateVector {
    /// Sorts clocks into a state vector.
    ///
    /// # Errors
    /// [`GateError::Twice`].
    pub fn from_clocks(mut clocks: Vec<(u64, u32)>) -> Result<Self, GateError> {
        clocks.sort_unstable();
        if clocks.windows(2).any(|pair| pair[0].0 == pair[1].0) {
            return Err(GateError::Twice);
        }
        Ok(Self(clocks))
    }

    /// Clocks that are sorted already, each client once.
    pub(super) fn sorted(clocks: Vec<(u64, u32)>) -> Self {
        Self(clocks)
    }

    /// How many clocks of `client` are there.
    #[must_use]
    pub fn clock(&self, client: u64) -> u32 {
        match self.0.binary_search_by_key(&client, |entry| entry.0) {
            Ok(place) => self.0.get(place).map_or(0, |entry| entry.1),
            Err(_) => 0,
        }
    }

    /// Clients and clocks, by client.
    pub fn iter(&self) -> impl Iterator<Item = (u64, u32)> + '_ {
        self.0.iter().copied()
    }

    /// How many clients.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nothing is there.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Writes it, highest client first, as Yjs does.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        encode(self.0.len(), self.0.iter().rev().copied())
    }
}

/// Writes `count` clocks.
pub(super) fn encode(count: usize, clocks: impl Iterator<Item = (u64, u32)>) -> Bytes {
    let mut out = Vec::with_capacity(2 + count * 8);
    write_uint(&mut out, count as u64);
    for (client, clock) in clocks {
        write_uint(&mut out, client);
        write_uint(&mut out, u64::from(clock));
    }
    out.into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::varint::WireError;

    #[test]
    fn count_bombs_and_doubles_are_refused() {
        assert_eq!(state_vector(&[0xff, 0xff, 0xff, 0xbf, 0x01]), Err(GateError::Count));
        assert_eq!(state_vector(&[2, 1, 1, 1, 2]), Err(GateError::Twice));
        assert_eq!(state_vector(&[1, 1, 1, 9]), Err(GateError::Wire(WireError::Trailing)));
        assert_eq!(state_vector(&[1, 1, 0xff, 0xff, 0xff, 0xff, 0x0f]), Err(GateError::Clock));
        assert!(state_vector(&[]).is_err());
        assert_eq!(state_vector(&[0]), Ok(StateVector::default()));
    }

    proptest! {
        #[test]
        fn state_vectors_come_back(clocks: std::collections::BTreeMap<u32, u16>) {
            let clocks = clocks.into_iter();
            let clocks = clocks.map(|(client, clock)| (u64::from(client), u32::from(clock))).collect();
            let vector = StateVector::from_clocks(clocks)?;
            prop_assert_eq!(&state_vector(&vector.encode())?, &vector);
            for (client, clock) in vector.iter() {
                prop_assert_eq!(vector.clock(client), clock);
            }
        }
    }
}
