//! The gate: what an update says, and whether it may pass, told from its bytes alone (Yjs format v1).
//!
//! Owns the structure of updates ([`check`]), what a document has ([`Known`]), where an update belongs
//! ([`Placement`]), and cutting and joining updates ([`splice`]). It runs no CRDT and builds no tree: contents stay
//! the bytes they came as. Does not know rooms, peers or disks. Everything is linear, or sorts, in the size of
//! the bytes; nothing is allocated by a count that was only declared.

mod content;
pub mod json;
mod known;
pub mod letters;
mod names;
mod order;
mod pack;
mod parse;
mod plain;
pub mod splice;
#[cfg(test)]
mod tests;
mod vector;

use thiserror::Error;

pub use known::{Known, Placement};
pub use names::{Name, names};
pub use parse::check;
pub use plain::plain;
pub use vector::{StateVector, state_vector};

use super::varint::WireError;

/// One more than the largest clock: engines count in signed 32-bit integers.
pub const CLOCK_END: u32 = 1 << 31;

/// Why an update was refused. None of these is ever sent by an editor that works.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum GateError {
    /// The bytes cannot be read.
    #[error("{0}")]
    Wire(#[from] WireError),
    /// A count that does not fit in the bytes left.
    #[error("a count is larger than what follows")]
    Count,
    /// A block or range without anything in it.
    #[error("an empty block")]
    Empty,
    /// The same client twice.
    #[error("a client appears twice")]
    Twice,
    /// A clock at or beyond 2^31.
    #[error("a clock is too large")]
    Clock,
    /// Values nest too deeply.
    #[error("values nest too deeply")]
    Nesting,
    /// JSON that is none.
    #[error("a value is not JSON")]
    Json,
    /// Legacy, foreign or undefined content.
    #[error("content of an unknown kind {0}")]
    Content(u8),
    /// Blocks that wait for each other, or for themselves.
    #[error("blocks wait for each other")]
    Circle,
    /// A stored part that does not follow from those before it.
    #[error("a part is missing")]
    Missing,
}

/// A half-open range of one client's clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Range {
    /// The client.
    pub client: u64,
    /// The first clock.
    pub start: u32,
    /// One more than the last clock.
    pub end: u32,
}

/// What an update says, as far as its place is concerned.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Structure {
    /// Runs of new structs without holes, by client, then clock.
    runs: Vec<Run>,
    /// Clocks that must exist for the references to mean something: below `end` of `client`.
    needs: Vec<(u64, u32)>,
    /// What is deleted: by client, then clock, neither touching nor overlapping.
    deletes: Vec<Range>,
    /// Whether structs are skipped inside.
    has_gap: bool,
}

impl Structure {
    /// Whether the update leaves clocks out between two of its structs ("skip"): it was merged from parts that
    /// are not neighbours.
    #[must_use]
    pub fn has_gap(&self) -> bool {
        self.has_gap
    }

    /// Whether it says nothing at all, as the answer to "what do I lack" often does.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty() && self.deletes.is_empty()
    }

    /// How many ranges and runs are held: what this costs in memory.
    #[must_use]
    pub fn parts(&self) -> usize {
        self.runs.len() + self.needs.len() + self.deletes.len()
    }
}

/// Structs of one client that follow each other without a hole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Run {
    range: Range,
    /// Where they stand in the update.
    from: u32,
    to: u32,
    /// How many structs.
    structs: u32,
}
