//! The disposable process that turns a document's stored bytes into a tree, and a tree into an update.
//!
//! Owns the only live Yjs document of the product. It lives in a separate process, because stored bytes that
//! are honest or hostile may crash or hang it (`townhall scribe`, started on demand); the server holds a
//! [`Scribe`]. Does not know the store, records or Markdown.

mod child;
mod frame;
mod halves;
mod parent;
mod seed;
mod tree;

pub use child::child;
pub use parent::{Scribe, ScribeLimits};
pub use seed::seed;

use thiserror::Error;

/// Why the scribe gave no answer. The document itself is as it was.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ScribeError {
    /// The process could not be started.
    #[error("the scribe could not be started: {0}")]
    Start(String),
    /// The process ended in the middle of a question.
    #[error("the scribe ended before it had answered")]
    Died,
    /// No answer in time; the process was ended.
    #[error("the scribe did not answer in time")]
    Deadline,
    /// The question or the answer is larger than is accepted.
    #[error("the document is too large for the scribe")]
    TooLarge,
    /// The scribe could not read the document.
    #[error("the scribe could not read the document: {0}")]
    Unreadable(String),
    /// The scribe's document is not the stored one: its answer is not used.
    #[error("the scribe read another document than the stored one")]
    Disagrees,
    /// Too many questions wait.
    #[error("the scribe is busy")]
    Busy,
}
