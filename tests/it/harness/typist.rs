//! A typist without an engine: makes the update bytes that Yjs makes for letters typed one after the other at the
//! end of one text, and can read back from a merged state which letters are there.

use std::collections::BTreeMap;

use bytes::Bytes;

/// Writes a lib0 var-uint.
pub(crate) fn var_uint(out: &mut Vec<u8>, mut n: u64) {
    while n > 0x7f {
        out.push((n as u8 & 0x7f) | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

/// Reads a lib0 var-uint and moves on.
pub(crate) fn read_var_uint(bytes: &mut &[u8]) -> Option<u64> {
    let mut n = 0u64;
    for shift in (0..56).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        n |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(n);
        }
    }
    None
}

/// One client that types into the text `t`.
#[derive(Debug, Clone)]
pub(crate) struct Typist {
    /// The Yjs client id.
    pub(crate) client: u64,
    /// The clock of the next letter.
    pub(crate) clock: u64,
}

impl Typist {
    /// A typist that has typed nothing.
    pub(crate) fn new(client: u64) -> Self {
        Self { client, clock: 0 }
    }

    /// Types ASCII `text` after this client's own last letter; the update bytes.
    pub(crate) fn types(&mut self, text: &str) -> Bytes {
        assert!(text.is_ascii());
        let mut out = vec![1, 1];
        var_uint(&mut out, self.client);
        var_uint(&mut out, self.clock);
        if self.clock == 0 {
            out.extend([4, 1, 1, b't']);
        } else {
            out.push(4 | 0x80);
            var_uint(&mut out, self.client);
            var_uint(&mut out, self.clock - 1);
        }
        var_uint(&mut out, text.len() as u64);
        out.extend_from_slice(text.as_bytes());
        out.push(0);
        self.clock += text.len() as u64;
        out.into()
    }
}

/// Reads an encoded state vector: client to next clock.
pub(crate) fn state_vector(mut bytes: &[u8]) -> BTreeMap<u64, u64> {
    let count = read_var_uint(&mut bytes).unwrap_or(0);
    (0..count).filter_map(|_| Some((read_var_uint(&mut bytes)?, read_var_uint(&mut bytes)?))).collect()
}
