//! Presence as y-protocols writes it: for each client a clock and a state in JSON, `null` when it is gone.
//!
//! Owns the codec and its bounds. Does not know whose a client id is: rooms decide that, and drop what they
//! already know before anybody looks at the JSON.

use bytes::Bytes;

use super::gate::json;
use super::varint::{Reader, WireError, write_buf, write_uint};
use crate::config::limits::{PRESENCE_ENTRIES_MAX, PRESENCE_STATE_MAX_BYTES, UPDATE_NESTING_MAX};

/// One client's presence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The Yjs client id.
    pub client: u64,
    /// Grows with every change; a higher one wins, and at the same one "gone" wins.
    pub clock: u32,
    /// JSON as the client wrote it; `None`: gone.
    pub state: Option<Bytes>,
}

impl Entry {
    /// Whether the state is JSON that a browser can read. Told apart from decoding because most entries are
    /// repetitions, which are dropped unread.
    #[must_use]
    pub fn is_json(&self) -> bool {
        self.state.as_deref().is_none_or(|state| json::is_json(state, UPDATE_NESTING_MAX))
    }
}

/// Reads the payload of an awareness message.
///
/// # Errors
/// [`WireError::TooLarge`] for too many entries or too large a state, otherwise see [`WireError`].
pub fn decode(bytes: &[u8]) -> Result<Vec<Entry>, WireError> {
    let mut reader = Reader::new(bytes);
    let count = reader.uint()?;
    if count > PRESENCE_ENTRIES_MAX as u64 {
        return Err(WireError::TooLarge);
    }
    let mut entries = Vec::new();
    for _ in 0..count {
        entries.push(read_entry(&mut reader)?);
    }
    reader.end()?;
    Ok(entries)
}

fn read_entry(reader: &mut Reader<'_>) -> Result<Entry, WireError> {
    let client = reader.uint()?;
    let clock = u32::try_from(reader.uint()?).map_err(|_| WireError::Number)?;
    let state = reader.str()?;
    if state.len() > PRESENCE_STATE_MAX_BYTES {
        return Err(WireError::TooLarge);
    }
    let state = (state != "null").then(|| Bytes::copy_from_slice(state.as_bytes()));
    Ok(Entry { client, clock, state })
}

/// Writes the payload of an awareness message. No entries make the one byte that is a bare sign of life.
#[must_use]
pub fn encode(entries: &[Entry]) -> Bytes {
    let mut out = Vec::with_capacity(2 + entries.len() * 16);
    write_uint(&mut out, entries.len() as u64);
    for entry in entries {
        write_uint(&mut out, entry.client);
        write_uint(&mut out, u64::from(entry.clock));
        write_buf(&mut out, entry.state.as_deref().unwrap_or(b"null"));
    }
    out.into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn here(client: u64, clock: u32, state: &'static str) -> Entry {
        Entry { client, clock, state: Some(Bytes::from_static(state.as_bytes())) }
    }

    #[test]
    fn a_message_reads_as_y_protocols_writes_it() {
        let bytes = [2, 1, 5, 2, b'{', b'}', 7, 3, 4, b'n', b'u', b'l', b'l'];
        let entries = vec![here(1, 5, "{}"), Entry { client: 7, clock: 3, state: None }];
        assert_eq!(decode(&bytes).as_ref(), Ok(&entries));
        assert_eq!(encode(&entries), &bytes[..]);
        assert_eq!(encode(&[]), &[0][..], "the sign of life is one byte");
    }

    #[test]
    fn bombs_and_rubbish_are_errors() {
        let bomb = [0xff, 0xff, 0xff, 0xbf, 0x01];
        assert_eq!(decode(&bomb), Err(WireError::TooLarge), "a count of 400 million in five bytes");
        assert_eq!(decode(&[3, 1, 1, 2, b'{', b'}']), Err(WireError::Short));
        assert_eq!(decode(&[0, 0]), Err(WireError::Trailing));
        let long = encode(&[Entry { client: 1, clock: 1, state: Some(vec![b' '; 5_000].into()) }]);
        assert_eq!(decode(&long), Err(WireError::TooLarge));
    }

    #[test]
    fn only_states_a_browser_can_read_are_json() {
        assert!(here(1, 1, r#"{"user":{"name":"Zoé \ud83d"}}"#).is_json());
        assert!(Entry { client: 1, clock: 1, state: None }.is_json());
        assert!(!here(1, 1, "{").is_json());
        assert!(!here(1, 1, "").is_json());
    }

    proptest! {
        #[test]
        fn entries_come_back(
            entries in prop::collection::vec((0u64..1 << 53, any::<u32>(), "[a-z]{0,20}"), 0..20),
        ) {
            let entries: Vec<_> = entries.into_iter().filter(|e| e.2 != "null").map(|(client, clock, text)| {
                Entry { client, clock, state: (clock % 3 != 0).then(|| text.into()) }
            }).collect();
            prop_assert_eq!(decode(&encode(&entries)), Ok(entries));
        }
    }
}
