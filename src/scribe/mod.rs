//! The disposable process that turns a document's stored bytes into a tree, and a tree into an update.
