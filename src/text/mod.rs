//! Markdown to a document tree and back, and front matter. Pure.
//!
//! Owns what a record's source text means and how it is written. Does not know records, storage or Yjs.

mod civic_ref;
mod escape;
pub mod front_matter;
mod inlines;
mod merge;
mod normal;
mod open;
mod over;
mod read;
mod spell;
pub mod tree;
mod write;

pub use normal::normal;
pub use over::write_over;
pub use read::{Reading, read};
pub use tree::{Block, Document, Inline};
pub use write::write;

#[cfg(test)]
mod tests;
