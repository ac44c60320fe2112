//! A document as it comes from disk.
//!
//! Owns turning stored parts into a room's content. Blocks: it runs where blocking is allowed. Does not know peers.

use bytes::Bytes;

use super::OpenError;
use super::content::{Content, EMPTY_UPDATE};
use super::merge;
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
}

/// Reads a document.
pub(super) fn load(store: &Store, doc: &DocName) -> Result<Start, OpenError> {
    match store.load(doc) {
        Ok(Some(loaded)) => assemble(doc, loaded),
        Ok(None) if doc.kind() == DocKind::Free => assemble(doc, Loaded::default()),
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
    let mut waiting = Vec::new();
    for (row, part) in loaded.snapshot.into_iter().chain(loaded.tail) {
        let Ok(structure) = gate::check(&part) else {
            tracing::error!(%doc, row = row.0, "a stored part is not an update; left out");
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
    let base = match parts.as_slice() {
        [] => EMPTY_UPDATE,
        [one] => one.clone(),
        many => merge::merge(many).map_err(|error| {
            tracing::error!(%doc, %error, "stored parts could not be merged");
            OpenError::Unreadable
        })?,
    };
    Ok(Start { content: Content::new(known, base), last, rows })
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
