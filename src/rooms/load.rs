//! A document as it comes from disk.
//!
//! Owns turning stored parts into a room's content. Blocks: it runs where blocking is allowed. Does not know peers.

use bytes::Bytes;

use super::OpenError;
use super::content::{Content, EMPTY_UPDATE};
use super::merge;
use super::schema;
use crate::id::{DocKind, DocName, Seq};
use crate::store::{Loaded, Store};
use crate::wire::gate::{self, Known, Placement, Structure};

/// What a room starts with.
pub(super) struct Start {
    pub(super) content: Content,
    /// The last row on disk.
    pub(super) last: Seq,
    /// Rows that no snapshot holds yet.
    pub(super) rows: usize,
    /// Whether it is a record's text with names that not every editor knows.
    pub(super) beyond_base: bool,
    /// Whether all of the rows are in the content. Otherwise no snapshot may take their place.
    pub(super) complete: bool,
}

/// Reads a document.
pub(super) fn load(store: &Store, doc: &DocName) -> Result<Start, OpenError> {
    match store.load(doc) {
        Ok(Some(loaded)) => assemble(doc, loaded),
        Ok(None) if !matches!(doc.kind(), DocKind::Record(_)) => assemble(doc, Loaded::default()),
        Ok(None) => Err(OpenError::NotFound),
        Err(error) => {
            tracing::error!(%doc, %error, "a document could not be read");
            Err(OpenError::Unreadable)
        }
    }
}

fn assemble(doc: &DocName, loaded: Loaded) -> Result<Start, OpenError> {
    let rows = loaded.tail.len();
    let last = loaded.tail.last().or(loaded.snapshot.as_ref()).map_or(Seq(0), |(row, _)| *row);
    let mut known = Known::default();
    let mut parts = Vec::with_capacity(rows + 1);
    let (mut waiting, mut complete) = (Vec::new(), true);
    for (row, part) in loaded.snapshot.into_iter().chain(loaded.tail) {
        let Ok(structure) = gate::check(&part) else {
            tracing::error!(%doc, row = row.0, "a stored part is not an update; left out");
            complete = false;
            continue;
        };
        if !take(&mut known, &mut parts, &part, &structure) {
            waiting.push((row, part, structure));
        }
    }
    // Rows of a commit that was repeated may lie in another order than they were made in.
    let mut before = usize::MAX;
    while !waiting.is_empty() && waiting.len() < before {
        before = waiting.len();
        waiting.retain(|(_, part, structure)| !take(&mut known, &mut parts, part, structure));
    }
    for (row, ..) in &waiting {
        tracing::error!(%doc, row = row.0, "a stored part follows from nothing; left out");
    }
    complete &= waiting.is_empty();
    let base = match parts.as_slice() {
        [] => EMPTY_UPDATE,
        [one] => one.clone(),
        many => merge::merge(many).map_err(|error| {
            tracing::error!(%doc, %error, "stored parts could not be merged");
            OpenError::Unreadable
        })?,
    };
    let beyond_base = matches!(doc.kind(), DocKind::Record(_)) && schema::is_beyond_base(&base);
    Ok(Start { content: Content::new(known, base), last, rows, beyond_base, complete })
}

/// Takes a part in if it can stand now.
fn take(known: &mut Known, parts: &mut Vec<Bytes>, part: &Bytes, structure: &Structure) -> bool {
    match known.place(structure) {
        Placement::Gap => return false,
        Placement::Nothing => {}
        Placement::New | Placement::Overlap => {
            known.absorb(structure);
            parts.push(part.clone());
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The letter number `clock` of client 1.
    fn letter(clock: u8) -> Bytes {
        match clock {
            0 => Bytes::from_static(&[1, 1, 1, 0, 4, 1, 1, b't', 1, b'a', 0]),
            _ => vec![1, 1, 1, clock, 0x84, 1, clock - 1, 1, b'a' + clock, 0].into(),
        }
    }

    fn start(rows: &[u8]) -> Start {
        let tail = (1..).map(Seq).zip(rows.iter().map(|clock| letter(*clock))).collect();
        assemble(&DocName::parse("d").unwrap(), Loaded { snapshot: None, tail }).ok().unwrap()
    }

    #[test]
    fn rows_of_repeated_commits_come_together_in_any_order() {
        let mut start = start(&[2, 1, 0, 1, 2, 3]);
        assert!(start.complete);
        assert_eq!((start.last, start.rows), (Seq(6), 6));
        assert_eq!(start.content.have(), Bytes::from_static(&[1, 1, 4]));
        assert!(start.content.base().0.ends_with(b"d\0"));
    }

    #[test]
    fn a_row_that_follows_from_nothing_is_left_out_but_no_snapshot_may_replace_it() {
        let mut start = start(&[0, 1, 3]);
        assert!(!start.complete);
        assert_eq!(start.content.have(), Bytes::from_static(&[1, 1, 2]));
    }
}
