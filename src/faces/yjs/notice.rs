//! What the server itself tells the clients of a Hocuspocus socket: stateless messages under the key `townhall`.
//!
//! Owns their form, and keeps clients from speaking in the server's name.

use bytes::Bytes;
use serde_json::{Map, Value};

use crate::rooms::StoreState;

const OURS: &str = "townhall";

/// Whether edits can be saved, as a text for the page.
pub(super) fn stored(state: StoreState) -> Bytes {
    Bytes::from_static(match state {
        StoreState::Writable => br#"{"townhall":{"store":"writable"}}"#,
        StoreState::Full => br#"{"townhall":{"store":"full"}}"#,
        StoreState::Faulty => br#"{"townhall":{"store":"faulty"}}"#,
    })
}

/// Whether a client's text may be read as the server's. So may what only looks like an object: a page's parser takes
/// some that this one does not.
pub(super) fn is_ours(text: &[u8]) -> bool {
    text.trim_ascii_start().starts_with(b"{")
        && serde_json::from_slice::<Map<String, Value>>(text).map_or(true, |map| map.contains_key(OURS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_do_not_speak_in_the_servers_name() {
        for state in [StoreState::Writable, StoreState::Full, StoreState::Faulty] {
            assert!(is_ours(&stored(state)));
        }
        assert!(is_ours(br#" {"x":1, "\u0074ownhall": null}"#));
        assert!(is_ours(br#"{"townhall":{"store":"full"},"x":"\ud800"}"#), "JSON to a page alone");
        assert!(is_ours(br#"{"townhall":{"store":"full"},"x":1e999}"#), "JSON to a page alone");
        assert!(!is_ours(br#"{"townhouse":{}}"#));
        assert!(!is_ours(br#""townhall""#));
        assert!(!is_ours(b"townhall"));
    }
}
